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
)

// Two thousand connections, a quarter of which says nothing, a quarter of which is
// slow with its headers, a quarter with a body that is said to be signed, and a
// quarter with one that is not.
func TestGenuineEventsPassBesideSlowConnections(t *testing.T) {
	const slow = 2_000
	b := newBackend(t)
	s := start(t, webhook(b.address(), ""))
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
	dripping.Go(func() { // a byte to each, again and again
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
		assert.Equal(t, slow/4, s.goroutines("caddymodule/internal/spool.Read"), "bodies under way")
		descriptors, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", s.command.Process.Pid))
		require.NoError(t, err)
		assert.Greater(t, len(descriptors), slow, "connections")
	}
	requireHeld()
	var slowest time.Duration
	for range 100 {
		for _, proto := range protocols[:2] {
			client := s.client(proto) // a new connection each
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
