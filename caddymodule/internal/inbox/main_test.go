package inbox

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/internal/postgrestest"
)

func TestMain(m *testing.M) {
	if os.Getenv(openVariable) != "" {
		openInProcess()
		return
	}
	code := m.Run()
	postgrestest.StopShared()
	os.Exit(code)
}

// databases are what the tests of the store run on.
var databases = []struct {
	name     string
	location func(testing.TB) string
}{
	{"sqlite", newFile},
	{"postgres", func(t testing.TB) string { return postgrestest.Shared(t).Schema(t) }},
}

// newFile returns the path of a file to be. Its reserve is there, and takes no time and no
// space.
func newFile(t testing.TB) string {
	path := filepath.Join(t.TempDir(), "inbox.db")
	reserve, err := os.OpenFile(path+".reserve", os.O_CREATE|os.O_WRONLY, 0o600)
	require.NoError(t, err)
	require.NoError(t, reserve.Truncate(reserveSize))
	require.NoError(t, reserve.Close())
	return path
}

// onEach runs a test on an empty database of each kind.
func onEach(t *testing.T, test func(t *testing.T, s *Store)) {
	t.Parallel()
	for _, database := range databases {
		t.Run(database.name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t, database.location(t)))
		})
	}
}

func open(t testing.TB, location string) *Store {
	t.Helper()
	s, err := Open(t.Context(), location)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, s.Close()) })
	return s
}

// isSQLite reports whether a store is a file.
func isSQLite(s *Store) bool {
	_, ok := s.dialect.(*sqliteDB)
	return ok
}

const (
	testInbox = "default"
	noLimit   = int64(1 << 40)
)

// testQueue is the only queue of testInbox in most tests.
var testQueue = Queue{Inbox: testInbox}

// memory is a body in memory.
type memory []byte

func (m memory) ReadAt(p []byte, offset int64) (int, error) {
	return bytes.NewReader(m).ReadAt(p, offset)
}
func (m memory) Size() int64 { return int64(len(m)) }

// content returns a body of so many bytes, the same for the same size.
func content(size int) memory {
	body := make(memory, size)
	source := rand.NewChaCha8([32]byte{byte(size)})
	_, _ = source.Read(body)
	return body
}

func event(id string) Event {
	return Event{
		Queue: testQueue, ID: id, Type: "post_call_transcription", ConversationID: "conv_" + id,
		AgentID: "agent_1", Fields: `{"a":"b"}`, Request: `{"method":"POST"}`,
	}
}

// store accepts an event that is not there yet, and returns its number.
func store(t testing.TB, s *Store, e Event, body Body) int64 {
	t.Helper()
	repeat, err := s.Accept(t.Context(), e, body, noLimit)
	require.NoError(t, err)
	require.False(t, repeat)
	return find(t, s, e.ID).Seq
}

// storeSome accepts so many small events, and returns their numbers.
func storeSome(t testing.TB, s *Store, count int) []int64 {
	t.Helper()
	before, err := s.List(t.Context(), Selection{}, 1)
	require.NoError(t, err)
	var wait sync.WaitGroup
	for i := range count {
		wait.Go(func() {
			_, err := s.Accept(t.Context(), event(fmt.Sprintf("%08x", i)), content(100), noLimit)
			assert.NoError(t, err)
		})
	}
	wait.Wait()
	entries, err := s.List(t.Context(), Selection{}, count)
	require.NoError(t, err)
	require.Empty(t, before, "the inbox was empty")
	require.Len(t, entries, count)
	seqs := make([]int64, 0, count)
	for _, e := range entries {
		seqs = append(seqs, e.Seq)
	}
	return seqs
}

// manyPieces is the size of a body that breakUp makes of pieces of a byte, more of them
// than one write deletes.
const manyPieces = 2*deletesPerWrite + 1

func breakUp(t testing.TB, s *Store, seq int64) {
	t.Helper()
	alter(t, s, `DELETE FROM elevenlabs_inbox_chunk WHERE seq = $1`, seq)
	for n := range manyPieces {
		alter(t, s, `INSERT INTO elevenlabs_inbox_chunk (seq, n, data) VALUES ($1, $2, $3)`, seq, n, []byte{1})
	}
}

func find(t testing.TB, s *Store, id string) Entry {
	t.Helper()
	entries, err := s.List(t.Context(), Selection{Inbox: testInbox, EventID: id}, 2)
	require.NoError(t, err)
	require.Len(t, entries, 1)
	return entries[0]
}

func get(t testing.TB, s *Store, seq int64) Entry {
	t.Helper()
	e, err := s.Get(t.Context(), seq)
	require.NoError(t, err)
	return e
}

// claimOne claims the only event that is due.
func claimOne(t testing.TB, s *Store) *Claim {
	t.Helper()
	claims, err := s.claim(t.Context(), testQueue, 2)
	require.NoError(t, err)
	require.Len(t, claims, 1)
	return claims[0]
}

var (
	taken    = Outcome{Taken: true, Status: 200}
	refused  = Outcome{Status: 500, Reason: "backend_answer"}
	patience = schedule{pause: time.Minute, giveUp: time.Hour}
)

func settle(t testing.TB, s *Store, c *Claim, o Outcome, retry schedule) State {
	t.Helper()
	state, err := s.settle(t.Context(), c, o, retry)
	require.NoError(t, err)
	return state
}

// deliver brings an event that waits to the state delivered.
func deliver(t testing.TB, s *Store) *Claim {
	t.Helper()
	c := claimOne(t, s)
	require.Equal(t, Delivered, settle(t, s, c, taken, patience))
	return c
}

// bury brings an event that waits to the state dead.
func bury(t testing.TB, s *Store) *Claim {
	t.Helper()
	c := claimOne(t, s)
	require.Equal(t, Dead, settle(t, s, c, refused, schedule{}))
	return c
}

// giveUp discards all events that wait.
func giveUp(t testing.TB, s *Store) *Claim {
	t.Helper()
	_, err := s.Discard(t.Context(), Selection{State: Waiting}, 0)
	require.NoError(t, err)
	return nil
}

// alter changes rows behind the store's back, such as to move times.
func alter(t testing.TB, s *Store, query string, args ...any) {
	t.Helper()
	require.NoError(t, s.write(t.Context(), 0, func(ctx context.Context, tx statements) error {
		_, err := tx.ExecContext(ctx, query, args...)
		return err
	}))
}

// number reads a number.
func number(t testing.TB, s *Store, query string, args ...any) (n int64) {
	t.Helper()
	require.NoError(t, s.read().QueryRowContext(t.Context(), query, args...).Scan(&n))
	return n
}

func rows(t testing.TB, s *Store, table string) int64 {
	t.Helper()
	return number(t, s, `SELECT COUNT(*) FROM elevenlabs_inbox_`+table)
}

// assertSoon asserts that a time of the database's clock is so far ahead, within a few
// seconds.
func assertSoon(t testing.TB, s *Store, want time.Duration, column string, seq int64) {
	t.Helper()
	ahead := number(t, s, `SELECT `+column+` - {now} FROM elevenlabs_inbox_event WHERE seq = $1`, seq)
	assert.InDelta(t, want.Milliseconds(), ahead, 10_000, column)
}

// eventually waits for a condition.
func eventually(t testing.TB, condition func() bool, what string) {
	t.Helper()
	require.Eventually(t, condition, time.Minute, 20*time.Millisecond, what)
}
