package caddymodule

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/signature"
)

// ElevenLabs also sends what is no webhook of this kind, and follows redirects.
func TestTheLogSaysWhatIsLikelyIfTheAddressIsOneOfElevenLabs(t *testing.T) {
	unsigned := func(r *http.Request) { r.Header.Del(signature.HeaderName) }
	get := func(r *http.Request) { r.Method = http.MethodGet }
	for _, test := range []struct {
		reason     *facts.Rejection
		change     func(*http.Request)
		remote     string
		says       string
		reportOnly bool
	}{
		{reason: facts.SignatureMissing, change: unsigned, remote: "34.67.146.145:1", says: "signs neither conversation-initiation webhooks nor calls of server tools"},
		{reason: facts.SignatureMissing, change: unsigned, remote: "34.67.146.145:1", says: "signs neither", reportOnly: true},
		{reason: facts.SignatureMissing, change: unsigned, remote: "203.0.113.7:1"},
		{reason: facts.MethodNotAllowed, change: get, remote: "34.67.146.145:1", says: "a redirect in front of Caddy made a GET of the POST"},
		{reason: facts.MethodNotAllowed, change: get, remote: "203.0.113.7:1"},
	} {
		h, logs := provision(t, &Handler{ReportOnly: test.reportOnly})
		r := newRequest(transcript)
		test.change(r)
		r.RemoteAddr = test.remote
		serve(t, h, r)
		lines := logs.FilterField(zap.String("reason", test.reason.Code)).All()
		require.Len(t, lines, 1)
		hint, _ := lines[0].ContextMap()["hint"].(string)
		if test.says == "" {
			assert.Empty(t, hint)
		} else {
			assert.Contains(t, hint, test.says)
		}
	}
}
