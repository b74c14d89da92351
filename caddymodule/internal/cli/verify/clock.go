package verify

import (
	"fmt"
	"strconv"
	"time"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/envelope"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"
)

// explainTime explains why the time of a genuine signature is outside the window:
// the request is late, or a clock is wrong.
func explainTime(c capture, v verdict, window window, now time.Time) explanation {
	signedAt := time.Unix(*v.SignedAt, 0).UTC()
	age := now.Sub(signedAt)
	near := func(t time.Time) bool { return !t.IsZero() && t.Sub(signedAt).Abs() <= window.past }

	witness := "" // another clock's account of the time of sending
	switch {
	case near(c.date):
		witness = "the request's Date header"
	case near(eventTime(c.body)):
		witness = "the body's event_timestamp"
	}
	clock := "this machine's clock (" + now.UTC().Format(time.RFC3339) + ")"
	at := fmt.Sprintf("To verify a capture as of the time of signing: --at %d.", signedAt.Unix())

	if v.Result == facts.TimestampFuture.Code {
		e := explanation{
			Change:   "clock_behind",
			Sentence: fmt.Sprintf("The signature is genuine, and was made %s ahead of the time here, which is %s more than the tolerance.", cmdutil.Span(-age), cmdutil.Span(-age-window.future)),
			Remedy:   "This machine's clock is probably behind: compare it (timedatectl on Linux). " + at,
		}
		if witness != "" {
			e.Sentence += fmt.Sprintf(" %s agrees with the time of signing, so %s is probably wrong.", capitalise(witness), clock)
		}
		return e
	}
	e := explanation{
		Change:   "late",
		Sentence: fmt.Sprintf("The signature is genuine, and was made %s ago, which is %s more than the tolerance.", cmdutil.Span(age), cmdutil.Span(age-window.past)),
		Remedy:   at,
	}
	switch {
	case !c.date.IsZero() && !near(c.date) && c.date.After(signedAt):
		e.Change = "sent_late"
		e.Sentence += fmt.Sprintf(" Its Date header says that it was sent %s after signing.", cmdutil.Span(c.date.Sub(signedAt)))
		e.Remedy = "It is a retry that was not signed again, or a replay. If ElevenLabs's retries come so late, raise the tolerance. " + at
	case witness != "":
		e.Sentence += fmt.Sprintf(" %s agrees with the time of signing. So it was captured then, or %s is ahead.", capitalise(witness), clock)
		e.Remedy += " If it came just now, correct the clock (timedatectl on Linux)."
	}
	return e
}

// eventTime returns a body's event_timestamp, or zero.
func eventTime(body []byte) time.Time {
	var scanner envelope.Scanner
	_, _ = scanner.Write(body)
	seconds, err := strconv.ParseFloat(scanner.Fields().EventTimestamp, 64)
	if err != nil || seconds <= 0 || seconds > 1e12 {
		return time.Time{}
	}
	return time.Unix(int64(seconds), 0)
}
