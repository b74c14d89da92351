package cli

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/envelope"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/signature"
)

// explanation is what is wrong with a capture that does not verify. It never
// holds a secret, nor a signature that was computed.
type explanation struct {
	Change   string `json:"change"` // a row of changes, or a word of explain
	Sentence string `json:"sentence"`
	Remedy   string `json:"remedy"`
	// Then is the verdict once the change is made.
	Then *verdict `json:"then,omitempty"`
}

// explainCapture finds the one change by which a capture that judge refuses would
// verify. tried is called before each attempt, of which some large bodies take
// a while. The error is that the context has ended.
func explainCapture(ctx context.Context, d capture, secret []byte, window window, now time.Time, tried func()) (explanation, error) {
	v := judge(d, secret, window, now)
	switch v.Reason {
	case reasonStale, reasonFuture:
		return explainTime(d, v, window, now), nil
	case reasonMethod:
		return explanation{Change: "method", Sentence: capitalise(v.Sentence) + ".", Remedy: "Only POSTs are webhooks. A redirect turns a POST into a GET: give ElevenLabs the URL that it ends at."}, nil
	}
	clues := parseLoosely(d)
	base := attempt{secret: secret, before: clues.time + ".", body: d.read(), macs: decodeAll(clues.v0, hex.DecodeString)}
	for _, c := range changes {
		for detail, a := range c.attempts(base, clues) {
			tried()
			if ctx.Err() != nil {
				return explanation{}, cmdutil.ErrInterrupted
			}
			if !a.matches() {
				continue
			}
			e := explanation{Change: c.name, Sentence: c.sentence + detail + ".", Remedy: c.remedy}
			if signedAt, ok := a.signedAt(); ok {
				then := judgeAge(signedAt, window, now)
				e.Then = &then
			}
			return e, nil
		}
	}
	return nothingFits(clues), nil
}

// attempt is a way in which a capture may have been signed.
type attempt struct {
	secret []byte
	before string // what is signed before the body: the timestamp and a dot
	body   []byte
	macs   [][]byte // any of which may match
}

func (a attempt) matches() bool {
	if len(a.macs) == 0 {
		return false
	}
	mac := hmac.New(sha256.New, a.secret)
	mac.Write([]byte(a.before)) // hash.Hash never returns an error
	mac.Write(a.body)
	sum := mac.Sum(nil)
	return slices.ContainsFunc(a.macs, func(given []byte) bool { return hmac.Equal(given, sum) })
}

func (a attempt) withBody(body []byte) attempt {
	a.body = body
	return a
}

func (a attempt) signedAt() (time.Time, bool) {
	t := strings.TrimSuffix(a.before, ".")
	number, err := strconv.ParseInt(t, 10, 64)
	if err == nil && isMilliseconds(t) {
		return time.UnixMilli(number), true
	}
	return time.Unix(number, 0), err == nil
}

func isMilliseconds(t string) bool { return len(t) == 13 }

// clues are a capture and its signature header, however that is written.
type clues struct {
	capture
	time   string
	v0, v1 []string
	whole  []string // the lines as they are
	other  bool     // it has another name: X-ElevenLabs-Signature
	wrong  error    // what package signature has against it
}

func parseLoosely(d capture) clues {
	_, err := signature.Parse(d.lines)
	h := clues{capture: d, whole: d.lines, wrong: err}
	if len(d.lines) == 0 && len(d.recipe) > 0 {
		h.whole, h.other = d.recipe, true
	}
	for _, line := range h.whole {
		for element := range strings.FieldsFuncSeq(line, func(r rune) bool { return r == ',' || r == ';' }) {
			name, value, _ := strings.Cut(element, "=")
			value = cmdutil.TrimQuotes(value)
			switch strings.ToLower(cmdutil.TrimQuotes(name)) {
			case "t":
				if h.time == "" {
					h.time = value
				}
			case "v0":
				h.v0 = append(h.v0, value)
			case "v1":
				h.v1 = append(h.v1, value)
			}
		}
	}
	return h
}

// bare are the lines as signatures without a name, as copied recipes have them.
func (h clues) bare() []string {
	values := make([]string, 0, len(h.whole))
	for _, line := range h.whole {
		values = append(values, strings.TrimPrefix(cmdutil.TrimQuotes(line), "sha256="))
	}
	return values
}

// decodeAll decodes what are MACs, and leaves out what is none.
func decodeAll(values []string, decoders ...func(string) ([]byte, error)) [][]byte {
	var macs [][]byte
	for _, value := range values {
		for _, decode := range decoders {
			if mac, err := decode(value); err == nil && len(mac) == sha256.Size {
				macs = append(macs, mac)
			}
		}
	}
	return macs
}

// decoders are of hex, and after that of all kinds of base64.
var decoders = []func(string) ([]byte, error){
	hex.DecodeString,
	base64.StdEncoding.DecodeString, base64.RawStdEncoding.DecodeString,
	base64.URLEncoding.DecodeString, base64.RawURLEncoding.DecodeString,
}

// explainTime says of a genuine signature why its time is out of the window:
// late, or by a wrong clock.
func explainTime(d capture, v verdict, window window, now time.Time) explanation {
	signedAt := time.Unix(*v.SignedAt, 0).UTC()
	age := now.Sub(signedAt)
	near := func(t time.Time) bool { return !t.IsZero() && t.Sub(signedAt).Abs() <= window.past }

	witness := "" // of the time at which it was sent, by another clock than ours
	switch {
	case near(d.date):
		witness = "the request's Date header"
	case near(eventTime(d.body)):
		witness = "the body's event_timestamp"
	}
	at := fmt.Sprintf("--at %d", signedAt.Unix())

	if v.Reason == reasonFuture {
		e := explanation{
			Change:   "clock_behind",
			Sentence: fmt.Sprintf("The signature is genuine, and made %s ahead of the time here, which is %s more than the tolerance.", cmdutil.Span(-age), cmdutil.Span(-age-window.future)),
			Remedy:   "This machine's clock is probably behind: compare it (timedatectl on Linux). To verify as of then: " + at + ".",
		}
		if witness != "" {
			e.Sentence += fmt.Sprintf(" %s agrees with it, so it is this machine's clock (%s) that looks wrong.", capitalise(witness), now.UTC().Format(time.RFC3339))
		}
		return e
	}
	e := explanation{
		Change:   "late",
		Sentence: fmt.Sprintf("The signature is genuine, and was made %s ago, which is %s more than the tolerance.", cmdutil.Span(age), cmdutil.Span(age-window.past)),
		Remedy:   "To verify a capture as of then: " + at + ".",
	}
	switch {
	case !d.date.IsZero() && !near(d.date) && d.date.After(signedAt):
		e.Change = "sent_late"
		e.Sentence += fmt.Sprintf(" By its Date header it was sent %s after it was signed.", cmdutil.Span(d.date.Sub(signedAt)))
		e.Remedy = "It is a repeat that was not signed anew, or a replay. If ElevenLabs's repeats come so late, raise the tolerance. " + e.Remedy
	case witness != "":
		e.Sentence += fmt.Sprintf(" %s agrees with the time of signing. So it was captured then, or this machine's clock (%s) is ahead.", capitalise(witness), now.UTC().Format(time.RFC3339))
		e.Remedy += " If it came just now, set the clock right (timedatectl on Linux)."
	}
	return e
}

// eventTime is a body's event_timestamp, or zero.
func eventTime(body []byte) time.Time {
	var scanner envelope.Scanner
	_, _ = scanner.Write(body)
	seconds, err := strconv.ParseFloat(scanner.Fields().EventTimestamp, 64)
	if err != nil || seconds <= 0 || seconds > 1e12 {
		return time.Time{}
	}
	return time.Unix(int64(seconds), 0)
}

func capitalise(s string) string { return strings.ToUpper(s[:1]) + s[1:] }
