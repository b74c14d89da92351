package inbox

import (
	"errors"
	"fmt"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

var errDamaged = errors.New("the file is damaged")

func asDamaged(err error) error {
	if errors.Is(err, errDamaged) {
		return err
	}
	return fmt.Errorf("%w: %w", errDamaged, err)
}

// sqliteCode returns the primary code of an error of SQLite, or 0.
func sqliteCode(err error) int {
	if its, ok := errors.AsType[*sqlite.Error](err); ok {
		return its.Code() & 0xff
	}
	return 0
}

// isDiskFull reports whether there was no space. If there is none for the index of the
// log, SQLite calls that an error of input and output.
func isDiskFull(err error) bool {
	its, ok := errors.AsType[*sqlite.Error](err)
	return ok && (its.Code()&0xff == sqlite3.SQLITE_FULL || its.Code() == sqlite3.SQLITE_IOERR_SHMSIZE || its.Code() == sqlite3.SQLITE_IOERR_WRITE)
}

// isCutOff reports whether a file ends before what SQLite knows to be in it.
func isCutOff(err error) bool {
	its, ok := errors.AsType[*sqlite.Error](err)
	return ok && its.Code() == sqlite3.SQLITE_IOERR_SHORT_READ
}

// sqliteProblem says what is wrong with a file, and what to do.
func sqliteProblem(path string, err error) error {
	switch sqliteCode(err) {
	case sqlite3.SQLITE_NOTADB:
		return fmt.Errorf("%s is not a SQLite database: move the file away, or name another: %w", path, err)
	case sqlite3.SQLITE_CORRUPT:
		err = asDamaged(err)
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM:
		return fmt.Errorf("the database %s cannot be written: let Caddy's user write the folder and the file: %w", path, err)
	}
	if errors.Is(err, errDamaged) {
		return fmt.Errorf("the database %s: %w: restore it from a backup, or move the file away to begin anew", path, err)
	}
	return fmt.Errorf("opening the database %s: %w", path, err)
}
