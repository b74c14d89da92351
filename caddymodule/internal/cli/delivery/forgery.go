package delivery

import (
	"fmt"
	"net/http"
	"time"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/sample"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/signature"
)

// Forgery is a way to forge a delivery.
type Forgery struct {
	Name, What string
	// Rejection is why the handler rejects the forgery; nil for a genuine event.
	Rejection *facts.Rejection

	// shift is added to the time of signing. It is beyond any tolerance that a
	// server may have, so that the command need not know the tolerance.
	shift time.Duration
	// header changes the signature header. An empty result means none.
	header func(string) string
	// body reports whether the body is changed after signing.
	body bool
}

// Forgeries are all ways to forge a delivery.
var Forgeries = []Forgery{
	{
		Name: "signature", What: "the last hex digit of the signature is changed",
		Rejection: facts.SignatureMismatch, header: changeLastDigit,
	},
	{
		Name: "body", What: "a digit of the body is changed after signing",
		Rejection: facts.SignatureMismatch, body: true,
	},
	{
		Name: "stale", What: "a genuine signature, 24 hours old",
		Rejection: facts.TimestampStale, shift: -24 * time.Hour,
	},
	{
		Name: "future", What: "a genuine signature, 24 hours ahead",
		Rejection: facts.TimestampFuture, shift: 24 * time.Hour,
	},
	{
		Name: "missing", What: "no signature header",
		Rejection: facts.SignatureMissing, header: func(string) string { return "" },
	},
	{
		Name: "malformed", What: "the signature is one hex digit short",
		Rejection: facts.SignatureMalformed, header: func(header string) string { return header[:len(header)-1] },
	},
}

// Genuine is no forgery: the event as ElevenLabs sends it.
var Genuine Forgery

// ForgeryByName returns the forgery with that name. The empty name is Genuine's.
func ForgeryByName(name string) (Forgery, bool) {
	for _, f := range Forgeries {
		if f.Name == name {
			return f, true
		}
	}
	return Genuine, name == ""
}

// forge signs an event and forges it. The header is empty if none is sent.
func (f Forgery) forge(event sample.Event, key []byte, now time.Time) (sent sample.Event, header string, err error) {
	header, err = signature.SignReader(key, now.Add(f.shift), event.Body())
	if err != nil {
		return sample.Event{}, "", err
	}
	if f.header != nil {
		header = f.header(header)
	}
	if f.body {
		event = event.Changed()
	}
	return event, header, nil
}

func changeLastDigit(header string) string {
	last := len(header) - 1
	if header[last] == '0' {
		return header[:last] + "1"
	}
	return header[:last] + "0"
}

// problem says what is wrong with the answer to a delivery. It is empty if the
// answer is as expected.
func (f Forgery) problem(response *http.Response) string {
	status, reason := response.StatusCode, response.Header.Get(HeaderRejection)
	if to := response.Header.Get("Location"); status/100 == 3 && to != "" {
		return redirectProblem(status, cmdutil.Cut(to, cmdutil.Longest))
	}
	if f.Rejection == nil {
		if status != http.StatusOK {
			return "expected 200"
		}
		return ""
	}
	switch {
	case status == f.Rejection.Status && reason == f.Rejection.Code:
		return ""
	case reason == "" && (status == http.StatusBadRequest || status == http.StatusUnauthorized || status == http.StatusForbidden):
		return "" // another verifier answers with one of these, and a 404, say, rejects nothing
	case status/100 == 2:
		return fmt.Sprintf("not rejected: expected %d %s", f.Rejection.Status, f.Rejection.Code)
	}
	return fmt.Sprintf("expected %d %s", f.Rejection.Status, f.Rejection.Code)
}

// redirectProblem says what is wrong with a redirect.
func redirectProblem(status int, to string) string {
	switch status {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther:
		return fmt.Sprintf("redirects to %q: the HTTP client that ElevenLabs uses turns the POST into a GET without the event", to)
	}
	return fmt.Sprintf("redirects to %q, which ElevenLabs is not known to follow", to)
}
