package main

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Any genuine body arrives once, byte for byte. The headers about it are printable ASCII
// or absent.
func TestHostileBodyArrivesWholeAndInjectsNoHeader(t *testing.T) {
	t.Parallel()
	const ids = `"agent_id":"agent_1","conversation_id":"conv_1"`
	type fields map[string]string // short names of headers, and their values
	audioIDs := fields{"Type": "post_call_audio", "Agent": "agent_1", "Conversation": "conv_1"}
	event := func(typ, data string) string { return `{"type":` + typ + `,"data":{` + data + `}}` }
	tests := []struct {
		name, body string
		want       fields // other headers of fields must be absent
	}{
		{"10,000 nested arrays before type", `{"data":{"x":` + strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000) + `,` + ids + `},"type":"post_call_audio"}`, audioIDs},
		{"10,000 nested arrays that never close", `{"data":{"x":` + strings.Repeat("[", 10_000), nil},
		{"10,000 nested objects", `{"type":"post_call_audio","x":` + strings.Repeat(`{"a":`, 10_000) + "1" + strings.Repeat("}", 10_000) + `,"data":{` + ids + `}}`, audioIDs},
		{"a string of 32 MiB before type", `{"data":{"full_audio":"` + strings.Repeat("QUJD", 8<<20) + `",` + ids + `},"type":"post_call_audio"}`, audioIDs},
		{"a name of 1 MiB", `{"` + strings.Repeat("type", 256<<10) + `":1,"type":"post_call_audio","data":{` + ids + `}}`, audioIDs},
		{"a type of 1 MiB", event(`"`+strings.Repeat("x", 1<<20)+`"`, ids), fields{"Agent": "agent_1", "Conversation": "conv_1"}},
		{"invalid UTF-8 in a value", event(`"post_call_audio"`, ids+`,"x":"`+"\xff\xfe\xc0\x80"+`"`), audioIDs},
		{"invalid UTF-8 in the type", event("\"post_call\xffaudio\"", ids), fields{"Agent": "agent_1", "Conversation": "conv_1"}},
		{"invalid UTF-8 in an id", event(`"post_call_audio"`, `"agent_id":"agent_1","conversation_id":"conv`+"\xff"+`"`), fields{"Type": "post_call_audio", "Agent": "agent_1"}},
		{"NUL bytes around the JSON", "\x00" + event(`"post_call_audio"`, ids) + "\x00", nil},
		{"NUL byte in an id", event(`"post_call_audio"`, `"agent_id":"agent_1","conversation_id":"conv`+"\x00"+`"`), nil},
		{"escaped NUL in an id", event(`"post_call_audio"`, `"agent_id":"agent_1","conversation_id":"conv\u0000"`), fields{"Type": "post_call_audio", "Agent": "agent_1"}},
		{"only NUL bytes", strings.Repeat("\x00", 100_000), nil},
		{"a byte order mark", "\xef\xbb\xbf" + event(`"post_call_audio"`, ids), nil},
		{"UTF-16", "\xff\xfe{\x00\"\x00t\x00", nil},
		{"escaped CR and LF in the type", event(`"post_call_audio\r\nX-ElevenLabs-Voice-Id: injected"`, ids), fields{"Agent": "agent_1", "Conversation": "conv_1"}},
		{"raw CR and LF in the type", event("\"post_call_audio\r\nX-ElevenLabs-Voice-Id: injected\"", ids), nil},
		{"escaped CR and LF in an id", event(`"post_call_audio"`, `"agent_id":"agent_1\r\n\r\ninjected","conversation_id":"conv_1\u000d\u000aX-Injected: 1"`), fields{"Type": "post_call_audio"}},
		{"non-ASCII in the type", event(`"post_call_aüdio"`, ids), fields{"Agent": "agent_1", "Conversation": "conv_1"}},
		{"non-ASCII in ids, escaped and not", event(`"post_call_audio"`, `"agent_id":"agent\u00e9","conversation_id":"会話"`), fields{"Type": "post_call_audio"}},
		{"half a surrogate pair in an id", event(`"post_call_audio"`, `"agent_id":"agent_1","conversation_id":"\ud800"`), fields{"Type": "post_call_audio", "Agent": "agent_1"}},
		{"ids of 256 and of 257 bytes", event(`"post_call_audio"`, `"agent_id":"`+strings.Repeat("a", 256)+`","conversation_id":"`+strings.Repeat("c", 257)+`"`), fields{"Type": "post_call_audio", "Agent": strings.Repeat("a", 256)}},
		{"ids that are not strings", event(`"post_call_audio"`, `"agent_id":{"a":1},"conversation_id":17`), fields{"Type": "post_call_audio"}},
		{"a placeholder in an id", event(`"post_call_audio"`, `"agent_id":"{env.WEBHOOK_SECRET}","conversation_id":"{http.request.uri}"`), fields{"Type": "post_call_audio", "Agent": "{env.WEBHOOK_SECRET}", "Conversation": "{http.request.uri}"}},
		{"null", "null", nil},
		{"nothing", "", nil},
	}
	b := newBackend(t)
	s := start(t, webhook(b.address(), ""))
	client := s.client("HTTP/1.1")
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			body := []byte(test.body)
			require.Equal(t, 200, send(t, client, s.event(body)).status)
			d := requireDelivered(t, b, body)
			for name, values := range d.header {
				assert.NotContains(t, strings.ToLower(name), "injected")
				assert.NotRegexp(t, `[^\x20-\x7e]`, strings.Join(values, ""), name)
			}
			for key, header := range map[string]string{"Type": "X-ElevenLabs-Event-Type", "Agent": "X-ElevenLabs-Agent-Id", "Conversation": "X-ElevenLabs-Conversation-Id", "Voice": "X-ElevenLabs-Voice-Id"} {
				assert.Equal(t, test.want[key], d.header.Get(header), header)
			}
		})
	}
}

// A client may break off at any point and in any way. Nothing of its event reaches the
// backend, the server keeps nothing of it, and the operator sees the rejection.
func TestBodyThatBreaksOffDoesNotReachTheBackend(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	s := start(t, webhook(b.address(), "memory_buffer 16KiB")) // the first quarter in memory, the rest on disk
	body := audio(64 << 10)
	config := s.tlsConfig()
	config.NextProtos = []string{"http/1.1"}
	var incomplete int
	for framing, head := range map[string]string{
		"Content-Length": fmt.Sprintf("Content-Length: %d", len(body)),
		"chunked":        "Transfer-Encoding: chunked",
	} {
		for cut := 0; cut < len(body); cut += 4 << 10 {
			for _, end := range []string{"half-closed", "closed", "reset"} {
				conn, err := tls.Dial("tcp", s.address, config)
				require.NoError(t, err)
				_, err = io.WriteString(conn, s.head(body, head))
				require.NoError(t, err)
				if framing == "chunked" {
					fmt.Fprintf(conn, "%x\r\n", len(body))
				}
				_, err = conn.Write(body[:cut])
				require.NoError(t, err)
				incomplete++
				if end == "half-closed" {
					require.NoError(t, conn.CloseWrite())
					answer, err := io.ReadAll(conn)
					require.NoError(t, err)
					assert.Contains(t, string(answer), "body_incomplete", "%s, cut at %d", framing, cut)
				}
				if end == "reset" {
					s.eventually("the request to come", func() bool { return s.goroutines("spool.Read") > 0 })
					require.NoError(t, conn.NetConn().(*net.TCPConn).SetLinger(0))
					require.NoError(t, conn.NetConn().Close())
				}
				_ = conn.Close()
			}
		}
	}
	all := incomplete
	for _, proto := range protocols[:2] { // an HTTP/3 client keeps the connection of a request that it broke off
		client := s.client(proto)
		for cut := 8 << 10; cut < len(body); cut += 4 << 10 {
			request := s.event(body)
			request.GetBody = nil
			request.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body[:cut]), iotest.ErrReader(errors.New("the client breaks off"))))
			_, err := try(client, request)
			require.Error(t, err)
			all++
			if proto == "HTTP/1.1" {
				incomplete++
			}
		}
		client.CloseIdleConnections()
	}
	s.requireNothingLeft()
	assert.Empty(t, b.take())
	seen := shown(t, s, "/elevenlabs/deliveries?result=rejected")
	assert.GreaterOrEqual(t, len(seen), incomplete)
	assert.LessOrEqual(t, len(seen), all, "a client may reset a stream before its request reaches the handler")
	for _, d := range seen {
		assert.Equal(t, "body_incomplete", d["reason"])
	}
	assert.Equal(t, 200, send(t, s.client("HTTP/1.1"), s.event(body)).status)
	requireDelivered(t, b, body)
}

// CGI and its successors map all these spellings to one variable. Caddy drops some of
// them itself, except if its configuration allows them.
func TestClientCannotSetTheHandlersHeadersInAnySpelling(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	for name, test := range map[string]struct {
		globals  string
		harmless []string // headers that must arrive
	}{
		"by default": {"", []string{"X-Other"}},
		"with underscores and dots allowed": {
			"{\n\tservers {\n\t\texpected_underscore_headers x_* x-elevenlabs_* idempotency_key\n\t\texpected_dot_headers x.* idempotency.key\n\t}\n}\n",
			[]string{"X_Other", "X.Other"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, test.globals+webhook(b.address(), ""))
			arrives := func(header string) bool {
				got := s.raw(t, func(w io.Writer) {
					_, _ = io.WriteString(w, s.head([]byte(transcript), fmt.Sprintf("Content-Length: %d\r\n%s: from the client", len(transcript), header))+transcript)
				})
				require.Equal(t, 200, got.status, header)
				for _, values := range requireDelivered(t, b, []byte(transcript)).header {
					if slices.Contains(values, "from the client") {
						return true
					}
				}
				return false
			}
			for _, header := range test.harmless {
				assert.True(t, arrives(header), header)
			}
			for _, header := range []string{
				"X-ElevenLabs-Voice-Id", "x-elevenlabs-voice-id", "X-ELEVENLABS-VOICE-ID", "x_elevenlabs_voice_id", "X_ElevenLabs-Voice_Id",
				"X.ElevenLabs.Voice.Id", "X~ElevenLabs~Voice~Id", "X-ElevenLabs_Verified", "X_ElevenLabs_Verified", "x-elevenlabs", "X-ElevenLabs-",
				"X-ElevenLabsVerified", "Idempotency_Key", "IDEMPOTENCY-KEY", "idempotency.key",
			} {
				assert.False(t, arrives(header), header)
			}
		})
	}
}

func TestCompressedBodyIsForwardedUnchanged(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	s := start(t, webhook(b.address(), ""))
	body := []byte("\x1f\x8b\x08\x00 not really gzip")
	request := s.event(body)
	request.Header.Set("Content-Encoding", "gzip")
	request.Header.Set("Accept-Encoding", "gzip")
	require.Equal(t, http.StatusOK, send(t, s.client("HTTP/2.0"), request).status)
	assert.Equal(t, "gzip", requireDelivered(t, b, body).header.Get("Content-Encoding"))
}
