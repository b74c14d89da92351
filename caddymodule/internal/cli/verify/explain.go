package verify

import (
	"bytes"
	"context"
	"encoding/hex"
	"time"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/verify/reencode"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"
)

// explain finds the one change with which a capture that judge rejects would
// verify. It calls tried before each attempt, since attempts with large bodies take
// a while. The error is that the context has ended.
func explain(ctx context.Context, c capture, secret []byte, window window, now time.Time, tried func()) (explanation, error) {
	v := judge(c, secret, window, now)
	switch v.Result {
	case facts.TimestampStale.Code, facts.TimestampFuture.Code:
		return explainTime(c, v, window, now), nil
	case facts.MethodNotAllowed.Code:
		return explanation{
			Change: "method", Sentence: capitalise(v.Sentence) + ".",
			Remedy: "A redirect turns a POST into a GET: give ElevenLabs the URL that the redirect leads to.",
		}, nil
	}
	clues := parseLoosely(c)
	base := attempt{secret: secret, before: clues.time + ".", body: c.read(), macs: decodeAll(clues.v0, hex.DecodeString)}
	for _, change := range changes {
		for detail, a := range change.attempts(base, clues) {
			tried()
			if ctx.Err() != nil {
				return explanation{}, cmdutil.ErrInterrupted
			}
			if !a.matches() {
				continue
			}
			e := explanation{Change: change.name, Sentence: change.sentence + detail + ".", Remedy: change.remedy}
			if change.name == reserialised {
				e.Sentence, e.Remedy = rewrittenBy(change.sentence, detail, base.body, a.body)
			}
			if signedAt, ok := a.signedAt(); ok {
				then := judgeAge(signedAt, window, now)
				e.Then = &then
			}
			return e, nil
		}
	}
	return unexplained(clues, string(secret)), nil
}

// rewrittenBy tells who rewrote a body.
func rewrittenBy(sentence, detail string, received, signed []byte) (string, string) {
	value, _ := reencode.Parse(signed)
	names, remedy := by(reencode.WritersOf(bytes.TrimPrefix(received, []byte(byteOrderMark)), value))
	return sentence + names + detail + ".", remedy
}
