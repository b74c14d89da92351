package caddymodule

import (
	"net/http"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestStripDeletesWhatOnlyTheHandlerMaySet(t *testing.T) {
	id := strings.Repeat("0aF9", 16)
	for _, test := range []struct {
		name, value string
		kept        bool
	}{
		{"X-Elevenlabs-Verified", "true", false},
		{"X_elevenlabs_verified", "true", false},
		{"X-ELEVENLABS.EVENT ID", "1", false},
		{"X-Elevenlabs", "1", false},
		{"Idempotency-Key", id, false},
		{"Idempotency_key", id, false},
		{"Idempotency-Key", "c7f64d70-8787-46a0-af6e-f38de8b5c425", true},
		{"Idempotency-Key", id[1:], true},
		{"Elevenlabs-Signature", "t=1", true},
		{"Webhook-Signature", "v1,AQEB", true},
		{"X-Request-Id", "1", true},
	} {
		r := &http.Request{Header: http.Header{test.name: {"other", test.value}}}
		require.NoError(t, Strip{}.ServeHTTP(nil, r, caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error { return nil })))
		assert.Equal(t, test.kept, len(r.Header) == 1, "%s: %s", test.name, test.value)
	}
}

func TestStripTakesNoArgumentsAndNoBlock(t *testing.T) {
	for _, line := range []string{"elevenlabs_strip x y", "elevenlabs_strip {\nx\n}"} {
		_, err := adapt(":80 {\n" + line + "\n}\n")
		require.Error(t, err)
	}
	config, err := adapt(":80 {\nrequest_body {\nmax_size 1MB\n}\nelevenlabs_strip\nvars a b\n}\n")
	require.NoError(t, err)
	assert.Less(t, strings.Index(config, "elevenlabs_strip"), strings.Index(config, "vars"), "before all others")
}
