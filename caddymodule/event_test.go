package caddymodule

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/deliveries"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/signature"
)

// Each case is a field, as a header and as a placeholder.
func TestVerifiedEventsComeWithTheirIdentity(t *testing.T) {
	const conversation = `{"type":"post_call_transcription","event_timestamp":"1739537297","data":{"agent_id":"agent_1","conversation_id":"conv_1"}}`
	const transcription = `{"type":"speech_to_text_transcription","data":{"request_id":"req_1"}}`
	const voice = `{"type":"voice_removed","data":{"voice_id":"voice_1"}}`
	digest := sha256.Sum256([]byte(conversation))
	id := hex.EncodeToString(digest[:])

	tests := []struct {
		header, placeholder, body, value string
	}{
		{"X-ElevenLabs-Verified", "verified", conversation, "true"},
		{"X-ElevenLabs-Event-Type", "event_type", conversation, "post_call_transcription"},
		{"X-ElevenLabs-Event-Id", "event_id", conversation, id},
		{"Idempotency-Key", "", conversation, id},
		{"X-ElevenLabs-Event-Timestamp", "event_timestamp", conversation, "1739537297"},
		{"X-ElevenLabs-Signed-At", "signed_at", conversation, "1795421654"},
		{"X-ElevenLabs-Secret-Name", "secret_name", conversation, "production"},
		{"X-ElevenLabs-Conversation-Id", "conversation_id", conversation, "conv_1"},
		{"X-ElevenLabs-Agent-Id", "agent_id", conversation, "agent_1"},
		{"X-ElevenLabs-Request-Id", "request_id", transcription, "req_1"},
		{"X-ElevenLabs-Voice-Id", "voice_id", voice, "voice_1"},
	}
	for _, test := range tests {
		t.Run(test.header, func(t *testing.T) {
			h, logs := provision(t, &Handler{Secrets: []Secret{{Value: "{env.TEST_OLD_SECRET}", Name: "old"}, {Value: "{env.TEST_SECRET}", Name: "production"}}})
			r := newRequest(test.body)
			sent := r.Header.Get(signature.HeaderName)
			res := serve(t, h, r)
			require.NoError(t, res.err)
			assert.Equal(t, 200, res.Code)
			assert.Equal(t, []string{test.value}, res.upstream.Values(test.header))
			if test.placeholder != "" {
				assert.Equal(t, test.value, res.placeholder(t, test.placeholder))
			}
			assert.Equal(t, test.body, string(res.upstreamBody))
			assert.Equal(t, sent, res.upstream.Get(signature.HeaderName), "the signature is forwarded unchanged")
			assert.Empty(t, res.upstream.Values("X-ElevenLabs-Rejection"))
			assert.Zero(t, logs.Len(), "an accepted event is not worth a line")
		})
	}
}

func TestPlaceholdersAreEmptyUntilVerifiedAndUnknownOnesUnknown(t *testing.T) {
	r := caddyhttp.PrepareRequest(newRequest(""), caddy.NewReplacer(), nil, nil)
	h, _ := provision(t, &Handler{})
	h.newEvent(r)
	repl := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	for _, row := range deliveries.EventFields {
		value, known := repl.GetString("http.elevenlabs." + row.Name)
		assert.True(t, known, row.Name)
		assert.Empty(t, value, row.Name)
	}
	_, known := repl.Get("http.elevenlabs.typo")
	assert.False(t, known)

	caddyhttp.SetVar(r.Context(), eventVar, "true") // as a config could with vars
	_, known = repl.Get("http.elevenlabs.verified")
	assert.False(t, known)
}

func TestSignedBodiesThatCannotBeReadAreForwardedWithoutTheHeaders(t *testing.T) {
	for name, body := range map[string]string{
		"empty":            "",
		"not JSON":         "hello",
		"not an object":    `["post_call_transcription"]`,
		"no type":          `{"data":{}}`,
		"type with a CR":   `{"type":"a\r\nX-Evil: 1"}`,
		"type too long":    `{"type":"` + strings.Repeat("a", 257) + `"}`,
		"type not ASCII":   `{"type":"é"}`,
		"type of a number": `{"type":1}`,
	} {
		t.Run(name, func(t *testing.T) {
			h, _ := provision(t, &Handler{})
			res := serve(t, h, newRequest(body))
			require.NoError(t, res.err)
			assert.Equal(t, body, string(res.upstreamBody))
			assert.Equal(t, int64(len(body)), res.length)
			assert.Equal(t, "true", res.upstream.Get("X-ElevenLabs-Verified"))
			assert.Empty(t, res.upstream.Values("X-ElevenLabs-Event-Type"))
			assert.Empty(t, res.upstream.Values("X-Evil"))
		})
	}
}

func TestUnknownTypesAreForwardedWithTheirNameAndIds(t *testing.T) {
	h, _ := provision(t, &Handler{})
	res := serve(t, h, newRequest(`{"type":"of_next_year","data":{"agent_id":"a"}}`))
	require.NoError(t, res.err)
	assert.Equal(t, "of_next_year", res.upstream.Get("X-ElevenLabs-Event-Type"))
	assert.Equal(t, "a", res.upstream.Get("X-ElevenLabs-Agent-Id"))
}

func TestClientsCannotSetOurHeadersInAnySpelling(t *testing.T) {
	spoofed := []string{
		"X-Elevenlabs-Verified", "x-elevenlabs-verified", "X-ELEVENLABS-Secret-Name", "X-Elevenlabs-Voice-Id",
		"X_ElevenLabs_Verified", "X-Elevenlabs_Event-Type", "X.ElevenLabs.Verified", "x~elevenlabs~verified",
		"X-Elevenlabs", "X-Elevenlabs-Not-Invented-Yet", "Idempotency-Key", "idempotency_key",
	}
	for _, reportOnly := range []bool{false, true} {
		h, _ := provision(t, &Handler{ReportOnly: reportOnly})
		r := newRequest(transcript)
		if reportOnly {
			r.Header.Del(signature.HeaderName)
		}
		for _, name := range spoofed {
			r.Header[name] = []string{"spoofed", "twice"}
		}
		res := serve(t, h, r)
		require.NoError(t, res.err)
		for name, values := range res.upstream {
			assert.NotContains(t, values, "spoofed", name)
		}
	}
}

func TestClientsCannotHaveOurHeadersRemovedByTheProxy(t *testing.T) {
	h, _ := provision(t, &Handler{ReportOnly: true})
	r := newRequest(transcript)
	r.Header.Del(signature.HeaderName)
	r.Header.Add("Connection", "close")
	r.Header.Add("Connection", "X-ElevenLabs-Verified, X-ElevenLabs-Rejection")
	res := serve(t, h, r)
	require.NoError(t, res.err)
	assert.Equal(t, "false", res.upstream.Get("X-ElevenLabs-Verified"))
	assert.Empty(t, res.upstream.Values("Connection"))
}

func TestRejectedRequestsKeepNoSpoofedHeaders(t *testing.T) {
	h, _ := provision(t, &Handler{})
	r := newRequest(transcript)
	r.Header.Set("X-ElevenLabs-Verified", "true")
	r.Header.Del(signature.HeaderName)
	header := r.Header
	requireRejected(t, serve(t, h, r), "signature_missing", 400)
	assert.Empty(t, header.Values("X-ElevenLabs-Verified"), "error routes see them")
}
