package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/signature"
)

// Of two thousand slow connections, a quarter each
//   - sends nothing,
//   - sends its headers slowly,
//   - sends a body with a signature slowly, and
//   - sends a body without a signature slowly.
func TestGenuineEventsPassDuringSlowConnections(t *testing.T) {
	const slow = 2_000
	b := newBackend(t)
	// No timeout may end the connections during the test.
	s := start(t, "{\nservers {\ntimeouts {\nread_header 10m\nread_body_idle 10m\n}\n}\n}\n"+webhook(b.address(), "read_timeout 10m"))
	config := s.tlsConfig()
	config.NextProtos = []string{"http/1.1"}
	head := s.head(audio(1<<20), "Content-Length: 1048576")
	unsigned := "POST /webhooks/elevenlabs HTTP/1.1\r\nHost: " + s.address + "\r\nContent-Length: 100000\r\n\r\n"
	conns := make([]*tls.Conn, slow)
	var dialling sync.WaitGroup
	for worker := range 8 {
		dialling.Go(func() {
			for i := worker; i < slow; i += 8 {
				conn, err := tls.Dial("tcp", s.address, config)
				if !assert.NoError(t, err) {
					return
				}
				conns[i] = conn
				switch i % 4 {
				case 1:
					_, err = io.WriteString(conn, head[:40])
				case 2:
					_, err = io.WriteString(conn, head)
				case 3:
					_, err = io.WriteString(conn, unsigned)
				}
				assert.NoError(t, err)
			}
		})
	}
	dialling.Wait()
	require.False(t, t.Failed())

	stop := make(chan struct{})
	var dripping sync.WaitGroup
	defer func() {
		close(stop)
		dripping.Wait()
		for _, conn := range conns {
			conn.Close()
		}
	}()
	dripping.Go(func() { // sends each connection one byte after the other
		for drop := 40; ; drop++ {
			for i, conn := range conns {
				select {
				case <-stop:
					return
				default:
				}
				if i%4 == 1 && drop < len(head)-2 {
					_, _ = conn.Write([]byte{head[drop]})
				} else if i%4 > 1 {
					_, _ = conn.Write([]byte{'x'})
				}
			}
		}
	})
	requireHeld := func() {
		t.Helper()
		assert.Equal(t, slow/4, s.goroutines("caddymodule/internal/spool.Read"), "bodies in progress")
		descriptors, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", s.command.Process.Pid))
		require.NoError(t, err)
		assert.Greater(t, len(descriptors), slow, "connections")
	}
	s.eventually("all bodies to have begun", func() bool { return s.goroutines("caddymodule/internal/spool.Read") == slow/4 })
	requireHeld()
	var slowest time.Duration
	for range 100 {
		for _, proto := range protocols[:2] {
			client := s.client(proto) // with a new connection
			began := time.Now()
			assert.Equal(t, 200, send(t, client, s.event([]byte(transcript))).status)
			slowest = max(slowest, time.Since(began))
			client.CloseIdleConnections()
			requireDelivered(t, b, []byte(transcript))
		}
	}
	requireHeld()
	assert.Less(t, slowest, 5*time.Second)
	t.Logf("the slowest genuine event took %v", slowest.Round(time.Millisecond))
}

// trickle is a body of one byte every 20 ms. It ends when done is closed.
type trickle struct{ done <-chan struct{} }

func (tr trickle) Read(p []byte) (int, error) {
	select {
	case <-tr.done:
		return 0, io.EOF
	case <-time.After(20 * time.Millisecond):
		p[0] = 'x'
		return 1, nil
	}
}

func TestTrickledBodyIsRejectedAfterReadTimeout(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	s := start(t, webhook(b.address(), "read_timeout 500ms"))
	for _, proto := range protocols {
		t.Run(proto, func(t *testing.T) {
			done := make(chan struct{})
			defer close(done)
			request := s.event([]byte(transcript))
			request.Body, request.ContentLength, request.GetBody = io.NopCloser(trickle{done}), -1, nil
			began := time.Now()
			client := s.client(proto)
			requireRejected(t, b, send(t, client, request), 408, "body_timeout")
			assert.Less(t, time.Since(began), 5*time.Second)
			client.CloseIdleConnections()
		})
	}
	t.Run("events on the next connection pass", func(t *testing.T) {
		client := s.client("HTTP/1.1")
		for range 3 {
			assert.Equal(t, 200, send(t, client, s.event([]byte(transcript))).status)
			requireDelivered(t, b, []byte(transcript))
		}
		client.CloseIdleConnections()
	})
}

// net/http reads the rest of a body before it answers. read_timeout also limits that, for
// a client whose headers were rejected.
func TestClientCannotHoldTheConnectionAfterItsHeadersWereRejected(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	s := start(t, webhook(b.address(), "read_timeout 500ms\nmax_size 1KiB"))
	for _, test := range []struct {
		name, header, reason string
	}{
		{"without a signature", "Content-Length: 100", "signature_missing"},
		{"with a malformed signature", "Content-Length: 100\r\n" + signature.HeaderName + ": t=1", "signature_malformed"},
		{"with a body that is too large", "Content-Length: 10000", "body_too_large"},
		{"without a signature, in chunks", "Transfer-Encoding: chunked", "signature_missing"},
		{"without a signature, expecting 100", "Content-Length: 100\r\nExpect: 100-continue", "signature_missing"},
	} {
		for _, body := range []string{"silent", "dripping"} {
			t.Run(test.name+", "+body, func(t *testing.T) {
				began, stop := time.Now(), make(chan struct{})
				var dripping sync.WaitGroup
				got := s.raw(t, func(w io.Writer) {
					fmt.Fprintf(w, "POST /webhooks/elevenlabs HTTP/1.1\r\nHost: %s\r\n%s\r\n\r\n", s.address, test.header)
					if body == "silent" {
						return
					}
					dripping.Go(func() {
						for drops := io.Reader(trickle{stop}); ; {
							if _, err := io.CopyN(w, drops, 1); err != nil {
								return
							}
						}
					})
				})
				close(stop)
				dripping.Wait()
				assert.Equal(t, test.reason, got.header.Get("X-ElevenLabs-Rejection"))
				assert.Less(t, time.Since(began), 5*time.Second)
			})
		}
	}
	assert.Empty(t, b.take())
}
