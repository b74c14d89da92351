package main

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/signature"
)

// With any framing, the backend gets only whole genuine bodies with a Content-Length, and
// no request that hides after one.
func TestHostileFramingBringsNoForgeryToTheBackend(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	s := start(t, webhook(b.address(), "max_size 1MiB\nread_timeout 2s"))
	const body = transcript
	sign := func(body string) string {
		return signature.HeaderName + ": " + signature.Sign([]byte(secret), time.Now(), []byte(body))
	}
	length := fmt.Sprintf("Content-Length: %d", len(body))
	chunk := fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body), body)
	smuggled := "POST /webhooks/elevenlabs HTTP/1.1\r\nHost: " + s.address + "\r\nX-ElevenLabs-Verified: true\r\nContent-Length: 6\r\n\r\nforged"

	tests := []struct {
		name     string
		headers  []string // besides Host
		body     string
		statuses []int // the statuses that the first answer may have
		arrives  bool
	}{
		{"correct, with Content-Length", []string{length, sign(body)}, body, []int{200}, true},
		{"correct, chunked", []string{"Transfer-Encoding: chunked", sign(body)}, chunk, []int{200}, true},
		{"a request after the body", []string{length, sign(body)}, body + smuggled, []int{200}, true},
		{"a request after the last chunk", []string{"Transfer-Encoding: chunked", sign(body)}, chunk + smuggled, []int{200}, true},
		{"Content-Length 0 and a request after it", []string{"Content-Length: 0", sign("")}, smuggled, []int{200}, false},
		{"Content-Length and chunked", []string{"Content-Length: 3", "Transfer-Encoding: chunked", sign(body)}, chunk + smuggled, []int{200, 400}, true},
		{"Content-Length twice, equal", []string{length, length, sign(body)}, body, []int{200, 400}, true},
		{"Content-Length twice, different", []string{length, "Content-Length: 3", sign(body)}, body, []int{400}, false},
		{"Content-Length negative", []string{"Content-Length: -1", sign(body)}, body, []int{400}, false},
		{"Content-Length with a sign", []string{"Content-Length: +120", sign(body)}, body, []int{400}, false},
		{"Content-Length beyond 64 bits", []string{"Content-Length: 99999999999999999999", sign(body)}, body, []int{400}, false},
		{"Content-Length huge", []string{"Content-Length: 9223372036854775807", sign(body)}, body, []int{413}, false},
		{"Transfer-Encoding twice", []string{"Transfer-Encoding: chunked", "Transfer-Encoding: chunked", sign(body)}, chunk, []int{400, 501}, false},
		{"Transfer-Encoding of another kind", []string{"Transfer-Encoding: xchunked", sign(body)}, chunk, []int{400, 501}, false},
		{"Transfer-Encoding with a blank before the colon", []string{"Transfer-Encoding : chunked", sign(body)}, chunk, []int{400}, false},
		{"folded signature header", []string{length, strings.Replace(sign(body), ",v0", "\r\n ,v0", 1)}, body, []int{200, 400}, true},
		{"chunk lines that end with a bare line feed", []string{"Transfer-Encoding: chunked", sign(body)}, strings.ReplaceAll(chunk, "\r\n", "\n"), []int{400}, false},
		{"chunk extension with a bare carriage return", []string{"Transfer-Encoding: chunked", sign(body)}, strings.Replace(chunk, "\r\n", ";x=\ry\r\n", 1), []int{400}, false},
		{"chunk extension with a bare line feed", []string{"Transfer-Encoding: chunked", sign(body)}, strings.Replace(chunk, "\r\n", ";x=\ny\r\n", 1), []int{400}, false},
		{"chunk extension of 100 KiB", []string{"Transfer-Encoding: chunked", sign(body)}, strings.Replace(chunk, "\r\n", ";"+strings.Repeat("x", 100<<10)+"\r\n", 1), []int{400}, false},
		{"chunk size above max_size", []string{"Transfer-Encoding: chunked", sign(body)}, "7fffffffffffffff\r\n" + body, []int{400}, false},
		{"chunk extension", []string{"Transfer-Encoding: chunked", sign(body)}, strings.Replace(chunk, "\r\n", ";x=\"y\"\r\n", 1), []int{200}, true},
		{"chunk size negative", []string{"Transfer-Encoding: chunked", sign(body)}, "-1\r\n" + body, []int{400}, false},
		{"chunk size huge", []string{"Transfer-Encoding: chunked", sign(body)}, "ffffffffffffffffff\r\n" + body, []int{400}, false},
		{"chunk size with 0x", []string{"Transfer-Encoding: chunked", sign(body)}, "0x" + chunk, []int{400}, false},
		{"chunk without its line end", []string{"Transfer-Encoding: chunked", sign(body)}, fmt.Sprintf("%x\r\n%sXX0\r\n\r\n", len(body), body), []int{400}, false},
		{"bare line feeds", []string{length + "\n" + sign(body)}, body, []int{200, 400}, true},
		{"signature header of 64 KiB", []string{length, sign(body) + ",x=" + strings.Repeat("x", 64<<10)}, body, []int{400, 431}, false},
		{"NUL in a header", []string{length, sign(body), "X-Nul: a\x00b"}, body, []int{400}, false},
		{"X-ElevenLabs-Verified folded into another header", []string{length, sign(body), "X-Harmless: a\r\n X-ElevenLabs-Verified: true"}, body, []int{200, 400}, true},
		{"Expect of another kind", []string{length, sign(body), "Expect: the-unexpected"}, body, []int{200, 417}, true},
		{"Content-Encoding of a body that is not compressed", []string{length, sign(body), "Content-Encoding: gzip"}, body, []int{200}, true},
		{"an absolute URL", []string{length, sign(body), "X-None: 1"}, body, []int{200}, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			target := "/webhooks/elevenlabs"
			if test.name == "an absolute URL" {
				target = "https://" + s.address + target
			}
			statuses := s.exchange(t, "POST "+target+" HTTP/1.1\r\nHost: "+s.address+"\r\n"+strings.Join(test.headers, "\r\n")+"\r\n\r\n"+test.body)
			require.NotEmpty(t, statuses)
			assert.Contains(t, test.statuses, statuses[0])
			var arrived int
			for _, d := range b.take() {
				assert.Equal(t, []string{"true"}, d.header.Values("X-ElevenLabs-Verified"))
				assert.Equal(t, d.digest, d.header.Get("X-ElevenLabs-Event-Id"))
				assert.Empty(t, d.encoding)
				if d.digest == digestOf([]byte(body)) {
					arrived++
				} else {
					assert.Equal(t, digestOf(nil), d.digest, "the backend got a body that was not signed")
				}
			}
			assert.LessOrEqual(t, arrived, 1, "the body arrived twice")
			assert.Equal(t, test.arrives && slices.Contains(statuses, 200), arrived == 1)
		})
	}
}

// A client that waits for 100 Continue gets it, except if its headers are rejected.
func TestOnlyAcceptableHeadersGet100Continue(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	s := start(t, webhook(b.address(), "read_timeout 1s"))
	config := s.tlsConfig()
	config.NextProtos = []string{"http/1.1"}
	for name, want := range map[string][]int{"signed": {100, 200}, "unsigned": {400}} {
		conn, err := tls.Dial("tcp", s.address, config)
		require.NoError(t, err)
		defer conn.Close()
		require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
		head := s.head([]byte(transcript), fmt.Sprintf("Content-Length: %d\r\nExpect: 100-continue", len(transcript)))
		if name == "unsigned" {
			head = strings.Replace(head, signature.HeaderName, "X-None", 1)
		}
		_, err = io.WriteString(conn, head)
		require.NoError(t, err)
		reader := bufio.NewReader(conn)
		for _, status := range want {
			response, err := http.ReadResponse(reader, nil)
			require.NoError(t, err, name)
			assert.Equal(t, status, response.StatusCode, name)
			if status == 100 {
				_, err = io.WriteString(conn, transcript)
				require.NoError(t, err)
			}
		}
	}
	requireDelivered(t, b, []byte(transcript))
}

// exchange sends a text over HTTP/1.1 and TLS. It returns the statuses of all answers.
func (s *server) exchange(t testing.TB, request string) (statuses []int) {
	t.Helper()
	config := s.tlsConfig()
	config.NextProtos = []string{"http/1.1"}
	conn, err := tls.Dial("tcp", s.address, config)
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
	_, _ = io.WriteString(conn, request) // fails if the server answers and closes early
	_ = conn.CloseWrite()
	reader := bufio.NewReader(conn)
	for {
		response, err := http.ReadResponse(reader, nil)
		if err != nil {
			return statuses
		}
		_, _ = io.Copy(io.Discard, response.Body)
		_ = response.Body.Close()
		statuses = append(statuses, response.StatusCode)
	}
}
