package facts

import "net/http"

// Failure is a reason for which an event that was forwarded counts as failed.
type Failure struct {
	// Code is the reason's name in logs and metrics.
	Code string
	// Status is the HTTP status that the client got, or 0 if that differs or is
	// not known.
	Status int
	// Sentence says what happened. It begins in lower case.
	Sentence string
}

// The reasons for which a forwarded event counts as failed.
var (
	BackendAnswer      = failure(Failure{Code: "backend_answer", Sentence: "the backend answered, but not with 2xx"})
	BackendUnreachable = failure(Failure{Code: "backend_unreachable", Status: http.StatusBadGateway, Sentence: "no connection to the backend brought an answer"})
	BackendTimeout     = failure(Failure{Code: "backend_timeout", Status: http.StatusGatewayTimeout, Sentence: "the backend did not answer in time"})
	AnswerIncomplete   = failure(Failure{Code: "answer_incomplete", Sentence: "the backend's answer broke off"})
	ClientLeft         = failure(Failure{Code: "client_left", Sentence: "the client closed the connection before it had the status, so ElevenLabs counts a failure"})
	NotDelivered       = failure(Failure{Code: "not_delivered", Sentence: "the client closed the connection, and no attempt to deliver the event succeeded"})
	NoHandler          = failure(Failure{Code: "no_handler", Status: http.StatusInternalServerError, Sentence: "no handler follows that takes the event: put reverse_proxy inside elevenlabs_webhook, or after it"})
	Loop               = failure(Failure{Code: "loop", Status: http.StatusLoopDetected, Sentence: "the backend brought the event back to the inbox that delivers it"})
	HandlerError       = failure(Failure{Code: "handler_error", Sentence: "another handler of the configuration failed"})
)

// Failures are all reasons, in the order of the table above.
var Failures []*Failure

func failure(f Failure) *Failure {
	Failures = append(Failures, &f)
	return &f
}

// EventNotWanted is the reason of an event that was answered 200 and not
// forwarded, since its type is not in the option events.
const EventNotWanted = "event_not_wanted"

// StatusOf returns the status that a request was answered with if it was rejected
// or failed for that reason, or 0 if the reason does not tell.
func StatusOf(code string) int {
	if r := RejectionByCode(code); r != nil {
		return r.Status
	}
	for _, f := range Failures {
		if f.Code == code {
			return f.Status
		}
	}
	return 0
}
