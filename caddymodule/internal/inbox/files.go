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
// Only the goroutine of the group writes the files, so what they are between two writes is
// what the last one made of them. The goroutine calls all methods except problem and spoilt.
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

// before looks at the files before a write. If somebody else changed them, it checks them.
func (f *files) before() {
	if changed := f.look(); f != nil && (changed || f.unchecked.Load() != nil) && f.damage.Load() == nil {
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
		err = f.conn.QueryRowContext(ctx, `PRAGMA wal_checkpoint(PASSIVE)`).Scan(&busy, &pages, &done)
		f.look()
	}
	f.spoilt(err)
}

// look looks at both files.
func (f *files) look() (changed bool) {
	if f == nil {
		return false
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
	return changed || logChanged
}

func (f *files) miss(path string) {
	if f.missing.Load() == nil {
		err := fmt.Errorf("%s was deleted, moved or replaced while Caddy has it open: put it back, or restart Caddy", path)
		f.missing.Store(&err)
	}
}

// check checks files that somebody else changed, by a connection that knows nothing of
// them yet. What is left in the log goes to the database: after a crash, SQLite would not
// read the log past a place that is damaged.
func (f *files) check() {
	err := f.checkPages()
	if err == nil {
		_, err = f.conn.emptyLog(context.Background())
		f.look()
	}
	switch {
	case err == nil, isDiskFull(err):
		f.unchecked.Store(nil)
	case isPassing(err):
		err = fmt.Errorf("%s was changed by another program, and could not be checked, which is tried again: %w", f.database.path, err)
		f.unchecked.Store(&err)
	default:
		f.spoilt(asDamaged(err))
	}
}

func (f *files) checkPages() error {
	if f.database.size == 0 { // SQLite would delete the log, as of a new database
		return fmt.Errorf("%w: it is empty", errDamaged)
	}
	ctx := context.Background()
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

// isPassing reports whether an error says nothing of the file, and may pass: another
// program locks the file, or this process has no memory or can open no more files.
func isPassing(err error) bool {
	return slices.Contains([]int{sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_CANTOPEN}, sqliteCode(err))
}
