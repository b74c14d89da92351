package main

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const inboxConcurrency = 16 // the default

// With TEST_ROUNDS=200 it is the test of the design. What was acknowledged before kill -9
// is delivered after it. Only what was being delivered comes twice.
func TestInboxLosesNothingWhenCaddyIsKilled(t *testing.T) {
	t.Parallel() // it mostly waits for starts
	l := newInboxLedger(t)
	s := newServer(t)
	s.write(inboxSite(l.backend(slowly(5*time.Millisecond)), newInboxFile(t), ""))
	s.serve()
	stop := l.load(s, 8, mixedSizes...)
	rounds, longest := inboxRounds(t, 8), 400
	if rounds > 8 {
		longest = 1500 // so that more events come between two crashes
	}
	for range rounds {
		before := l.acks()
		time.Sleep(time.Duration(rand.IntN(longest)) * time.Millisecond) // a crash comes at any time
		s.eventually("an event to be acknowledged", func() bool { return l.acks() > before })
		s.kill()
		// what a dead Caddy had sent may still wait for its turn
		s.eventually("the backend to see the end", func() bool { return l.connections.Load() == 0 })
		l.crashed()
		s.clearSpool()
		s.launch()
		s.awaitServing()
	}
	stop()
	stopped := time.Now()
	c := l.settled(s)
	assert.Less(t, time.Since(stopped), patience, "without waiting for the leases of processes that have ended")
	t.Logf("%d rounds", rounds)
	assert.Greater(t, c.acknowledged, rounds)
	assert.Zero(t, c.again, "it came again without a crash in between")
	assert.LessOrEqual(t, c.repeats, rounds*inboxConcurrency, "at most as many as were being delivered at each crash")
	assert.Zero(t, c.bypassed)
}

// clearSpool removes the temporary files that a crash can leave, between making one and
// taking its name away.
func (s *server) clearSpool() {
	left, err := filepath.Glob(filepath.Join(s.spool, "elevenlabs-webhook-*"))
	require.NoError(s.t, err)
	for _, file := range left {
		require.NoError(s.t, os.Remove(file))
	}
}
