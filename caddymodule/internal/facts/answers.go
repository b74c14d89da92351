package facts

import "net/http"

// answerMeanings say what the status code of a failed delivery means.
var answerMeanings = map[int]string{
	http.StatusBadRequest:            "the signature or the body did not arrive whole: something on the way changes requests",
	http.StatusUnauthorized:          "the server has another secret than this webhook's",
	http.StatusForbidden:             "signed too long ago, not over HTTPS, or from an address that is not allowed",
	http.StatusNotFound:              "the server has nothing at this URL's path",
	http.StatusMethodNotAllowed:      "the server does not take POST at this URL's path",
	http.StatusRequestTimeout:        "the body did not arrive in time",
	http.StatusRequestEntityTooLarge: "the body is larger than the server allows: raise max_size",
	http.StatusTooManyRequests:       "the server or the application limits the rate of requests",
	http.StatusInternalServerError:   "the application failed",
	http.StatusBadGateway:            "the application cannot be reached, or broke off",
	http.StatusServiceUnavailable:    "the application or the server is overloaded, or not running",
	http.StatusGatewayTimeout:        "the application took too long",
}

// AnswerMeaning says what it means that ElevenLabs got this status for its last
// failed delivery.
func AnswerMeaning(status int) string {
	meaning, known := answerMeanings[status]
	switch {
	case known:
		return meaning
	case status == http.StatusOK || status < 100 || status > 599:
		return "the server gave no answer that ElevenLabs could read"
	case status < 300:
		return "ElevenLabs counts only 200 as success"
	case status < 400:
		return "ElevenLabs counts a redirect as a failure: give the webhook the URL that it leads to"
	case status < 500:
		return "the server or the application rejected the event"
	}
	return "the server or the application failed"
}
