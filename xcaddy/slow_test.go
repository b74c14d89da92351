package main

import (
	"crypto/tls"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Two thousand connections, a third of which says nothing, a third of which is
// slow with its headers, and a third with its body.
func TestGenuineEventsPassBesideSlowConnections(t *testing.T) {
	const slow = 2_000
	b := newBackend(t)
	s := start(t, webhook(b.address(), "read_timeout 5s"))
	config := s.tlsConfig()
	config.NextProtos = []string{"http/1.1"}
	head := s.head(audio(1<<20), "Content-Length: 1048576")
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
				switch i % 3 {
				case 1:
					_, err = io.WriteString(conn, head[:40])
				case 2:
					_, err = io.WriteString(conn, head)
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
				if i%3 == 1 && drop < len(head)-2 {
					_, _ = conn.Write([]byte{head[drop]})
				} else if i%3 == 2 {
					_, _ = conn.Write([]byte{'x'})
				}
			}
		}
	})
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
	assert.Less(t, slowest, 5*time.Second)
	t.Logf("the slowest genuine event took %v", slowest.Round(time.Millisecond))

	// those with a body are answered when their time is over, however they drip
	require.NoError(t, conns[2].SetReadDeadline(time.Now().Add(patience)))
	answer := make([]byte, len("HTTP/1.1 408"))
	_, err := io.ReadFull(conns[2], answer)
	require.NoError(t, err)
	assert.Equal(t, "HTTP/1.1 408", string(answer))
}
