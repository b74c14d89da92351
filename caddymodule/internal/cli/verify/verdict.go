package verify

import (
	"errors"
	"net/http"
	"time"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/signature"
)

// window is how far the time of signing may be from now.
type window struct{ past, future time.Duration }

var defaultWindow = window{facts.DefaultPast, facts.DefaultFuture}

// pass is the result for a capture that elevenlabs_webhook would accept.
const pass = "pass"

// verdict says whether elevenlabs_webhook would accept a capture.
type verdict struct {
	// Result is pass, or the code of the rejection.
	Result   string `json:"result"`
	Sentence string `json:"sentence"`
	SignedAt *int64 `json:"signed_at,omitempty"` // of a genuine signature
	Age      *int64 `json:"age_seconds,omitempty"`
}

// judge verifies a capture as elevenlabs_webhook would.
func judge(c capture, secret []byte, window window, now time.Time) verdict {
	if c.method != "" && c.method != http.MethodPost {
		return verdict{Result: facts.MethodNotAllowed.Code, Sentence: "the method is " + c.method + ", and ElevenLabs sends POST"}
	}
	header, err := signature.Parse(c.lines)
	switch {
	case errors.Is(err, signature.ErrMissing):
		return verdict{Result: facts.SignatureMissing.Code, Sentence: err.Error()}
	case err != nil:
		return verdict{Result: facts.SignatureMalformed.Code, Sentence: err.Error()}
	case c.incomplete != "":
		return verdict{Result: facts.BodyIncomplete.Code, Sentence: c.incomplete}
	}
	verifier, err := signature.NewVerifier([][]byte{secret}, window.past, window.future, func() time.Time { return now })
	if err == nil {
		_, err = verifier.Verify(c.lines, c.read())
	}
	if err != nil && !errors.Is(err, signature.ErrStale) && !errors.Is(err, signature.ErrFuture) {
		return verdict{Result: facts.SignatureMismatch.Code, Sentence: "the secret did not make this signature for this body"}
	}
	return judgeAge(header.SignedAt(), window, now)
}

// judgeAge judges a genuine signature by its time alone.
func judgeAge(signedAt time.Time, window window, now time.Time) verdict {
	age := now.Sub(signedAt)
	unix, seconds := signedAt.Unix(), int64(age.Round(time.Second)/time.Second) // as Span rounds
	v := verdict{Result: pass, SignedAt: &unix, Age: &seconds}
	when := "signed at " + signedAt.UTC().Format(time.RFC3339) + ", " + cmdutil.Span(age.Abs())
	if age < 0 {
		when += " ahead"
	} else {
		when += " ago"
	}
	switch {
	case age > window.past:
		v.Result, v.Sentence = facts.TimestampStale.Code, facts.TimestampStale.Sentence+": "+when
	case age < -window.future:
		v.Result, v.Sentence = facts.TimestampFuture.Code, facts.TimestampFuture.Sentence+": "+when
	default:
		v.Sentence = when
	}
	return v
}
