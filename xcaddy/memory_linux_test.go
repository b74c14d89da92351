package main

import (
	"context"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// bodyFlood is a number of bodies that are never finished.
type bodyFlood struct {
	bodies int
	size   int // bytes that the client sends of each body
	proto  string
	option string
}

const streamsOfConnection = 250 // the most that the server allows on HTTP/2

// A server that has 512 MiB must survive bodies that are never finished, serve
// genuine events beside them, and return the memory afterwards. The test measures
// resident memory, with nothing that tells Go a limit.
func TestUnfinishedBodiesStayWithinMemoryLimit(t *testing.T) {
	for name, flood := range map[string]bodyFlood{
		"just below memory_buffer": {1_040, 1<<20 - 1<<10, "HTTP/1.1", "spool_limit 2GiB"},
		"just above a block":       {64 * streamsOfConnection, 4_097, "HTTP/2.0", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("GOMEMLIMIT", "off")
			b := newBackend(t)
			s := start(t, webhook(b.address(), "read_timeout 10m\n"+flood.option))
			client := s.client("HTTP/1.1")
			require.Equal(t, 200, send(t, client, s.event([]byte(transcript))).status)
			idle := s.residentMemory()
			s.resetPeakMemory()

			end := s.flood(flood)
			sent := flood.bodies * flood.size
			require.Eventually(t, func() bool { return s.held() >= int64(sent) }, 3*patience, 50*time.Millisecond, "all bodies to come")
			held := s.held()
			b.take() // what began the flood's connections
			event := audio(2 << 20)
			for range 3 {
				if assert.Equal(t, 200, send(t, client, s.event(event)).status, "genuine events pass") {
					requireDelivered(t, b, event)
				}
			}
			peak := s.peakMemory()
			t.Logf("%d MiB sent, %d MiB held; %d MiB resident at idle, %d MiB at most", sent>>20, held>>20, idle, peak)
			assert.LessOrEqual(t, held, int64(2*sent), "a body holds at most twice what was sent")
			if !raceDetector {
				assert.Less(t, peak, 512)
			}
			assert.Zero(t, end(), "answered before the end")
			s.eventually("no body to be held", func() bool { return s.held() == 0 })
			s.eventually("the memory to be returned", func() bool { return s.residentMemory() < idle+64 })
			t.Logf("%d MiB resident after", s.residentMemory())
		})
	}
}

// flood sends a flood, until the test calls end. end returns the number of answers
// that came before it.
func (s *server) flood(flood bodyFlood) (end func() int32) {
	ctx, cancel := context.WithCancel(s.t.Context())
	var all sync.WaitGroup
	var answers atomic.Int32
	hold := func(client *http.Client) {
		request := s.event(nil).WithContext(ctx)
		request.GetBody, request.ContentLength = nil, int64(2*flood.size)
		request.Body = io.NopCloser(io.MultiReader(io.LimitReader(zeros{}, int64(flood.size)), silent{ctx}))
		all.Go(func() {
			if _, err := try(client, request); err == nil {
				answers.Add(1)
			}
		})
	}
	var client *http.Client
	for i := range flood.bodies {
		if i%streamsOfConnection == 0 { // with HTTP/2, these share a connection
			client = s.client(flood.proto)
			client.Timeout = 0
			require.Equal(s.t, 200, send(s.t, client, s.event([]byte(transcript))).status)
		}
		hold(client)
	}
	return func() int32 {
		before := answers.Load()
		cancel()
		all.Wait()
		return before
	}
}

// silent is a body from which nothing comes until the context ends.
type silent struct{ ctx context.Context }

func (s silent) Read([]byte) (int, error) {
	<-s.ctx.Done()
	return 0, s.ctx.Err()
}
