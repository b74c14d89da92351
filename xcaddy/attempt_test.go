package main

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
)

// The backend is down at first, so the handlers that follow ours run several times. Each
// of Caddy's standard directives that keep state must act as in the first attempt.
func TestEachAttemptRunsTheHandlersThatFollowAsTheFirst(t *testing.T) {
	t.Parallel() // it mostly waits
	for _, test := range []struct {
		name, after string // $BACKEND is down at first, $OTHER never
		path        string
		header      map[string][]string
	}{
		{name: "handle by type", after: "@audio elevenlabs_event post_call_audio\nhandle @audio {\nreverse_proxy $OTHER\n}\n@transcript elevenlabs_event post_call_transcription\nhandle @transcript {\nreverse_proxy $BACKEND\n}"},
		{name: "handle by type, then respond", after: "@transcript elevenlabs_event post_call_transcription\nhandle @transcript {\nreverse_proxy $BACKEND\n}\nhandle /nowhere {\nrespond 404\n}\nrespond 200"},
		{name: "handle by type, then a default", after: "@transcript elevenlabs_event post_call_transcription\nhandle @transcript {\nreverse_proxy $BACKEND\n}\nhandle {\nreverse_proxy $OTHER\n}\nreverse_proxy $OTHER"},
		{name: "handle_path", after: "handle_path /webhooks/* {\nreverse_proxy $BACKEND\n}\nhandle {\nreverse_proxy $OTHER\n}", path: "/elevenlabs"},
		{name: "rewrite, of which one applies", after: "@audio elevenlabs_event post_call_audio\n@transcript elevenlabs_event post_call_transcription\nroute {\nrewrite @audio /audio\nrewrite @transcript /transcript\nreverse_proxy $BACKEND\n}", path: "/transcript"},
		{name: "rewrite with what was", after: "rewrite * /app{uri}\nreverse_proxy $BACKEND", path: "/app/webhooks/elevenlabs"},
		{name: "uri", after: "uri strip_prefix /webhooks\nreverse_proxy $BACKEND", path: "/elevenlabs"},
		{name: "method", after: "@post method POST\nhandle @post {\nmethod PUT\nmethod POST\nreverse_proxy $BACKEND\n}"},
		{name: "request_header", after: "request_header +X-Added 1\nreverse_proxy $BACKEND", header: map[string][]string{"X-Added": {"1"}}},
		{name: "vars", after: "@first not vars tried yes\nvars @first count once\n@again vars tried yes\nvars @again count again\nvars tried yes\nreverse_proxy $BACKEND {\nheader_up X-Count {vars.count}\n}", header: map[string][]string{"X-Count": {"once"}}},
		{name: "root", after: "root /tmp\nreverse_proxy $BACKEND {\nheader_up X-Root {vars.root}\n}", header: map[string][]string{"X-Root": {"/tmp"}}},
		{name: "map", after: "map {path} {mapped} {\n~^/webhooks/(.*)$ $1\ndefault none\n}\nrewrite * /{mapped}\nreverse_proxy $BACKEND {\nheader_up X-Mapped {mapped}\n}", path: "/elevenlabs"},
		{name: "placeholders of a matcher", after: "@old header_regexp seen X-Seen (.*)\nhandle @old {\nreverse_proxy $OTHER\n}\nhandle {\nrequest_header X-Seen {re.seen.1}none\nreverse_proxy $BACKEND\n}", header: map[string][]string{"X-Seen": {"{http.regexp.seen.1}none"}}},
		{name: "an error's placeholders", after: "request_header X-Error \"{err.status_code}none\"\nroute {\nreverse_proxy $BACKEND\n}", header: map[string][]string{"X-Error": {"{http.error.status_code}none"}}},
		{name: "invoke", after: "invoke app"},
		{name: "header", after: "header +X-Answered 1\nreverse_proxy $BACKEND"},
		{name: "request_body", after: "request_body {\nmax_size 1MB\n}\nreverse_proxy $BACKEND"},
		{name: "encode and templates", after: "encode\ntemplates\nreverse_proxy $BACKEND"},
		{name: "intercept", after: "intercept {\n@none status 599\nhandle_response @none {\nrespond 500\n}\n}\nreverse_proxy $BACKEND"},
		{name: "log_append and log_skip", after: "log_append tried {vars.tried}\nlog_skip\nreverse_proxy $BACKEND"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b, other := newBackend(t), newBackend(t)
			down := fmt.Sprintf("127.0.0.1:%d", freePort(t))
			replaced := strings.NewReplacer("$BACKEND", down, "$OTHER", other.address())
			s := start(t, "{\ndebug\n}\n"+replaced.Replace("&(app) {\nreverse_proxy $BACKEND\n}\n"+around("", test.after)))
			client := s.client("HTTP/1.1")
			answers := make(chan answer, 1)
			go func() {
				got, err := try(client, s.event([]byte(transcript)))
				assert.NoError(t, err)
				answers <- got
			}()
			s.awaitLog("connection refused") // at the first attempt
			b.comeUp(t, down, 0)
			got := <-answers
			client.CloseIdleConnections()
			assert.Equal(t, 200, got.status)
			assert.Empty(t, other.take(), "another application got the event")
			d := b.take()
			require.Len(t, d, 1)
			assert.Equal(t, digestOf([]byte(transcript)), d[0].digest)
			assert.Equal(t, http.MethodPost, d[0].method)
			if test.path == "" {
				test.path = "/webhooks/elevenlabs"
			}
			assert.Equal(t, test.path, d[0].path)
			for name, values := range test.header {
				assert.Equal(t, values, d[0].header.Values(name))
			}
			assert.LessOrEqual(t, len(got.header.Values("X-Answered")), 1)
			last := shown(t, s, "/elevenlabs/deliveries")[0]
			assert.Equal(t, "accepted", last["result"])
			assert.Greater(t, last["attempts"], 1.)
		})
	}
}

// net/http opens another connection by itself, without end, if the backend ends each
// one before it takes the request.
func TestAnHTTP2BackendThatEndsEachConnectionIsGivenUp(t *testing.T) {
	t.Parallel() // it mostly waits
	goAway := func(f *http2.Framer, _ uint32) error { return f.WriteGoAway(0, http2.ErrCodeNo, nil) }
	refuseStream := func(f *http2.Framer, id uint32) error {
		return f.WriteRSTStream(id, http2.ErrCodeRefusedStream)
	}
	for _, test := range []struct {
		name, options, body string
		refuse              func(*http2.Framer, uint32) error
	}{
		{name: "GOAWAY", body: transcript, refuse: goAway},
		{name: "REFUSED_STREAM", body: transcript, refuse: refuseStream},
		{name: "GOAWAY, and the body is empty", options: "report_only", refuse: goAway},
		{name: "REFUSED_STREAM, and the body is empty", options: "report_only", refuse: refuseStream},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			defer listener.Close()
			var streams atomic.Int32
			go func() {
				for {
					conn, err := listener.Accept()
					if err != nil {
						return
					}
					go func() {
						defer conn.Close()
						serveHTTP2(conn, func(f *http2.Framer, id uint32) error {
							streams.Add(1)
							return test.refuse(f, id)
						})
					}()
				}
			}()
			s := start(t, webhook("h2c://"+listener.Addr().String(), "retries 1 1ms\n"+test.options))
			client := s.client("HTTP/1.1")
			assert.Equal(t, 502, send(t, client, s.event([]byte(test.body))).status)
			client.CloseIdleConnections()
			last := shown(t, s, "/elevenlabs/deliveries")[0]
			assert.Equal(t, "backend_unreachable", last["reason"])
			assert.GreaterOrEqual(t, last["attempts"], float64(streams.Load()), "each is counted")
			assert.LessOrEqual(t, last["attempts"], 8., "of each of two attempts, three more by net/http")
		})
	}
}

// serveHTTP2 answers each request of a connection by a function of the test.
func serveHTTP2(conn net.Conn, answer func(*http2.Framer, uint32) error) {
	preface := make([]byte, len(http2.ClientPreface))
	if _, err := conn.Read(preface); err != nil {
		return
	}
	framer := http2.NewFramer(conn, conn)
	if framer.WriteSettings() != nil {
		return
	}
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			return
		}
		switch frame := frame.(type) {
		case *http2.SettingsFrame:
			if !frame.IsAck() && framer.WriteSettingsAck() != nil {
				return
			}
		case *http2.HeadersFrame:
			if answer(framer, frame.StreamID) != nil {
				return
			}
		}
	}
}
