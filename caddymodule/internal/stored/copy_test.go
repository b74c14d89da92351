package stored

import (
	"crypto/tls"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/inbox"
)

// copied returns the headers of a copy of an event, as a client gets it.
func copied(t *testing.T, request Request) (http.Header, []string) {
	t.Helper()
	request.KeepBytes()
	text, err := json.Marshal(request)
	require.NoError(t, err)
	e := inbox.Entry{Size: 2, Stored: 2, ReceivedAt: time.Unix(1795421654, 0)}
	e.ID, e.Type, e.Fields, e.Request = "5b1c", "post_call_audio", `{"signed_at":"1795421650","secret_name":"prod"}`, string(text)
	shown, err := NewDetail(e, nil)
	require.NoError(t, err)
	text, err = json.Marshal(shown)
	require.NoError(t, err)
	var read Detail
	require.NoError(t, json.Unmarshal(text, &read))
	return read.CopyHeader(1)
}

func TestACopyHasTheHeadersOfTheBackendAndNoCredential(t *testing.T) {
	header, withheld := copied(t, Request{
		Host: "hooks.example.com", URI: "/", RemoteAddr: "34.67.146.145:4711", TLS: &TLS{Version: tls.VersionTLS13},
		Header: http.Header{
			"Elevenlabs-Signature": {"t=1,v0=2"}, "Authorization": {"Basic x"}, "Content-Type": {"application/json"}, "X-Bytes": {"\xe9", "a"},
			"X-Forwarded-For": {"203.0.113.7"}, "Connection": {"X-Custom"}, "Keep-Alive": {"5"}, "Expect": {"100-continue"}, "X-Custom": {"REDACTED"},
		},
	})
	assert.Equal(t, []string{"Authorization", "Elevenlabs-Signature"}, withheld)
	assert.Equal(t, http.Header{
		"Content-Type": {"application/json"}, "X-Bytes": {"\xe9", "a"}, "X-Custom": {"REDACTED"}, "Idempotency-Key": {"5b1c"},
		"X-Forwarded-For": {"34.67.146.145"}, "X-Forwarded-Proto": {"https"}, "X-Forwarded-Host": {"hooks.example.com"},
		"X-Elevenlabs-Verified": {"true"}, "X-Elevenlabs-Event-Type": {"post_call_audio"}, "X-Elevenlabs-Event-Id": {"5b1c"},
		"X-Elevenlabs-Signed-At": {"1795421650"}, "X-Elevenlabs-Secret-Name": {"prod"}, "X-Elevenlabs-Received-At": {"1795421654"}, "X-Elevenlabs-Attempt": {"1"},
	}, header)
}

func TestACopyKeepsWhatATrustedProxyForwarded(t *testing.T) {
	for _, test := range []struct {
		name                      string
		request                   Request
		addresses, proto, through []string
	}{
		{"from a client", Request{RemoteAddr: "192.0.2.1:1", Host: "a"}, []string{"192.0.2.1"}, []string{"http"}, []string{"a"}},
		{"from a trusted proxy", Request{RemoteAddr: "192.0.2.1:1", Host: "a", TrustedProxy: true}, []string{"203.0.113.7, 192.0.2.1"}, []string{"https"}, []string{"b"}},
		{"over a Unix socket", Request{RemoteAddr: "@", Host: "a"}, nil, []string{"http"}, []string{"a"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.request.Header = http.Header{"X-Forwarded-For": {"203.0.113.7"}, "X-Forwarded-Proto": {"https"}, "X-Forwarded-Host": {"b"}}
			header, _ := copied(t, test.request)
			assert.Equal(t, test.addresses, header["X-Forwarded-For"])
			assert.Equal(t, test.proto, header["X-Forwarded-Proto"])
			assert.Equal(t, test.through, header["X-Forwarded-Host"])
		})
	}
}
