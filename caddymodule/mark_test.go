package caddymodule

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/stretchr/testify/assert"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/deliveries"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"
)

// through makes a handler of a middleware and what follows it.
func through(m caddyhttp.MiddlewareHandler, next caddyhttp.Handler) caddyhttp.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) error { return m.ServeHTTP(w, r, next) }
}

func TestTheMarkOfATestIsKnownHoweverManyHandlersDeleteIt(t *testing.T) {
	outer, _ := provision(t, &Handler{})
	inner, _ := provision(t, &Handler{})
	var sent http.Header
	backend := caddyhttp.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		sent = r.Header.Clone()
		w.WriteHeader(http.StatusOK)
		return nil
	})
	for name, handler := range map[string]caddyhttp.Handler{
		"one handler":            through(outer, backend),
		"two handlers":           through(outer, through(inner, backend)),
		"elevenlabs_strip":       through(Strip{}, through(outer, backend)),
		"elevenlabs_strip twice": through(Strip{}, through(Strip{}, through(outer, backend))),
	} {
		for _, marked := range []bool{true, false} {
			r := newRequest(transcript)
			if marked {
				r.Header.Set(facts.HeaderTest, facts.TestMark("v1.2.3"))
			}
			w := httptest.NewRecorder()
			assert.NoError(t, handler.ServeHTTP(w, caddyhttp.PrepareRequest(r, caddy.NewReplacer(), w, nil)), name)
			assert.Equal(t, marked, lastDelivery(t).Test, name)
			assert.Equal(t, "true", sent.Get("X-ElevenLabs-Verified"), name)
			assert.Empty(t, sent.Values(facts.HeaderTest), name)
		}
	}
}

// Anyone can claim to be a test. The operator sees the claim, but it takes a request
// that is not proven out of no count.
func TestTheMarkOfATestDoesNotHideAForgery(t *testing.T) {
	h, _ := provision(t, &Handler{})
	r := newRequest(transcript) // from an address of ElevenLabs
	r.Header.Set(facts.HeaderTest, facts.TestMark("v1.2.3"))
	sign(r, "wsec_other", signedAt, transcript)
	serve(t, h, r)
	assert.True(t, lastDelivery(t).Test)
	assert.True(t, lastDelivery(t).Counts)
	assert.Equal(t, 1, deliveries.Total(h.group.counters.All()).FailuresInRow)
}

func TestOnlyTheMarkMakesATest(t *testing.T) {
	h, _ := provision(t, &Handler{})
	for _, header := range [][2]string{
		{"User-Agent", "caddy-elevenlabs-send"},
		{facts.HeaderTest, "true"}, // such as a header of the operator's on the webhook
		{facts.HeaderTest, ""},
		{facts.HeaderTest, "/v1.2.3"},
		{facts.HeaderTest, "caddy-elevenlabs-send/v1.2.3"},
	} {
		r := newRequest(transcript)
		r.Header.Set(header[0], header[1])
		serve(t, h, r)
		assert.False(t, lastDelivery(t).Test, header)
	}
}
