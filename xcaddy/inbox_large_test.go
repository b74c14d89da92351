package main

import (
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Small events need not wait for large ones, and no body is in memory whole.
func TestInboxStoresLargeEventsInLittleMemoryBesideSmallOnes(t *testing.T) {
	size := 30 << 20
	if os.Getenv("TEST_ROUNDS") != "" {
		size = 99 << 20
	}
	if raceDetector {
		size = 10 << 20
	}
	l := newInboxLedger(t)
	s := start(t, webhook(l.backend(taken), "spool_limit 2GiB\ninbox {\ndatabase "+newInboxFile(t)+"\n}"))
	small := s.client("HTTP/1.1")
	_, err := l.send(small, s, l.event(2<<10))
	require.NoError(t, err)
	bodies := make([][]byte, 4)
	for i := range bodies {
		bodies[i] = l.event(size)
	}
	s.resetPeakMemory()
	began := time.Now()
	var all sync.WaitGroup
	for _, body := range bodies {
		client := s.client("HTTP/1.1")
		all.Go(func() {
			got, err := l.send(client, s, body)
			assert.NoError(t, err)
			assert.Equal(t, "stored", got.header.Get(headerInbox))
		})
	}
	stored := make(chan struct{})
	go func() {
		all.Wait()
		close(stored)
	}()
	var took []time.Duration
	for running := true; running; {
		select {
		case <-stored:
			running = false
		default:
		}
		start := time.Now()
		_, err := l.send(small, s, l.event(2<<10))
		require.NoError(t, err)
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	p99 := took[len(took)*99/100]
	t.Logf("4 of %d MiB stored after %s, at most %d MiB of memory; %d small ones meanwhile, median %s, p99 %s, longest %s", size>>20, time.Since(began), s.peakMemory(), len(took), took[len(took)/2], p99, took[len(took)-1])
	l.settled(s)
	t.Logf("delivered after %s, at most %d MiB of memory", time.Since(began), s.peakMemory())
	if !raceDetector {
		assert.Less(t, s.peakMemory(), 150, "MiB")
		assert.Less(t, p99, 500*time.Millisecond) // 100 ms on a machine that does nothing else
	}
}
