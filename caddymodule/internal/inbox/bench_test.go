package inbox

import (
	"context"
	"encoding/binary"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/internal/postgrestest"
)

// benchmarks are what the benchmarks run on: each waits for the disk.
var benchmarks = []struct {
	name     string
	location func(testing.TB) string
}{
	{"sqlite", func(b testing.TB) string { return filepath.Join(b.TempDir(), "inbox.db") }},
	{"postgres", func(b testing.TB) string { return postgrestest.Start(b).Database(b) }},
}

func benchmark(b *testing.B, run func(b *testing.B, s *Store)) {
	for _, database := range benchmarks {
		b.Run(database.name, func(b *testing.B) { run(b, open(b, database.location(b))) })
	}
}

// benchmarkSize is the size of a body, as of a short transcript.
const benchmarkSize = 8 << 10

var benchmarkCount atomic.Uint64

// acceptMany stores so many events by so many callers.
func acceptMany(b *testing.B, s *Store, count, callers int) {
	var left atomic.Int64
	left.Store(int64(count))
	var wait sync.WaitGroup
	for range callers {
		wait.Go(func() {
			body := make(memory, benchmarkSize)
			for left.Add(-1) >= 0 {
				n := benchmarkCount.Add(1)
				binary.LittleEndian.PutUint64(body, n)
				_, err := s.Accept(b.Context(), event(fmt.Sprintf("%016x", n)), body, noLimit)
				if err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wait.Wait()
}

// perLoop reports how much of the processor each loop took since before.
func perLoop(b *testing.B, before time.Duration) {
	b.ReportMetric(float64((cpu(b)-before).Microseconds())/float64(b.N), "cpu-us/op")
}

func perSecond(b *testing.B, count int, unit string) {
	b.ReportMetric(float64(count)/b.Elapsed().Seconds(), unit)
}

func BenchmarkAccept(b *testing.B) {
	benchmark(b, func(b *testing.B, s *Store) {
		for _, callers := range []int{1, 16, 64} {
			b.Run(fmt.Sprint(callers), func(b *testing.B) {
				before := cpu(b)
				acceptMany(b, s, b.N, callers)
				perSecond(b, b.N, "events/s")
				perLoop(b, before)
			})
		}
	})
}

// instant is a Deliverer whose backend takes everything at once.
type instant struct {
	b       *testing.B
	settled atomic.Int64
	all     chan struct{}
	count   int64
}

func (i *instant) Deliver(_ context.Context, c *Claim, body *StoredBody) Outcome {
	if _, err := body.ReadAt(make([]byte, c.Size), 0); err != nil {
		i.b.Error(err)
	}
	return taken
}

func (i *instant) Settled(*Claim, Outcome, State) {
	if i.settled.Add(1) == i.count {
		close(i.all)
	}
}
func (i *instant) BackendDown(*Claim)              {}
func (i *instant) BackendUp(time.Duration)         {}
func (i *instant) GivenUp(Queue, int)              {}
func (i *instant) Trouble(doing string, err error) { i.b.Error(doing, err) }

func BenchmarkDrain(b *testing.B) {
	benchmark(b, func(b *testing.B, s *Store) {
		acceptMany(b, s, b.N, 64)
		d := &instant{b: b, all: make(chan struct{}), count: int64(b.N)}
		b.ResetTimer()
		runner := s.Start(options(), d)
		<-d.all
		b.StopTimer()
		perSecond(b, b.N, "events/s")
		runner.Stop(time.Minute)
	})
}

// BenchmarkAcceptAndDrain measures until the last event is stored.
func BenchmarkAcceptAndDrain(b *testing.B) {
	benchmark(b, func(b *testing.B, s *Store) {
		d := &instant{b: b, all: make(chan struct{}), count: int64(b.N)}
		runner := s.Start(options(), d)
		acceptMany(b, s, b.N, 16)
		perSecond(b, b.N, "accepted/s")
		perSecond(b, int(d.settled.Load()), "delivered/s")
		b.StopTimer()
		<-d.all
		runner.Stop(time.Minute)
	})
}

func BenchmarkCounts(b *testing.B) {
	benchmark(b, func(b *testing.B, s *Store) {
		fill(b, s, manyEvents)
		for b.Loop() {
			_, err := s.Counts(b.Context())
			require.NoError(b, err)
		}
	})
}

// BenchmarkIdle reports which share of a core a runner takes that has nothing to do. Each
// loop is a second.
func BenchmarkIdle(b *testing.B) {
	benchmark(b, func(b *testing.B, s *Store) {
		runner := s.Start(options(), &instant{b: b})
		before := cpu(b)
		for b.Loop() {
			time.Sleep(time.Second)
		}
		b.ReportMetric(100*(cpu(b)-before).Seconds()/b.Elapsed().Seconds(), "%core")
		runner.Stop(0)
	})
}

// cpu returns the time that this process took of the processor.
func cpu(b *testing.B) time.Duration {
	var usage syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// BenchmarkList measures the first page of 50 events of a million.
func BenchmarkList(b *testing.B) {
	benchmark(b, func(b *testing.B, s *Store) {
		fill(b, s, 1_000_000)
		for _, selection := range selections {
			b.Run(selection.name, func(b *testing.B) {
				before := cpu(b)
				defer func() { perLoop(b, before) }()
				for b.Loop() {
					list, err := s.List(b.Context(), selection.Selection, 50)
					require.NoError(b, err)
					if selection.want >= 0 {
						require.Len(b, list, selection.want)
					}
				}
			})
		}
	})
}

// BenchmarkStats measures the figures of a million events.
func BenchmarkStats(b *testing.B) {
	benchmark(b, func(b *testing.B, s *Store) {
		fill(b, s, 1_000_000)
		for name, since := range map[string]time.Time{"all": {}, "day": ago(24 * time.Hour)} {
			b.Run(name, func(b *testing.B) {
				before := cpu(b)
				defer func() { perLoop(b, before) }()
				for b.Loop() {
					_, err := s.Stats(b.Context(), Queue{}, nil, since)
					require.NoError(b, err)
				}
			})
		}
		b.Run("counts", func(b *testing.B) {
			before := cpu(b)
			defer func() { perLoop(b, before) }()
			for b.Loop() {
				_, err := s.Counts(b.Context())
				require.NoError(b, err)
			}
		})
	})
}
