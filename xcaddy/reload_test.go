package main

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// At a reload, Caddy closes HTTP/1.1 connections on which no request has arrived, even if
// one is on its way. It may also reset a connection that is just being made. The client
// then gets no answer and sends again, like any client of any Caddy.
func TestReloadsUnderLoadLoseNothingAndLeakNothing(t *testing.T) {
	b := newBackend(t)
	// An attempt that outlives its transport leaves a connection to the backend. The
	// connection stays for its keep-alive, by default two minutes.
	config := webhook(b.address()+" {\ntransport http {\nkeepalive 1s\n}\n}", "")
	s := start(t, config)
	send(t, s.client("HTTP/1.1"), s.event([]byte(transcript)))
	b.take()
	counted := results(t, s)
	for range 10 {
		s.load(config)
	}
	s.resources() // its own requests create series, too
	before := s.resources()
	stop := make(chan struct{})
	var mu sync.Mutex
	accepted := map[string]bool{}
	var answered, forged atomic.Int32
	resent := map[string]*atomic.Int32{"HTTP/1.1": {}, "HTTP/2.0": {}}
	var senders sync.WaitGroup
	halt := sync.OnceFunc(func() {
		close(stop)
		senders.Wait()
	})
	defer halt()
	for worker := range 4 {
		proto := protocols[worker%2]
		client := s.client(proto)
		senders.Go(func() {
			defer client.CloseIdleConnections()
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				body := fmt.Appendf(nil, `{"type":"post_call_audio","data":{"n":"%d.%d %s"}}`, worker, i, strings.Repeat("x", i%3*700_000))
				key, want := secret, 200
				if i%5 == 4 {
					key, want = "wsec_other", 401
					forged.Add(1)
				}
				got, err := try(client, s.signed(body, key, time.Now()))
				for tries := 0; err != nil && tries < 10; tries++ {
					resent[proto].Add(1)
					got, err = try(client, s.signed(body, key, time.Now()))
				}
				if !assert.NoError(t, err) || !assert.Equal(t, want, got.status) {
					return
				}
				answered.Add(1)
				if want == 200 {
					mu.Lock()
					accepted[digestOf(body)] = true
					mu.Unlock()
				}
			}
		})
	}
	for reload := range int32(200) {
		s.load(config)
		s.eventually("requests between reloads", func() bool { return t.Failed() || answered.Load() > 5*reload })
	}
	halt()
	deliveries := b.take()
	assert.Len(t, deliveries, len(accepted), "an event was delivered twice")
	arrived := map[string]bool{}
	for _, d := range deliveries {
		arrived[d.digest] = true
	}
	assert.Equal(t, accepted, arrived, "the accepted events and the delivered events differ")
	assert.Equal(t, int(answered.Load()), results(t, s)-counted, "a request without an answer came to the handler")
	assert.Less(t, resent["HTTP/2.0"].Load(), int32(5), "HTTP/2 loses only connections that are being made")
	assert.LessOrEqual(t, resent["HTTP/1.1"].Load(), int32(2*200), "HTTP/1.1 loses at most one connection for each sender and reload")
	t.Logf("%d deliveries, %d forgeries, %d sent again, during 200 reloads", len(deliveries), forged.Load(), resent["HTTP/1.1"].Load())
	growth := 1 << 20
	if raceDetector {
		growth = 8 << 20
	}
	var after resources
	settled := assert.Eventually(t, func() bool {
		after = s.resources()
		return after.descriptors <= before.descriptors+8 && after.series <= before.series && after.heap <= before.heap+growth
	}, patience, 200*time.Millisecond)
	t.Logf("before: %+v, after: %+v", before, after)
	assert.True(t, settled)
}

// results returns the number of requests that the handler has recorded.
func results(t *testing.T, s *server) (count int) {
	t.Helper()
	for _, webhook := range shown(t, s, "/elevenlabs/status") {
		for _, n := range webhook["results"].(map[string]any) {
			count += int(n.(float64))
		}
	}
	return count
}

// load reloads the configuration without starting a process.
func (s *server) load(caddyfile string) {
	s.t.Helper()
	s.write(caddyfile)
	config, err := os.ReadFile(s.file)
	require.NoError(s.t, err)
	// Caddy replaces the admin server at each reload. The old one closes its kept-alive
	// connections, and may lose one that is being made.
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	var got answer
	s.eventually("a reload", func() bool {
		request, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, "http://"+s.admin+"/load", bytes.NewReader(config))
		if err != nil {
			return false
		}
		request.Header.Set("Content-Type", "text/caddyfile")
		request.Header.Set("Cache-Control", "must-revalidate") // load it even if it is unchanged
		got, err = try(client, request)
		return err == nil
	})
	require.Equal(s.t, http.StatusOK, got.status, got.body)
}

// resources are those that a reload could leak, besides goroutines.
type resources struct {
	descriptors, series, heap int
}

var heapLine = regexp.MustCompile(`# HeapAlloc = (\d+)`)

func (s *server) resources() resources {
	s.t.Helper()
	descriptors, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", s.command.Process.Pid))
	require.NoError(s.t, err)
	heap, err := strconv.Atoi(heapLine.FindStringSubmatch(s.get("/debug/pprof/heap?debug=1&gc=1"))[1])
	require.NoError(s.t, err)
	series := 0
	for line := range strings.Lines(s.get("/metrics")) {
		if !strings.HasPrefix(line, "#") {
			series++
		}
	}
	return resources{len(descriptors), series, heap}
}
