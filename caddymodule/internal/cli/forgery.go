package cli

import (
	"net/http"
	"time"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/sample"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/signature"
)

// forgery is a way to spoil a delivery, and how the handler refuses it.
type forgery struct {
	name, what string
	status     int
	reason     string
	// shift is added to the time of signing. It is beyond any tolerance that a
	// server may have set, so that the default need not be known.
	shift time.Duration
	// header makes of the signature header what is sent; empty means none.
	header func(string) string
	// body is whether the body is changed once it is signed.
	body bool
}

var forgeries = []forgery{
	{
		name: "signature", what: "the last hex digit of the signature is another",
		status: http.StatusUnauthorized, reason: reasonMismatch, header: changeLastDigit,
	},
	{
		name: "body", what: "a digit of the body was changed after signing",
		status: http.StatusUnauthorized, reason: reasonMismatch, body: true,
	},
	{
		name: "stale", what: "a genuine signature, 24 hours old",
		status: http.StatusForbidden, reason: reasonStale, shift: -24 * time.Hour,
	},
	{
		name: "future", what: "a genuine signature, made in 24 hours",
		status: http.StatusForbidden, reason: reasonFuture, shift: 24 * time.Hour,
	},
	{
		name: "missing", what: "no signature header",
		status: http.StatusBadRequest, reason: reasonMissing, header: func(string) string { return "" },
	},
	{
		name: "malformed", what: "the signature is one hex digit short",
		status: http.StatusBadRequest, reason: reasonMalformed, header: func(header string) string { return header[:len(header)-1] },
	},
}

// genuine is no forgery: the event as ElevenLabs sends it.
var genuine = forgery{status: http.StatusOK}

// forgeryNamed finds a forgery; the empty name is genuine's.
func forgeryNamed(name string) (forgery, bool) {
	for _, f := range forgeries {
		if f.name == name {
			return f, true
		}
	}
	return genuine, name == ""
}

// forge signs an event and spoils it. The header is empty if none is sent.
func (f forgery) forge(event sample.Event, key []byte, now time.Time) (sent sample.Event, header string, err error) {
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
