package caddymodule

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/signature"
)

// FuzzHandler checks that a request reaches the backend only if its header has the
// HMAC of the forwarded body, computed here by other code, and the time is near. With
// sign, the body has a genuine signature and must reach the backend.
func FuzzHandler(f *testing.F) {
	mac := func(t, body string) string {
		m := hmac.New(sha256.New, []byte(testSecret))
		m.Write([]byte(t + "." + body))
		return hex.EncodeToString(m.Sum(nil))
	}
	f.Add(signature.Sign([]byte(testSecret), signedAt, []byte(transcript)), "", transcript, false, int64(-1))
	f.Add("", "", transcript, true, int64(5))
	f.Add("t=1795421654,v0="+mac("1795421654", "5.{}"), "", "5.{}", false, int64(-1))
	f.Add("t=1795421654.5,v0="+mac("1795421654", "5.{}"), "", "{}", false, int64(-1))
	f.Add("t=1795421654,v0="+strings.Repeat("00", 32), "t=1795421654,v0="+mac("1795421654", ""), "", false, int64(0))
	f.Add("t=999999999999,v0="+mac("999999999999", "{}"), "", "{}", false, int64(2))

	h, _ := provision(f, &Handler{MaxSize: 64 << 10, MemoryBuffer: 64})
	f.Fuzz(func(t *testing.T, line, secondLine, body string, sign bool, length int64) {
		r := newRequest(body)
		if !sign {
			r.Header[http.CanonicalHeaderKey(signature.HeaderName)] = []string{line}
			if secondLine != "" {
				r.Header.Add(signature.HeaderName, secondLine)
			}
			r.ContentLength = length
		}
		sent := strings.Join(r.Header.Values(signature.HeaderName), ",")
		res := serve(t, h, r)
		if res.upstream == nil {
			require.Error(t, res.err)
			require.NotEqual(t, 200, res.status())
			require.False(t, sign && len(body) <= 64<<10, "a genuine event was rejected")
			return
		}
		got := string(res.upstreamBody)
		require.Equal(t, body, got)
		at := res.upstream.Get("X-ElevenLabs-Signed-At")
		seconds, err := strconv.ParseInt(at, 10, 64)
		require.NoError(t, err)
		require.InDelta(t, signedAt.Unix(), seconds, 30*60)
		require.Contains(t, strings.ToLower(sent), mac(at, got))
		digest := sha256.Sum256([]byte(got))
		require.Equal(t, hex.EncodeToString(digest[:]), res.upstream.Get("X-ElevenLabs-Event-Id"))
		for name, values := range res.upstream {
			for _, value := range values {
				assert.NotContains(t, value, "\n", name)
			}
		}
	})
}
