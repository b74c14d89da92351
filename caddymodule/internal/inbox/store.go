// Package inbox keeps events in a database until they are delivered, and delivers
// them again and again until somebody takes them. It knows nothing of Caddy or HTTP.
//
// A Store is an open database, SQLite or Postgres. A Runner delivers the events of one
// inbox in it. Delivery is at least once: a crash between the backend's answer and
// the note of it delivers again.
package inbox

import (
	"cmp"
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// State is how far an event has got.
type State string

// The states.
const (
	receiving  State = "receiving"  // its body is not whole: not yet, or no more
	Waiting    State = "waiting"    // for its next attempt
	Delivering State = "delivering" // an attempt is under way
	Delivered  State = "delivered"  // the backend took it
	Dead       State = "dead"       // all attempts failed, and no more are made
	Discarded  State = "discarded"  // an operator gave it up
)

// States are the states that an operator sees.
var States = []State{Waiting, Delivering, Delivered, Dead, Discarded}

// Queue is where events wait for a backend: an inbox, or one of its destinations.
type Queue struct {
	Inbox string
	// Destination is empty if the inbox has no named destinations.
	Destination string
}

func (q Queue) String() string {
	if q.Destination == "" {
		return q.Inbox
	}
	return q.Inbox + "/" + q.Destination
}

// Compare compares queues by their names.
func (q Queue) Compare(other Queue) int {
	return cmp.Or(cmp.Compare(q.Inbox, other.Inbox), cmp.Compare(q.Destination, other.Destination))
}

var (
	// ErrClosed is returned after Close.
	ErrClosed = errors.New("the inbox is closed")
	// ErrFull is returned if the bodies of an inbox have reached their limit.
	ErrFull = errors.New("the bodies in the inbox have reached their limit")
	// ErrDiskFull is returned while the disk has no space for more events.
	ErrDiskFull = errors.New("the disk with the inbox is full")
	// ErrNotFound is returned for an event that is not there.
	ErrNotFound = errors.New("there is no such event")
	// ErrBodyGone is returned for an event that cannot be delivered, since its body
	// was deleted.
	ErrBodyGone = errors.New("the body of the event is deleted")
	// ErrDelivering is returned for an event that cannot be delivered again or discarded,
	// since an attempt is under way.
	ErrDelivering = errors.New("the event is being delivered")
	// ErrFinished is returned for an event that cannot be discarded, since no attempt
	// would follow.
	ErrFinished = errors.New("the event is delivered or discarded already")
	// ErrUnreachable is wrapped by the error of Open if the database may be there
	// later. After any other error, Open would fail again.
	ErrUnreachable = errors.New("the database cannot be reached")

	errClaimLost = errors.New("the claim was lost")
)

const (
	// chunkSize is the size of a piece of a body. A larger piece would stall others.
	chunkSize = 1 << 20
	// leaseTime is how long a claim is good without being renewed.
	leaseTime = 30 * time.Second
	// renewEvery is how often claims are renewed.
	renewEvery = 10 * time.Second
	// renewWithin is how long after the last renewal deliveries are canceled.
	renewWithin = 20 * time.Second
	// deletesPerWrite is how many chunks one write deletes. To delete 100 MiB in one
	// write takes half a second, in which nothing else is written.
	deletesPerWrite = 8
)

// statements runs SQL. In all texts, {now} is the time by the database's clock, and
// {skip locked} and {for update} are what Postgres needs and SQLite does not have. {+}
// before a column keeps SQLite from using an index for it: SQLite knows nothing of how
// many events have a value, and Postgres does.
type statements interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// dialect is what differs between databases.
type dialect interface {
	// write runs do in a transaction. It may run do several times. The size is about
	// how many bytes do writes.
	write(ctx context.Context, size int64, do func(context.Context, statements) error) error
	// read is for statements that change nothing.
	read() statements
	// snapshot is for statements that must see one state of the database.
	snapshot(ctx context.Context, do func(statements) error) error
	// recover makes room if an error says that the disk is full. It returns the error
	// to tell.
	recover(err error) error
	// accepts returns an error if nothing new must be written.
	accepts() error
	// intact returns an error if what is written may be lost.
	intact() error
	// idle does what can wait until nothing else is written.
	idle(ctx context.Context) error
	// forget makes sure that nothing is left of what was deleted.
	forget(ctx context.Context) error
	// risk says what setting of the database may lose events, or nothing.
	risk(ctx context.Context) (string, error)
	close() error
}

// Store is an open database.
type Store struct {
	dialect
	// owner is the name of this opening of the database in claims.
	owner string

	used   sync.Map // by inbox: *usage
	wakes  sync.Map // by Queue: chan struct{}
	closed atomic.Bool
	ended  context.Context
	end    context.CancelFunc
	work   sync.WaitGroup // of removing what is left of bodies

	// claiming is held for reading from a claim until its deliveries can be canceled.
	claiming sync.RWMutex

	mu         sync.Mutex
	deliveries map[int64]*delivery // under way, by seq
}

// Open opens a database, and makes its tables if there are none. The location is the
// path of a SQLite file, or a URL that begins with postgres:// or postgresql://. No
// error has the URL's user or password.
func Open(ctx context.Context, location string) (*Store, error) {
	s := &Store{owner: rand.Text(), deliveries: map[int64]*delivery{}}
	s.ended, s.end = context.WithCancel(context.Background())
	open := openSQLite
	if IsPostgres(location) {
		open = openPostgres
	}
	var err error
	if s.dialect, err = open(ctx, location); err != nil {
		return nil, err
	}
	if err := s.refreshUsed(ctx); err != nil {
		_ = s.close()
		return nil, fmt.Errorf("reading the inbox %s: %w", Shown(location), err)
	}
	return s, nil
}

// Close closes the database. Runners must have stopped. A write that waits fails with
// ErrClosed.
func (s *Store) Close() error {
	s.mu.Lock()
	was := s.closed.Swap(true)
	s.mu.Unlock()
	if was {
		return nil
	}
	s.end()
	s.work.Wait()
	return s.close()
}

// Check returns an error if the database does not answer.
func (s *Store) Check(ctx context.Context) error {
	if s.closed.Load() {
		return ErrClosed
	}
	var none int // the statement needs the table, and reads little of it
	return s.read().QueryRowContext(ctx, `SELECT COUNT(*) FROM elevenlabs_inbox_event WHERE seq = 0`).Scan(&none)
}

// Risk says which setting of the database may lose events that were stored, if there is
// one.
func (s *Store) Risk(ctx context.Context) (string, error) { return s.risk(ctx) }

// Intact returns an error if the database cannot promise to keep what it stores. Events
// are still delivered from it, as far as they can be read.
func (s *Store) Intact() error { return s.intact() }

// update runs do in a transaction, perhaps several times.
func (s *Store) update(ctx context.Context, size int64, do func(context.Context, statements) error) error {
	if s.closed.Load() {
		return ErrClosed
	}
	return s.recover(s.write(ctx, size, do))
}

// updateReturning is update with a result. If the caller left early, do may still run:
// without an error alone its result is looked at.
func updateReturning[T any](ctx context.Context, s *Store, size int64, do func(context.Context, statements) (T, error)) (T, error) {
	var result, none T
	err := s.update(ctx, size, func(ctx context.Context, tx statements) (err error) {
		result, err = do(ctx, tx)
		return err
	})
	if err != nil {
		return none, err
	}
	return result, nil
}

// usage is how many bytes the bodies of an inbox take.
type usage struct {
	mu       sync.Mutex
	stored   int64
	arriving int64 // of events that are being stored
}

// reserve makes room for a body that arrives. It reports whether there is room.
func (u *usage) reserve(size, limit int64) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.stored+u.arriving+size > limit {
		return false
	}
	u.arriving += size
	return true
}

// arrived ends what reserve began.
func (u *usage) arrived(size int64, stored bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.arriving -= size
	if stored {
		u.stored += size
	}
}

func (u *usage) set(stored int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.stored = stored
}

func (u *usage) get() int64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.stored
}

func (s *Store) usedBy(inbox string) *usage {
	its, ok := s.used.Load(inbox)
	if !ok {
		its, _ = s.used.LoadOrStore(inbox, new(usage))
	}
	return its.(*usage)
}

// refreshUsed reads anew how many bytes the inboxes hold. Others may write too.
func (s *Store) refreshUsed(ctx context.Context) error {
	counts, err := s.Counts(ctx)
	if err != nil {
		return err
	}
	bytes := map[string]int64{}
	s.used.Range(func(name, _ any) bool {
		bytes[name.(string)] = 0
		return true
	})
	for q, count := range counts {
		bytes[q.Inbox] += count.Bytes
	}
	for name, its := range bytes {
		s.usedBy(name).set(its)
	}
	return nil
}

// wake returns the channel by which a queue's runner learns of a new event. With one
// channel for all queues, one runner would wake and the others would not.
func (s *Store) wake(q Queue) chan struct{} {
	c, ok := s.wakes.Load(q)
	if !ok {
		c, _ = s.wakes.LoadOrStore(q, make(chan struct{}, 1))
	}
	return c.(chan struct{})
}

func (s *Store) awaken(q Queue) {
	select {
	case s.wake(q) <- struct{}{}:
	default: // it will look anyway
	}
}

// cancel cancels a delivery if it is under way in this process.
func (s *Store) cancel(seq int64, cause error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d := s.deliveries[seq]; d != nil {
		d.cancel(cause)
	}
}

func fromMilliseconds(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}
