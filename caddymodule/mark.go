package caddymodule

import (
	"context"
	"net/http"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/backfill"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/deliveries"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"
)

// marksVar is the name of Caddy's request variable that holds marks. No configuration
// can put some there.
const marksVar = "elevenlabs_marks"

// marks are what the sender claims of a request.
type marks struct {
	test     bool
	backfill string // the proof, or what stands in its place
	// forwarded says that a handler such as ours forwarded the request to here.
	forwarded bool
}

var headerAttempt = deliveries.HeaderName("attempt")

// keepMarks remembers the marks of a request. Call it before the headers of ours are
// deleted: the signature is verified later, and perhaps by another handler.
func keepMarks(r *http.Request) {
	claimed := marksOf(r.Context())
	before := claimed
	if facts.IsTestMark(r.Header.Get(facts.HeaderTest)) {
		claimed.test = true
	}
	// A handler further out may have set the header for those behind it. Of several
	// values none counts: the command sends one.
	if values := r.Header.Values(facts.HeaderBackfill); len(values) == 1 && claimed.backfill == "" {
		claimed.backfill = values[0]
	}
	if eventOf(r.Context()) == nil && r.Header.Get(headerAttempt) != "" { // not of a handler further out
		claimed.forwarded = true
	}
	if claimed != before {
		caddyhttp.SetVar(r.Context(), marksVar, claimed)
	}
}

// marksOf returns the marks that a request came with. Believe that of a test only if the
// signature is genuine, and that of a backfill only after isBackfill.
func marksOf(ctx context.Context) marks {
	m, _ := caddyhttp.GetVar(ctx, marksVar).(marks)
	return m
}

// headerBackfill tells the command that the handler believed its mark.
var headerBackfill = deliveries.HeaderName("backfill")

// isBackfill reports whether the command `inbox backfill` made an event whose signature
// is genuine. It knows the secret that signed the event.
func (h *Handler) isBackfill(ctx context.Context, secret int, signedAt, eventID string) bool {
	mark := marksOf(ctx).backfill
	return mark != "" && backfill.Genuine(h.backfillKeys[secret], mark, signedAt, eventID)
}
