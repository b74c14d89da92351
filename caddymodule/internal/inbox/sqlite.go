package inbox

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	_ "modernc.org/sqlite" // the driver
	sqlite3 "modernc.org/sqlite/lib"
)

const (
	// reserveSize is how much space is kept for the notes of outcomes when the disk is
	// full. Without it, a full inbox could never empty itself.
	reserveSize = 16 << 20
	// reserveEvery is how often the reserve is made again after it was used.
	reserveEvery = 10 * time.Second
	// readers is the number of connections that read.
	readers = 4
	// checkTime bounds how long the file is checked when it is opened.
	checkTime = 2 * time.Second
	// busyTimeout is how long a statement waits for another program.
	busyTimeout = 5 * time.Second
	// statementTimeout bounds a statement that nobody else bounds.
	statementTimeout = 5 * time.Second
	// freePages is how many pages are given back to the file system at once.
	freePages = 256
)

// sqliteTime is Unix milliseconds. It is the same in a whole statement.
const sqliteTime = `CAST(unixepoch('subsec') * 1000 AS INTEGER)`

var sqliteWords = strings.NewReplacer("{now}", sqliteTime, " {skip locked}", "", "{skip locked}", "", " {for update}", "", "{+}", "+")

type sqliteDB struct {
	path    string
	group   *group
	readers *sql.DB
	writer  *sql.DB
	unlock  func() error // nil without the lock

	reserveGone atomic.Bool
	lastReserve atomic.Int64 // when it was last tried to make it again, in Unix seconds
}

// openSQLite opens a file. Another process cannot open it meanwhile. If the disk is full,
// the reserve gives way, so that what is stored can be delivered.
func openSQLite(ctx context.Context, path string) (dialect, error) {
	db, err := tryOpenSQLite(ctx, path)
	if isDiskFull(err) && os.Remove(path+".reserve") == nil {
		db, err = tryOpenSQLite(ctx, path)
	}
	if isDiskFull(err) {
		return nil, fmt.Errorf("%w: the disk with %s is full: make room: %w", ErrUnreachable, path, err)
	}
	if err != nil {
		return nil, err
	}
	return db, nil
}

func tryOpenSQLite(ctx context.Context, path string) (_ *sqliteDB, err error) {
	if err := checkFolder(filepath.Dir(path)); err != nil {
		return nil, err
	}
	db := &sqliteDB{path: path}
	opened := false
	defer func() {
		if !opened {
			_ = db.close()
		}
	}()
	if db.unlock, err = lockSQLite(ctx, path+".lock"); err != nil {
		return nil, err
	}
	if err := createFile(path); err != nil {
		return nil, err
	}
	if db.writer, err = sql.Open("sqlite", dsn(path, slices.Concat(common, []string{
		"auto_vacuum(INCREMENTAL)", "journal_mode(WAL)", "synchronous(FULL)", "fullfsync(1)",
		"checkpoint_fullfsync(1)", "secure_delete(1)", "journal_size_limit(67108864)", "wal_autocheckpoint(0)",
	})...)); err != nil {
		return nil, err
	}
	conn, err := db.writer.Conn(ctx)
	if err != nil {
		return nil, sqliteProblem(path, err)
	}
	db.group = newGroup(&prepared{conn: conn, expand: sqliteWords.Replace, known: map[string]*sql.Stmt{}})
	if err := migrate(ctx, db.group.write, schemaSQLite{}); err != nil {
		return nil, sqliteProblem(path, err)
	}
	if err := checkPages(ctx, conn); err != nil {
		return nil, sqliteProblem(path, err)
	}
	if err := db.group.write(ctx, 0, recoverSQLite); err != nil {
		return nil, sqliteProblem(path, err)
	}
	if err := db.openReaders(ctx); err != nil {
		return nil, sqliteProblem(path, err)
	}
	if err := db.group.outside(ctx, func(context.Context, statements) (err error) {
		db.group.files, err = watch(path, db.group.conn)
		return err
	}); err != nil {
		return nil, err
	}
	if err := db.makeReserve(); err != nil {
		db.reserveGone.Store(true)
	}
	opened = true
	return db, nil
}

// openReaders opens the connections that read, all now: later, another file may have the
// path.
func (db *sqliteDB) openReaders(ctx context.Context) (err error) {
	if db.readers, err = sql.Open("sqlite", readingDSN(db.path)); err != nil {
		return err
	}
	db.readers.SetMaxOpenConns(readers)
	db.readers.SetMaxIdleConns(readers)
	for range readers {
		conn, err := db.readers.Conn(ctx)
		if err != nil {
			return err
		}
		defer conn.Close()
		if err := conn.PingContext(ctx); err != nil {
			return err
		}
	}
	return nil
}

// dsn returns what the driver opens a file by, with settings for each connection.
func dsn(path string, settings ...string) string {
	slashed := "/" + strings.TrimPrefix(filepath.ToSlash(path), "/") // also before a drive's letter
	return (&url.URL{Scheme: "file", OmitHost: true, Path: slashed}).String() + "?_pragma=" + strings.Join(settings, "&_pragma=")
}

// readingDSN is that of a connection that reads. It makes no file.
func readingDSN(path string) string {
	return dsn(path, append(common, "query_only(1)")...) + "&mode=rw"
}

// common are the settings of every connection to the database.
var common = []string{busy(busyTimeout), "foreign_keys(1)", "trusted_schema(0)"}

func busy(timeout time.Duration) string {
	return fmt.Sprintf("busy_timeout(%d)", timeout.Milliseconds())
}

// checkFolder reports what is wrong with the folder of the file.
func checkFolder(folder string) error {
	info, err := os.Stat(folder)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("the folder %s does not exist: create it, and let only Caddy's user enter it", folder)
	case err != nil:
		return fmt.Errorf("looking at the folder of the database: %w", err)
	case !info.IsDir():
		return fmt.Errorf("%s is not a folder: the database needs a folder that Caddy's user can write", folder)
	}
	return nil
}

// createFile creates the file if it is not there, so that only this user can read it.
// SQLite gives the same mode to the files that it puts beside it.
//
// A file that is there is not opened: to close it would end SQLite's locks on it, if
// this process has the database open already.
func createFile(path string) error {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return fmt.Errorf("%s is a folder: name the file of the database in it", path)
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	switch {
	case errors.Is(err, fs.ErrExist):
		return nil
	case err != nil:
		return fmt.Errorf("opening the database: %w: let Caddy's user write the folder and the file", err)
	}
	return file.Close()
}

// lockSQLite takes a lock that ends with the process. The lock is on a file of its own,
// so that a backup can read the database.
func lockSQLite(ctx context.Context, path string) (unlock func() error, err error) {
	if err := createFile(path); err != nil {
		return nil, err
	}
	db, err := sql.Open("sqlite", dsn(path, "busy_timeout(0)", "journal_mode(MEMORY)"))
	if err != nil {
		return nil, err
	}
	unlock = db.Close
	conn, err := db.Conn(ctx)
	if err == nil {
		unlock = func() error { return errors.Join(conn.Close(), db.Close()) }
		_, err = conn.ExecContext(ctx, "BEGIN EXCLUSIVE")
	}
	if err == nil {
		return unlock, nil
	}
	_ = unlock()
	database := strings.TrimSuffix(path, ".lock")
	if code := sqliteCode(err); code == sqlite3.SQLITE_BUSY || code == sqlite3.SQLITE_LOCKED {
		return nil, fmt.Errorf("another process has the database %s open: stop the other Caddy, or give this one another database", database)
	}
	return nil, sqliteProblem(path, err)
}

// checkPages checks the structure of the file. It gives up a large file after a while: a
// damaged page that it did not reach shows when it is read.
func checkPages(ctx context.Context, conn *sql.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	var result string
	err := conn.QueryRowContext(ctx, `PRAGMA quick_check(1)`).Scan(&result)
	switch {
	case ctx.Err() != nil:
		return nil
	case err != nil:
		return err
	case result != "ok":
		return fmt.Errorf("%w: %s", errDamaged, result)
	}
	return nil
}

// recoverSQLite ends what a process before this one had begun. Nobody else has the file.
func recoverSQLite(ctx context.Context, tx statements) error {
	if _, err := tx.ExecContext(ctx, `UPDATE elevenlabs_inbox_event SET `+unclaimed+` WHERE state = 'delivering'`); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, `UPDATE elevenlabs_inbox_event SET done_at = {now} WHERE state = 'receiving' AND done_at = 0`)
	return err
}

func (db *sqliteDB) write(ctx context.Context, size int64, do func(context.Context, statements) error) error {
	return db.group.write(ctx, size, do)
}

func (db *sqliteDB) read() statements { return expanded{db.readers, sqliteWords.Replace} }

func (db *sqliteDB) snapshot(ctx context.Context, do func(statements) error) error {
	return inSnapshot(ctx, db.readers, nil, sqliteWords.Replace, do)
}

// recover gives the reserve away if the disk is full. What is stored can then be
// delivered, and gives way.
func (db *sqliteDB) recover(err error) error {
	db.group.files.spoilt(err)
	if !isDiskFull(err) {
		return err
	}
	if !db.reserveGone.Swap(true) {
		db.lastReserve.Store(time.Now().Unix())
		_ = os.Remove(db.reservePath())
	}
	return fmt.Errorf("%w: %w", ErrDiskFull, err)
}

// intact reports what somebody else did to the files.
func (db *sqliteDB) intact() error { return db.group.files.problem() }

// accepts reports ErrDiskFull until there is space for the reserve again.
func (db *sqliteDB) accepts() error {
	if !db.reserveGone.Load() {
		return nil
	}
	last, now := db.lastReserve.Load(), time.Now().Unix()
	if now-last < int64(reserveEvery.Seconds()) || !db.lastReserve.CompareAndSwap(last, now) {
		return ErrDiskFull
	}
	if err := db.makeReserve(); err != nil {
		return ErrDiskFull
	}
	db.reserveGone.Store(false)
	return nil
}

func (db *sqliteDB) reservePath() string { return db.path + ".reserve" }

// makeReserve makes the reserve, of random bytes, since a file system may store others
// in less space.
func (db *sqliteDB) makeReserve() (err error) {
	if info, err := os.Stat(db.reservePath()); err == nil && info.Size() == reserveSize {
		return nil
	}
	file, err := os.OpenFile(db.reservePath(), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err = errors.Join(err, file.Close()); err != nil {
			_ = os.Remove(db.reservePath())
		}
	}()
	if _, err := io.CopyN(file, rand.Reader, reserveSize); err != nil {
		return err
	}
	return file.Sync()
}

// idle gives pages that are free back to the file system, some at a time. After the disk
// was full, it empties the log too, which grew since its pages found no other place.
func (db *sqliteDB) idle(ctx context.Context) error {
	for before := int64(math.MaxInt64); ; {
		var free int64
		if err := db.read().QueryRowContext(ctx, `PRAGMA freelist_count`).Scan(&free); err != nil {
			return err
		}
		if free < freePages || free >= before { // others write too, or the file was made without auto_vacuum
			break
		}
		before = free
		err := db.write(ctx, 0, func(ctx context.Context, tx statements) error {
			rows, err := tx.QueryContext(ctx, fmt.Sprintf(`PRAGMA incremental_vacuum(%d)`, freePages))
			if err != nil {
				return err
			}
			defer rows.Close()
			for rows.Next() { // each step frees a page
			}
			return rows.Err()
		})
		if err != nil {
			return err
		}
	}
	if !db.reserveGone.Load() {
		return nil
	}
	_, err := db.emptyLog(ctx)
	return err
}

// forget empties the log of writes, which still has what was deleted.
func (db *sqliteDB) forget(ctx context.Context) error {
	for {
		if empty, err := db.emptyLog(ctx); err != nil || empty {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("emptying the log of the database, which is in use: %w", ctx.Err())
		case <-time.After(emptyTimeout): // others write
		}
	}
}

func (db *sqliteDB) risk(context.Context) (string, error) { return "", nil } // its settings are ours

// emptyLog reports whether the log is empty. It stays as it is while others read it.
func (db *sqliteDB) emptyLog(ctx context.Context) (bool, error) {
	var empty bool
	err := db.group.outside(ctx, func(ctx context.Context, _ statements) (err error) {
		empty, err = db.group.conn.emptyLog(ctx)
		return err
	})
	if err != nil { // of the context: it may still run
		return false, err
	}
	return empty, nil
}

func (db *sqliteDB) close() (err error) {
	if db.group != nil {
		err = db.group.close()
	}
	for _, part := range []*sql.DB{db.readers, db.writer} {
		if part != nil {
			err = errors.Join(err, part.Close())
		}
	}
	if db.unlock != nil {
		err = errors.Join(err, db.unlock())
	}
	return err
}
