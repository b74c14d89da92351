package inbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync/atomic"
	"time"

	sqlite3 "modernc.org/sqlite/lib"
)

const (
	// checkpointPages is how many pages of the log are written to the database at once.
	checkpointPages = 1000
	// bulkPages is that while large bodies are stored: small events wait for it less long.
	bulkPages = 256
	// emptyTimeout is how long emptying the log waits for those who read it. All writes
	// wait meanwhile.
	emptyTimeout = 100 * time.Millisecond
)

// files watches the files of an open database. SQLite does not notice if somebody deletes,
// replaces or changes them: it would store events where nobody finds them again.
//
// Only the goroutine of the group writes the files: a transaction the log, a checkpoint the
// database. So what they are between two of these is what the last one made of them. The
// goroutine calls all methods except problem and spoilt.
type files struct {
	database, log file
	conn          *prepared

	missing   atomic.Pointer[error] // until the files are there again
	unchecked atomic.Pointer[error] // until a check of what somebody changed succeeds
	damage    atomic.Pointer[error] // until the process ends
}

// file is a file as the last write of this process left it.
type file struct {
	path     string
	opened   os.FileInfo
	size     int64
	modified time.Time
}

// watch begins to watch the files of a database, which is open.
func watch(path string, conn *prepared) (*files, error) {
	f := &files{database: file{path: path}, log: file{path: path + "-wal"}, conn: conn}
	for _, its := range []*file{&f.database, &f.log} {
		info, err := os.Stat(its.path)
		if err != nil {
			return nil, err
		}
		its.opened, its.size, its.modified = info, info.Size(), info.ModTime()
	}
	return f, nil
}

// look reports whether the file is still the one that was opened, and whether somebody
// else changed it. It notes how the file is now.
func (f *file) look() (there, changed bool) {
	info, err := os.Stat(f.path)
	if err != nil || !os.SameFile(info, f.opened) {
		return false, false
	}
	changed = info.Size() != f.size || !info.ModTime().Equal(f.modified)
	f.size, f.modified = info.Size(), info.ModTime()
	return true, changed
}

// before looks at the files before they are written. If somebody else changed them, it
// checks them.
func (f *files) before() {
	database, log := f.look()
	f.checkIf(database || log || f != nil && f.unchecked.Load() != nil)
}

// after looks at the files after a transaction, which changed only the log.
func (f *files) after() {
	database, _ := f.look()
	f.checkIf(database)
}

func (f *files) checkIf(changed bool) {
	if changed && f.damage.Load() == nil {
		f.check()
	}
}

// emptyGrownLog writes what is in the log to the database when it is much, or the log's
// file is gone. SQLite would do it at the end of a write, whose callers would wait for it.
func (f *files) emptyGrownLog(bulk bool) {
	if f == nil {
		return
	}
	ctx := context.Background()
	var busy, pages, done int
	err := f.conn.QueryRowContext(ctx, `PRAGMA wal_checkpoint(NOOP)`).Scan(&busy, &pages, &done)
	most := checkpointPages
	if bulk {
		most = bulkPages
	}
	if err == nil && (pages-done >= most || pages > done && f.missing.Load() != nil) {
		f.before()
		err = f.conn.QueryRowContext(ctx, `PRAGMA wal_checkpoint(PASSIVE)`).Scan(&busy, &pages, &done)
		f.look()
	}
	f.spoilt(err)
}

// look looks at both files, and reports which of them somebody changed.
func (f *files) look() (database, log bool) {
	if f == nil {
		return false, false
	}
	there, changed := f.database.look()
	logThere, logChanged := f.log.look()
	switch {
	case !there:
		f.miss(f.database.path)
	case !logThere:
		f.miss(f.log.path)
	default:
		f.missing.Store(nil)
	}
	return changed, logChanged
}

func (f *files) miss(path string) {
	if f.missing.Load() == nil {
		err := fmt.Errorf("%s was deleted, moved or replaced while Caddy has it open: put it back, or restart Caddy", path)
		f.missing.Store(&err)
	}
}

// errLogKept is returned if the log is damaged, and cannot be emptied yet: another program
// reads it, or the disk is full.
var errLogKept = errors.New("the log is damaged, and cannot be emptied yet")

// check checks files that somebody else changed.
func (f *files) check() {
	switch err := f.checkBoth(context.Background()); {
	case err == nil:
		f.unchecked.Store(nil)
	case isPassing(err):
		err = fmt.Errorf("%s was changed by another program, and could not be checked, which is tried again: %w", f.database.path, err)
		f.unchecked.Store(&err)
	default:
		f.spoilt(asDamaged(err))
	}
}

// checkBoth checks both files. What is left in the log goes to the database: after a crash,
// SQLite would not read the log past a place that is damaged.
func (f *files) checkBoth(ctx context.Context) error {
	if f.database.size == 0 { // SQLite would delete the log, as of a new database
		return fmt.Errorf("%w: it is empty", errDamaged)
	}
	// The connection may remember pages that are not in the file any more
	if _, err := f.conn.ExecContext(ctx, `PRAGMA shrink_memory`); err != nil {
		return err
	}
	if err := f.checkPages(ctx); err != nil {
		return err
	}
	empty, err := f.conn.emptyLog(ctx)
	f.look()
	if empty || err != nil && !isDiskFull(err) {
		return err
	}
	return f.checkLog(ctx)
}

// checkLog checks that SQLite would read all of the log after a crash.
func (f *files) checkLog(ctx context.Context) error {
	var busy, pages, done int
	if err := f.conn.QueryRowContext(ctx, `PRAGMA wal_checkpoint(NOOP)`).Scan(&busy, &pages, &done); err != nil {
		return err
	}
	sound, err := countLogged(f.log.path)
	if err == nil && sound < pages {
		return fmt.Errorf("%w: only %d of its %d pages could be read after a crash", errLogKept, sound, pages)
	}
	return err
}

// checkPages checks the pages by a connection that knows nothing of them yet. It reads from
// the log what the database does not have yet, and all other pages from the database.
func (f *files) checkPages(ctx context.Context) error {
	db, err := sql.Open("sqlite", readingDSN(f.database.path))
	if err != nil {
		return err
	}
	defer db.Close()
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	return errors.Join(checkPages(ctx, conn), conn.Close())
}

// emptyLog reports whether the log is empty. It stays as it is while others read it.
func (p *prepared) emptyLog(ctx context.Context) (empty bool, err error) {
	// SQLite sets the timeout when it prepares the statement, so it must not be a kept one
	if _, err := p.conn.ExecContext(ctx, "PRAGMA "+busy(emptyTimeout)); err != nil {
		return false, fmt.Errorf("emptying the log of the database: %w", err)
	}
	defer func() {
		_, restored := p.conn.ExecContext(ctx, "PRAGMA "+busy(busyTimeout))
		err = errors.Join(err, restored)
	}()
	var held, pages, done int
	err = p.QueryRowContext(ctx, `PRAGMA wal_checkpoint(TRUNCATE)`).Scan(&held, &pages, &done)
	if err != nil && sqliteCode(err) != sqlite3.SQLITE_BUSY {
		return false, fmt.Errorf("emptying the log of the database: %w", err)
	}
	return err == nil && held == 0, nil
}

// spoilt notes an error that says that the file is damaged.
func (f *files) spoilt(err error) {
	if f == nil || err == nil {
		return
	}
	switch code := sqliteCode(err); {
	case code == sqlite3.SQLITE_CORRUPT, code == sqlite3.SQLITE_NOTADB, errors.Is(err, errDamaged), isCutOff(err):
		err = fmt.Errorf("%w, and restart Caddy", sqliteProblem(f.database.path, err))
		f.damage.CompareAndSwap(nil, &err)
	}
}

// problem returns why what is written now may be lost, or nil.
func (f *files) problem() error {
	for _, p := range []*atomic.Pointer[error]{&f.damage, &f.missing, &f.unchecked} {
		if err := p.Load(); err != nil {
			return *err
		}
	}
	return nil
}

// isPassing reports whether an error may pass, and does not say that the file is damaged:
// another program locks the file or reads its log, the disk is full, or this process has no
// memory or can open no more files.
func isPassing(err error) bool {
	return errors.Is(err, errLogKept) || isDiskFull(err) ||
		slices.Contains([]int{sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_CANTOPEN}, sqliteCode(err))
}
