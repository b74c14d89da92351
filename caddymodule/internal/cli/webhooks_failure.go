package cli

import (
	"net/http"
)

// failureMeanings is what the status code of a failed delivery tells, as the
// handler answers, and what else may stand behind it.
var failureMeanings = map[int]string{
	http.StatusBadRequest:            "the signature or the body did not come through whole: something on the way changes requests",
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

// failureMeaning says what a status code means that a delivery was last answered by.
func failureMeaning(code int) string {
	meaning, known := failureMeanings[code]
	switch {
	case known:
		return meaning
	case code == http.StatusOK || code < 100 || code > 599:
		return "no answer of the server that ElevenLabs could read"
	case code < 300:
		return "ElevenLabs takes only 200 for success"
	case code < 400:
		return "redirects count as failures: give the webhook the URL that they lead to"
	case code < 500:
		return "the server or the application refused the event"
	}
	return "the server or the application failed"
}
