package inbox

import (
	"context"
	"database/sql"
	"errors"
	"sync"
	"sync/atomic"
)

const (
	groupWrites = 128     // the most writes of one transaction
	groupBytes  = 4 << 20 // about how many bytes they write together
	// bulkSize is the size from which a write is a piece of a large body. One transaction
	// has only one of them, since others wait for it.
	bulkSize = chunkSize / 2
)

// group runs the writes of many callers in few transactions, since most of the time of
// a small one goes by in waiting for the disk. One goroutine has the connection.
type group struct {
	conn   *prepared
	files  *files // nil until they are watched
	writes chan *write
	bulk   chan *write
	alone  chan *write   // that need no transaction
	ended  chan struct{} // closed when no write runs any more
	once   sync.Once
	stop   chan struct{}
}

// write is a write that waits for its turn.
type write struct {
	size  int64
	do    func(context.Context, statements) error
	begun atomic.Bool // it may run, or the caller has left
	done  chan error
}

func newGroup(conn *prepared) *group {
	g := &group{conn: conn, writes: make(chan *write), bulk: make(chan *write), alone: make(chan *write), ended: make(chan struct{}), stop: make(chan struct{})}
	go g.run()
	return g
}

// write waits until do has run and its transaction is on disk. A caller that leaves
// before its turn is not served. If it leaves later, do takes effect or not.
func (g *group) write(ctx context.Context, size int64, do func(context.Context, statements) error) error {
	turn := g.writes
	if size >= bulkSize {
		turn = g.bulk
	}
	return g.wait(ctx, turn, &write{size: size, do: do, done: make(chan error, 1)})
}

// outside runs do outside a transaction, between two groups.
func (g *group) outside(ctx context.Context, do func(context.Context, statements) error) error {
	return g.wait(ctx, g.alone, &write{do: do, done: make(chan error, 1)})
}

func (g *group) wait(ctx context.Context, turn chan<- *write, w *write) error {
	select {
	case turn <- w:
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-g.stop:
		return ErrClosed
	}
	select {
	case err := <-w.done:
		return err
	case <-ctx.Done():
		if !w.begun.Swap(true) {
			return context.Cause(ctx)
		}
	}
	select {
	case err := <-w.done: // it may be done just now
		return err
	default:
		return context.Cause(ctx)
	}
}

func (g *group) run() {
	defer close(g.ended)
	for {
		var first *write
		select {
		case first = <-g.writes:
		case first = <-g.bulk:
		case w := <-g.alone:
			g.runAlone(w)
			continue
		case <-g.stop:
			return
		}
		batch, bulk := g.gather(first)
		g.serve(batch)
		g.files.emptyGrownLog(bulk)
	}
}

func (g *group) runAlone(w *write) {
	if w.begun.Swap(true) {
		return
	}
	g.files.before()
	err := w.do(context.Background(), g.conn)
	g.files.look()
	w.done <- err
}

// gather takes the writes that wait, beginning with the first. It reports whether there is
// a piece of a large body among them.
func (g *group) gather(first *write) (batch []*write, bulk bool) {
	batch, bulk = []*write{first}, first.size >= bulkSize
	for size := first.size; len(batch) < groupWrites && size < groupBytes; {
		select {
		case w := <-g.writes:
			batch = append(batch, w)
			size += w.size
			continue
		default:
		}
		if bulk {
			return batch, bulk
		}
		select {
		case w := <-g.bulk:
			return append(batch, w), true
		default:
			return batch, false
		}
	}
	return batch, bulk
}

// serve runs writes in one transaction. If that fails, each runs in its own.
func (g *group) serve(batch []*write) {
	wanted := batch[:0]
	for _, w := range batch {
		if !w.begun.Swap(true) {
			wanted = append(wanted, w)
		}
	}
	if len(wanted) == 0 {
		return
	}
	if err := g.transact(wanted); err == nil || len(wanted) == 1 {
		for _, w := range wanted {
			w.done <- err
		}
		return
	}
	for _, w := range wanted {
		w.done <- g.transact([]*write{w})
	}
}

// transact runs writes in one transaction. A caller's context never ends a transaction
// that others share.
func (g *group) transact(batch []*write) (err error) {
	ctx := context.Background()
	g.files.before()
	if _, err := g.conn.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	defer func() {
		if err != nil { // SQLite may have rolled back by itself, as for a full disk
			_, _ = g.conn.ExecContext(ctx, "ROLLBACK")
		}
		g.files.after() // no event is acknowledged that is in a file which is gone or damaged
	}()
	for _, w := range batch {
		if err := w.do(ctx, g.conn); err != nil {
			return err
		}
	}
	_, err = g.conn.ExecContext(ctx, "COMMIT")
	return err
}

// close waits for the write that runs.
func (g *group) close() error {
	g.once.Do(func() { close(g.stop) })
	<-g.ended
	return g.conn.close()
}

// maxPrepared is how many statements are kept. Those that select events differ by what
// they select.
const maxPrepared = 64

// prepared is a connection that prepares each statement once.
type prepared struct {
	conn   *sql.Conn
	expand func(string) string
	known  map[string]*sql.Stmt
}

func (p *prepared) prepare(ctx context.Context, query string) (*sql.Stmt, error) {
	if statement, ok := p.known[query]; ok {
		return statement, nil
	}
	if len(p.known) == maxPrepared {
		for query, statement := range p.known {
			_ = statement.Close()
			delete(p.known, query)
			break
		}
	}
	statement, err := p.conn.PrepareContext(ctx, p.expand(query))
	if err == nil {
		p.known[query] = statement
	}
	return statement, err
}

func (p *prepared) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	statement, err := p.prepare(ctx, query) //nolint:sqlclosecheck // it is kept
	if err != nil {
		return nil, err
	}
	return statement.ExecContext(ctx, args...)
}

func (p *prepared) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	statement, err := p.prepare(ctx, query) //nolint:sqlclosecheck // it is kept
	if err != nil {
		return nil, err
	}
	return statement.QueryContext(ctx, args...)
}

func (p *prepared) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	statement, err := p.prepare(ctx, query) //nolint:sqlclosecheck // it is kept
	if err != nil {                         // the same error comes again, with a row to tell it by
		return p.conn.QueryRowContext(ctx, p.expand(query), args...)
	}
	return statement.QueryRowContext(ctx, args...)
}

func (p *prepared) close() (err error) {
	for _, statement := range p.known {
		err = errors.Join(err, statement.Close())
	}
	return errors.Join(err, p.conn.Close())
}
