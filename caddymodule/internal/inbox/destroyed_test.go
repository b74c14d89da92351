package inbox

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"io"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const pageSize = 4096

// overwrite replaces pages of a file in place, as a faulty disk or program does. Pages are
// counted from 1.
func overwrite(t *testing.T, path string, pages ...int64) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	require.NoError(t, err)
	defer file.Close()
	noise := make([]byte, pageSize)
	for _, page := range pages {
		_, _ = rand.Read(noise)
		_, err = file.WriteAt(noise, (page-1)*pageSize)
		require.NoError(t, err)
	}
}

// pagesOf returns the numbers of pages that a program of SQL selects.
func pagesOf(t *testing.T, conn *sql.Conn, query string, args ...any) (pages []int64) {
	t.Helper()
	all, err := conn.QueryContext(t.Context(), query, args...)
	require.NoError(t, err)
	defer all.Close()
	for all.Next() {
		var page int64
		require.NoError(t, all.Scan(&page))
		pages = append(pages, page)
	}
	require.NoError(t, all.Err())
	return pages
}

// root returns the first page of a table or an index.
func root(t *testing.T, conn *sql.Conn, name string) int64 {
	t.Helper()
	pages := pagesOf(t, conn, `SELECT rootpage FROM sqlite_schema WHERE name = $1`, name)
	require.Len(t, pages, 1)
	return pages[0]
}

// checkpoint writes the log to the database as far as its readers let it, and returns how
// many pages the log has, and how many of them are written.
func checkpoint(t *testing.T, conn *sql.Conn, mode string) (pages, done int) {
	t.Helper()
	var busy int
	require.NoError(t, conn.QueryRowContext(t.Context(), `PRAGMA wal_checkpoint(`+mode+`)`).Scan(&busy, &pages, &done))
	return pages, done
}

// read begins to read, and so keeps the log from being begun anew, until the test calls
// the function that it returns.
func read(t *testing.T, path string) (end func()) {
	t.Helper()
	reader, err := stranger(t, path).BeginTx(t.Context(), nil)
	require.NoError(t, err)
	var count int
	require.NoError(t, reader.QueryRowContext(t.Context(), `SELECT COUNT(*) FROM elevenlabs_inbox_event`).Scan(&count))
	t.Cleanup(func() { _ = reader.Rollback() })
	return func() { require.NoError(t, reader.Rollback()) }
}

// crashed opens what would be there after a crash.
func crashed(t *testing.T, path string) (*Store, error) {
	t.Helper()
	copied := newFile(t)
	for _, end := range []string{"", "-wal"} {
		content, err := os.ReadFile(path + end)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(copied+end, content, 0o600))
	}
	s, err := Open(t.Context(), copied)
	if err == nil {
		t.Cleanup(func() { assert.NoError(t, s.Close()) })
	}
	return s, err
}

// bodyOf reads a stored body.
func bodyOf(t *testing.T, s *Store, e Entry) []byte {
	t.Helper()
	body := s.Body(e.Seq, e.Size).NewReader()
	defer body.Close()
	content, err := io.ReadAll(body)
	require.NoError(t, err)
	return content
}

// destroyedFile is a database whose file somebody destroys.
type destroyedFile struct {
	t        *testing.T
	store    *Store
	path     string
	stranger *sql.Conn
	stored   int
}

// fill stores events of so many bytes.
func (f *destroyedFile) fill(count, size int) {
	f.t.Helper()
	for range count {
		f.stored++
		store(f.t, f.store, event(fmt.Sprintf("%08d", f.stored)), content(size))
	}
}

// all returns the numbers of all pages of the file.
func (f *destroyedFile) all() (pages []int64) {
	f.t.Helper()
	info, err := os.Stat(f.path)
	require.NoError(f.t, err)
	for page := int64(1); page <= info.Size()/pageSize; page++ {
		pages = append(pages, page)
	}
	return pages
}

// emptyLog lets the store empty its log.
func (f *destroyedFile) emptyLog() {
	f.t.Helper()
	_, err := f.store.dialect.(*sqliteDB).emptyLog(f.t.Context())
	require.NoError(f.t, err)
}

// An event that comes after somebody destroyed the file, and is accepted, is there after a
// crash, whatever of the file is in its log.
func TestAFileThatIsOverwrittenPromisesOnlyWhatIsThereAfterACrash(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		// destroy may return what ends when the events after it are answered
		destroy func(t *testing.T, f *destroyedFile) (end func())
		want    string // "": events are accepted
	}{
		{"its log has all pages, and none was written", func(t *testing.T, f *destroyedFile) func() {
			f.fill(20, 8<<10)
			pages, done := checkpoint(t, f.stranger, "NOOP")
			require.Positive(t, pages)
			require.Zero(t, done)
			overwrite(t, f.path, 1)
			return nil
		}, ""},
		{"its log has all pages, none was written, and a reader keeps it", func(t *testing.T, f *destroyedFile) func() {
			f.fill(20, 8<<10)
			end := read(t, f.path)
			f.fill(1, 100) // after the reader
			pages, done := checkpoint(t, f.stranger, "NOOP")
			require.Positive(t, pages)
			require.Zero(t, done)
			overwrite(t, f.path, f.all()...)
			return end
		}, ""},
		{"its log is empty, and the first page is overwritten", func(t *testing.T, f *destroyedFile) func() {
			f.fill(20, 8<<10)
			checkpoint(t, f.stranger, "TRUNCATE")
			overwrite(t, f.path, 1)
			return nil
		}, "is not a SQLite database"},
		{"its log is empty, and pages in the middle are overwritten", func(t *testing.T, f *destroyedFile) func() {
			f.fill(20, 8<<10)
			checkpoint(t, f.stranger, "TRUNCATE")
			overwrite(t, f.path, f.all()[2:30]...)
			return nil
		}, "the file is damaged"},
		{"its log has some of the pages", func(t *testing.T, f *destroyedFile) func() {
			f.fill(20, 8<<10)
			checkpoint(t, f.stranger, "TRUNCATE")
			f.fill(2, 8<<10)
			overwrite(t, f.path, f.all()...)
			return nil
		}, "the file is damaged"},
		{"its log has the pages, which were written, and a reader keeps it", func(t *testing.T, f *destroyedFile) func() {
			f.fill(20, 8<<10)
			end := read(t, f.path)
			pages, done := checkpoint(t, f.stranger, "PASSIVE")
			require.Equal(t, pages, done)
			f.fill(1, 100) // the log goes on
			pages, _ = checkpoint(t, f.stranger, "NOOP")
			require.Greater(t, pages, done, "the log goes on")
			overwrite(t, f.path, f.all()[2:30]...)
			return end
		}, "the file is damaged"},
		{"its log has the pages, which were written, and a reader kept it", func(t *testing.T, f *destroyedFile) func() {
			f.fill(20, 8<<10)
			end := read(t, f.path)
			pages, done := checkpoint(t, f.stranger, "PASSIVE")
			require.Equal(t, pages, done)
			f.fill(1, 100)
			pages, _ = checkpoint(t, f.stranger, "NOOP")
			require.Greater(t, pages, done, "the log goes on")
			end()
			overwrite(t, f.path, f.all()[2:30]...)
			return nil
		}, "the file is damaged"},
		{"its log is overwritten where nobody looks, and a reader keeps it", func(t *testing.T, f *destroyedFile) func() {
			f.fill(20, 8<<10)
			end := read(t, f.path)
			file, err := os.OpenFile(f.path+"-wal", os.O_WRONLY, 0)
			require.NoError(t, err)
			_, err = file.WriteAt(bytes.Repeat([]byte{0xee}, 100), logHeader+pageHeader+1000) // in a page that is there again further on
			require.NoError(t, err)
			require.NoError(t, file.Close())
			return end
		}, "another program"},
		{"an older copy, its log is empty", func(t *testing.T, f *destroyedFile) func() {
			f.fill(20, 8<<10)
			f.emptyLog()
			older, err := os.ReadFile(f.path)
			require.NoError(t, err)
			f.fill(60, 8<<10)
			f.emptyLog()
			require.NoError(t, os.WriteFile(f.path, older, 0o600))
			return nil
		}, ""},
		{"an older copy, its log has pages", func(t *testing.T, f *destroyedFile) func() {
			f.fill(20, 8<<10)
			checkpoint(t, f.stranger, "TRUNCATE")
			older, err := os.ReadFile(f.path)
			require.NoError(t, err)
			f.fill(60, 8<<10)
			checkpoint(t, f.stranger, "TRUNCATE")
			f.fill(5, 8<<10)
			require.NoError(t, os.WriteFile(f.path, older, 0o600))
			return nil
		}, "the file is damaged"},
		{"free pages", func(t *testing.T, f *destroyedFile) func() {
			f.fill(1, 400<<10)
			alter(t, f.store, `DELETE FROM elevenlabs_inbox_event`)
			checkpoint(t, f.stranger, "TRUNCATE")
			file, err := os.ReadFile(f.path)
			require.NoError(t, err)
			var free []int64 // what is zero by secure_delete is in no list but as a number
			for _, page := range f.all() {
				if bytes.Equal(file[(page-1)*pageSize:page*pageSize], make([]byte, pageSize)) {
					free = append(free, page)
				}
			}
			require.Greater(t, len(free), 50)
			overwrite(t, f.path, free...)
			return nil
		}, ""},
		{"the list of free pages", func(t *testing.T, f *destroyedFile) func() {
			f.fill(1, 400<<10)
			alter(t, f.store, `DELETE FROM elevenlabs_inbox_event`)
			checkpoint(t, f.stranger, "TRUNCATE")
			file, err := os.ReadFile(f.path)
			require.NoError(t, err)
			first := int64(file[32])<<24 | int64(file[33])<<16 | int64(file[34])<<8 | int64(file[35])
			require.Positive(t, first)
			overwrite(t, f.path, first)
			return nil
		}, "the file is damaged"},
		{"an index that the store remembers", func(t *testing.T, f *destroyedFile) func() {
			f.fill(20, 8<<10)
			checkpoint(t, f.stranger, "TRUNCATE")
			overwrite(t, f.path, root(t, f.stranger, "elevenlabs_inbox_identity"))
			return nil
		}, "the file is damaged"},
		{"before its log is emptied", func(t *testing.T, f *destroyedFile) func() {
			f.fill(20, 8<<10)
			checkpoint(t, f.stranger, "TRUNCATE")
			f.fill(1, 100)
			overwrite(t, f.path, f.all()[2:30]...)
			f.emptyLog() // as when an event is forgotten
			return nil
		}, "the file is damaged"},
		{"before its log is written", func(t *testing.T, f *destroyedFile) func() {
			f.fill(20, 8<<10)
			checkpoint(t, f.stranger, "TRUNCATE")
			f.fill(40, 8<<10)
			pages, done := checkpoint(t, f.stranger, "NOOP")
			require.Greater(t, pages-done, bulkPages)
			group := f.store.dialect.(*sqliteDB).group
			require.NoError(t, group.outside(t.Context(), func(context.Context, statements) error {
				overwrite(t, f.path, f.all()[2:30]...)
				group.files.emptyGrownLog(true)
				return nil
			}))
			return nil
		}, "the file is damaged"},
		{"during a write", func(t *testing.T, f *destroyedFile) func() {
			f.fill(20, 8<<10)
			checkpoint(t, f.stranger, "TRUNCATE")
			f.fill(1, 100)
			require.NoError(t, f.store.write(t.Context(), 0, func(ctx context.Context, tx statements) error {
				overwrite(t, f.path, f.all()[2:30]...)
				_, err := tx.ExecContext(ctx, `UPDATE elevenlabs_inbox_event SET tries = tries + 1`)
				return err
			}))
			return nil
		}, "the file is damaged"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := &destroyedFile{t: t, path: newFile(t)}
			f.store = open(t, f.path)
			f.stranger = stranger(t, f.path)
			f.fill(1, 100)
			end := test.destroy(t, f)

			accepted := []string{}
			accept := func(round string, count int) (err error) {
				for i := range count {
					id := fmt.Sprintf("%s %d", round, i)
					_, failed := f.store.Accept(t.Context(), event(id), content(8<<10), noLimit)
					if failed == nil {
						accepted = append(accepted, id)
					} else {
						err = failed
					}
				}
				return err
			}
			err := accept("after", 5)
			if test.want == "" {
				require.NoError(t, err)
				require.NoError(t, f.store.Intact())
			} else {
				assert.ErrorContains(t, err, test.want)
				assert.ErrorContains(t, f.store.Intact(), test.want)
				assert.Empty(t, accepted)
			}
			promised := func(when string) {
				if len(accepted) == 0 {
					return
				}
				after, err := crashed(t, f.path)
				require.NoError(t, err, when)
				for _, id := range accepted {
					e := find(t, after, id)
					assert.Equal(t, []byte(content(8<<10)), bodyOf(t, after, e), "%s: %s", when, id)
				}
			}
			promised("at once")
			if end != nil {
				end()
			}
			_, _ = f.store.renew(t.Context(), nil) // as a runner does every 10 seconds
			_ = accept("later", 5)                 // now nothing keeps the log from beginning anew
			if len(accepted) > 0 {
				checkpoint(t, f.stranger, "TRUNCATE")
			}
			promised("later")
		})
	}
}
