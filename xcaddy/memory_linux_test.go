package main

import (
	"context"
	"io"
	"net/http"
	"strconv"
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

const (
	streamsOfConnection = 250 // the most that the server allows on HTTP/2

	// limitOf512MiB is the limit that Caddy gives to Go on a server with 512 MiB.
	limitOf512MiB = "460MiB"
)

// A server that has 512 MiB must survive bodies that are never finished, and return
// the memory afterwards. Go knows no limit here, except in the case that says so.
func TestUnfinishedBodiesStayWithinMemoryLimit(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector takes memory of its own")
	}
	const mib = 1 << 20
	for _, test := range []struct {
		name     string
		flood    bodyFlood
		goLimit  string
		limit    int  // the default of memory_limit
		most     int  // MiB that the server takes
		overload bool // rejects some of the bodies
	}{
		{"just below memory_buffer", bodyFlood{1_040, mib - mib>>10, "HTTP/1.1", "spool_limit 2GiB"}, "off", 128 * mib, 512, false},
		{"just above a block", bodyFlood{64 * streamsOfConnection, 4_097, "HTTP/2.0", ""}, "off", 128 * mib, 1024, false},
		{"just above a block, with 512 MiB", bodyFlood{64 * streamsOfConnection, 4_097, "HTTP/2.0", ""}, limitOf512MiB, 460 * mib / 8, 512, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv("GOMEMLIMIT", test.goLimit)
			b := newBackend(t)
			s := start(t, trustingProxy+webhook(b.address(), "read_timeout 10m\n"+test.flood.option))
			s.most = test.most // the server is held to it when the test ends
			config := shown(t, s, "/elevenlabs/status")[0]["config"].([]any)[0].(map[string]any)
			assert.InDelta(t, test.limit, config["memory_limit"], 0)
			client, event := s.client("HTTP/1.1"), audio(2*mib)
			require.Equal(t, 200, send(t, client, s.event(event)).status)
			requireDelivered(t, b, event)
			idle := s.residentMemory()
			s.resetPeakMemory()

			answers, end := s.flood(test.flood)
			var bodies int
			require.Eventually(t, func() bool {
				bodies = s.inFlight()
				return bodies+int(answers.Load()) >= test.flood.bodies && s.held() >= int64(bodies*test.flood.size)
			}, 3*patience, 50*time.Millisecond, "all bodies to come")
			b.take() // what began the flood's connections
			rejected, held, sent := answers.Load(), s.held(), bodies*test.flood.size
			if test.overload {
				assert.Positive(t, rejected)
				assert.Greater(t, bodies, test.flood.bodies/5)
			} else {
				assert.Zero(t, rejected)
			}
			for range 3 {
				request := s.event(event)
				if test.overload {
					request = from(elevenLabsAddress, request)
				}
				if assert.Equal(t, 200, send(t, client, request).status, "genuine events pass") {
					requireDelivered(t, b, event)
				}
			}
			peak := s.peakMemory()
			t.Logf("%d bodies of %d MiB together held %d MiB, %d were rejected; %d MiB resident at idle, %d MiB at most",
				bodies, sent/mib, held/mib, rejected, idle, peak)
			assert.LessOrEqual(t, held, int64(2*sent), "a body holds at most twice what was sent")

			end()
			s.eventually("no body to be held", func() bool { return s.held() == 0 })
			assert.Equal(t, 200, send(t, client, s.event(event)).status)
			requireDelivered(t, b, event)
			s.eventually("the memory to be returned", func() bool { return s.residentMemory() < idle+(peak-idle)/4 })
			t.Logf("%d MiB resident after", s.residentMemory())
		})
	}
}

// residentMemory returns the process's resident memory in MiB.
func (s *server) residentMemory() int { return s.memory("VmRSS") }

// inFlight returns the number of requests that the handler serves.
func (s *server) inFlight() int {
	s.t.Helper()
	number, err := strconv.ParseFloat(s.metric("requests_in_flight"), 64)
	require.NoError(s.t, err)
	return int(number)
}

// flood sends a flood, until the test calls end. It counts the answers, which come
// only for bodies that are rejected.
func (s *server) flood(flood bodyFlood) (answers *atomic.Int32, end func()) {
	ctx, cancel := context.WithCancel(s.t.Context())
	var all sync.WaitGroup
	answers = new(atomic.Int32)
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
			send(s.t, client, s.event([]byte(transcript)))
		}
		hold(client)
	}
	return answers, func() {
		cancel()
		all.Wait()
	}
}

// silent is a body from which nothing comes until the context ends.
type silent struct{ ctx context.Context }

func (s silent) Read([]byte) (int, error) {
	<-s.ctx.Done()
	return 0, s.ctx.Err()
}
