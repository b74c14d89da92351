package caddymodule

import (
	"context"
	"net/http"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"
)

// testVar is the name of Caddy's request variable that holds a testMark.
const testVar = "elevenlabs_test"

// testMark says that the sender marked the request as a test. No configuration can
// put one into a variable.
type testMark struct{}

// keepMark remembers the mark of a test. Call it before the headers of ours are
// deleted: the signature is verified later, and perhaps by another handler.
func keepMark(r *http.Request) {
	if facts.IsTestMark(r.Header.Get(facts.HeaderTest)) {
		caddyhttp.SetVar(r.Context(), testVar, testMark{})
	}
}

// marked reports whether the sender marked the request as a test. Believe it only if
// the signature is genuine.
func marked(ctx context.Context) bool {
	_, ok := caddyhttp.GetVar(ctx, testVar).(testMark)
	return ok
}
