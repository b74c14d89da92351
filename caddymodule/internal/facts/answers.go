package facts

import (
	"net/http"
	"strings"
)

// answers say what the status code of a failed delivery means, and what the
// operator can do. Without a remedy here, that is the remedy of the rejections
// with this status.
var answers = map[int]struct{ meaning, remedy string }{
	http.StatusBadRequest:            {meaning: "the signature or the body did not arrive whole: something on the way changes requests"},
	http.StatusUnauthorized:          {"the server has another secret than this webhook's", SignatureMismatch.Remedy + " If the secret is lost: caddy elevenlabs webhooks rotate."},
	http.StatusForbidden:             {meaning: "signed too long ago, not over HTTPS, or from an address that is not allowed"},
	http.StatusNotFound:              {"the server has nothing at this URL's path", "Compare the webhook's URL with the path in the Caddyfile: a slash at the end counts."},
	http.StatusMethodNotAllowed:      {"the server does not take POST at this URL's path", "Compare the webhook's URL with the path in the Caddyfile: something else answers there."},
	http.StatusRequestTimeout:        {meaning: "the body did not arrive in time"},
	http.StatusRequestEntityTooLarge: {"the body is larger than the server allows: raise max_size", BodyTooLarge.Remedy + " Proxies in front have limits of their own."},
	http.StatusTooManyRequests:       {"the server or the application limits the rate of requests", "Raise that limit for this URL."},
	http.StatusInternalServerError:   {"the application failed", "Look into the application's log, and into Caddy's."},
	http.StatusBadGateway:            {"the application cannot be reached, or broke off", "Keep the application running, and let it answer each event."},
	http.StatusServiceUnavailable:    {meaning: "the application or the server is overloaded, or not running"},
	http.StatusGatewayTimeout:        {"the application took too long", "Let the application answer first, and work later."},
}

// AnswerMeaning says what it means that ElevenLabs got this status for its last
// failed delivery.
func AnswerMeaning(status int) string {
	switch answer, known := answers[status]; {
	case known:
		return answer.meaning
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

// AnswerRemedy says what the operator can do if ElevenLabs got this status for its
// last failed delivery.
func AnswerRemedy(status int) string {
	if remedy := answers[status].remedy; remedy != "" {
		return remedy
	}
	if remedy := rejectionRemedies(status); remedy != "" {
		return remedy
	}
	switch status / 100 {
	case 2:
		return "Let events go through elevenlabs_webhook, which answers 200 for any 2xx of the application."
	case 3:
		return "Create a webhook with the URL that the redirect leads to."
	case 4, 5:
		return "Look into the application's log, and into Caddy's."
	}
	return "Check the server's DNS record, connection and certificate from a machine on the internet."
}

// rejectionRemedies returns the remedy of the rejection with this status, or those
// of all of them, each after its code.
func rejectionRemedies(status int) string {
	var remedies []string
	single := ""
	for _, r := range Rejections {
		if r.Status == status {
			single = r.Remedy
			remedies = append(remedies, r.Code+": "+r.Remedy)
		}
	}
	if len(remedies) < 2 {
		return single
	}
	return "Find the reason in Caddy's log. " + strings.Join(remedies, " ")
}
