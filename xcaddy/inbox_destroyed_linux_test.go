package main

import (
	"crypto/rand"
	"database/sql"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// overwrite replaces a part of a file in place, as a faulty disk or program does.
func overwrite(t *testing.T, path string, offset, size int64, content []byte) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	require.NoError(t, err)
	defer file.Close()
	if content == nil {
		content = make([]byte, size)
		_, _ = rand.Read(content)
	}
	_, err = file.WriteAt(content, offset)
	require.NoError(t, err)
}

func sizeOf(t testing.TB, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	require.NoError(t, err)
	return info.Size()
}

// logged is what the log of a database has. SQLite reads a page from there, if it is there.
type logged int

const (
	lastEvents logged = iota // the pages that the last events changed, and no others
	everyPage                // all, since nothing was written to the database yet
	noPage
)

// withLog runs a pragma of the log, as another program, and returns how many pages the log
// has, and how many of them are written to the database.
func withLog(t testing.TB, path, pragma string) (pages, done int) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?mode=rw&_pragma=busy_timeout(5000)")
	require.NoError(t, err)
	defer db.Close()
	var busy int
	require.NoError(t, db.QueryRow("PRAGMA wal_checkpoint("+pragma+")").Scan(&busy, &pages, &done))
	return pages, done
}

// emptyLog writes the log to the database, and empties it.
func (s *server) emptyLog(path string) {
	s.t.Helper()
	s.eventually("nobody to read the log", func() bool {
		withLog(s.t, path, "TRUNCATE")
		return sizeOf(s.t, path+"-wal") == 0
	})
}

// awaitWrites waits until the writes of the inbox are over, also what follows them. A
// delivered event cannot be discarded, but the try waits for its turn to write.
func (s *server) awaitWrites() {
	s.t.Helper()
	response, err := http.Post("http://"+s.admin+"/elevenlabs/inbox/discard", "application/json", strings.NewReader(`{"events": [1]}`))
	require.NoError(s.t, err)
	require.NoError(s.t, response.Body.Close())
	require.Equal(s.t, http.StatusConflict, response.StatusCode)
}

// Whatever somebody does to the files while Caddy has them open: an event that comes after
// it, and is answered 200, is there after a crash. An inbox that cannot promise that says
// so, and forwards its events at once.
func TestInboxWhoseFilesAreDestroyedPromisesNothing(t *testing.T) {
	t.Parallel()
	const (
		gone      = "was deleted, moved or replaced while Caddy has it open"
		damaged   = "the file is damaged"
		notSQLite = "is not a SQLite database"
	)
	overwriteAll := func(t *testing.T, path string) { overwrite(t, path, 0, sizeOf(t, path), nil) }
	overwriteSome := func(t *testing.T, path string) { overwrite(t, path, 2*4096, 30*4096, nil) }
	overwriteFirst := func(t *testing.T, path string) { overwrite(t, path, 0, 4096, nil) }
	copyOlder := func(t *testing.T, path string) {
		content, err := os.ReadFile(path + ".copy")
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(path, content, 0o600)) // as cp does
	}
	for _, test := range []struct {
		name    string
		log     logged
		destroy func(t *testing.T, path string)
		problem string // "" if events are stored as before
		starts  bool   // Caddy starts again with what is there
		repair  func(t *testing.T, path string)
	}{
		{name: "every page is overwritten", destroy: overwriteAll, problem: damaged},
		{name: "every page is overwritten, its log has them all", log: everyPage, destroy: overwriteAll, starts: true},
		{name: "pages in the middle are overwritten", destroy: overwriteSome, problem: damaged},
		{name: "pages in the middle are overwritten, its log has them", log: everyPage, destroy: overwriteSome, starts: true},
		{name: "the first page is overwritten", log: noPage, destroy: overwriteFirst, problem: notSQLite},
		{name: "the first page is overwritten, its log has it", destroy: overwriteFirst, starts: true},
		{name: "an older copy is written over it", destroy: copyOlder, problem: damaged},
		{name: "an older copy is written over it, its log is empty", log: noPage, destroy: copyOlder, starts: true},
		{name: "it is emptied", problem: damaged, destroy: func(t *testing.T, path string) {
			require.NoError(t, os.Truncate(path, 0))
		}},
		{name: "it is cut in half", problem: damaged, destroy: func(t *testing.T, path string) {
			require.NoError(t, os.Truncate(path, sizeOf(t, path)/2/4096*4096))
		}},
		{name: "it is deleted", problem: gone, starts: true, destroy: func(t *testing.T, path string) {
			require.NoError(t, os.Remove(path))
		}},
		{name: "all its files are deleted", problem: gone, starts: true, destroy: func(t *testing.T, path string) {
			files, err := filepath.Glob(path + "*")
			require.NoError(t, err)
			for _, file := range files {
				require.NoError(t, os.Remove(file))
			}
		}},
		{name: "it is moved away, and back", problem: gone, starts: true, destroy: func(t *testing.T, path string) {
			require.NoError(t, os.Rename(path, path+".moved"))
		}, repair: func(t *testing.T, path string) {
			require.NoError(t, os.Rename(path+".moved", path))
		}},
		{name: "another file is put in its place", problem: gone, starts: true, destroy: func(t *testing.T, path string) {
			require.NoError(t, os.Rename(path+".copy", path))
		}},
		{name: "its folder is moved away, and back", problem: gone, starts: true, destroy: func(t *testing.T, path string) {
			require.NoError(t, os.Rename(filepath.Dir(path), filepath.Dir(path)+".moved"))
		}, repair: func(t *testing.T, path string) {
			require.NoError(t, os.Rename(filepath.Dir(path)+".moved", filepath.Dir(path)))
		}},
		{name: "its log is deleted", problem: gone, starts: true, destroy: func(t *testing.T, path string) {
			require.NoError(t, os.Remove(path+"-wal"))
		}},
		{name: "its log is emptied", problem: damaged, destroy: func(t *testing.T, path string) {
			require.NoError(t, os.Truncate(path+"-wal", 0))
		}},
		{name: "its log is overwritten", problem: notSQLite, destroy: func(t *testing.T, path string) {
			overwrite(t, path+"-wal", 0, sizeOf(t, path+"-wal"), nil)
		}},
		{name: "the index of its log is deleted", starts: true, destroy: func(t *testing.T, path string) {
			require.NoError(t, os.Remove(path+"-shm"))
		}},
		{name: "its lock and its reserve are deleted", starts: true, destroy: func(t *testing.T, path string) {
			require.NoError(t, os.Remove(path+".lock"))
			require.NoError(t, os.Remove(path+".reserve"))
		}},
		{name: "it is only touched", starts: true, destroy: func(t *testing.T, path string) {
			overwrite(t, path, 0, 0, []byte("SQLite format 3"))
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			l := newInboxLedger(t)
			var away atomic.Bool
			folder := filepath.Join(t.TempDir(), "folder")
			require.NoError(t, os.Mkdir(folder, 0o700))
			path := filepath.Join(folder, "inbox.db")
			s := newServer(t)
			s.write(inboxSite(l.backend(func(http.ResponseWriter, *http.Request, int) int {
				if away.Load() {
					return http.StatusInternalServerError
				}
				return http.StatusOK
			}), path, "retry 1s"))
			s.serve()
			client := s.client("HTTP/1.1")
			fill := func(count int) {
				for range count {
					_, err := l.send(client, s, l.event(20<<10))
					require.NoError(t, err)
				}
				l.settled(s)
				s.awaitWrites()
			}
			fill(20)
			if test.log != everyPage {
				s.emptyLog(path)
				content, err := os.ReadFile(path)
				require.NoError(t, err)
				require.NoError(t, os.WriteFile(path+".copy", content, 0o600))
				fill(30)
				s.emptyLog(path)
			}
			if test.log == lastEvents {
				fill(10)
			}
			pages, done := withLog(t, path, "NOOP")
			require.Equal(t, test.log == noPage, pages == 0, "pages in the log")
			require.Zero(t, done, "what is in the log is not in the file too")
			require.Greater(t, sizeOf(t, path)+sizeOf(t, path+"-wal"), int64(50*4096))
			if test.problem == gone { // the first event after it is in the lost file, and bypasses the inbox
				l.inDoubt = 1
			}
			before := l.acks()
			away.Store(true) // what is stored from now on can be lost
			test.destroy(t, path)

			how := map[string]int{}
			for range 20 {
				got, err := l.send(client, s, l.event(8<<10))
				require.NoError(t, err)
				how[got.header.Get(headerInbox)]++
			}
			t.Logf("after it: %v; %+v", how, s.inboxes())
			if test.problem == "" {
				assert.Equal(t, map[string]int{"stored": 20}, how)
				assert.True(t, s.inboxes()[0].Up)
			} else {
				s.eventually("the inbox to be down", func() bool { return !s.inboxes()[0].Up })
				assert.Contains(t, s.inboxes()[0].Problem, test.problem)
				assert.Zero(t, s.metricSum("caddy_elevenlabs_inbox_up"))
				s.awaitLog(test.problem)
				assert.Equal(t, map[string]int{"bypassed": 20}, how)
				assert.Equal(t, before, l.acks(), "a bypassed one was not taken")
				got, err := l.send(client, s, l.event(100))
				require.NoError(t, err)
				assert.Equal(t, "bypassed", got.header.Get(headerInbox))
			}
			if test.repair != nil {
				test.repair(t, path)
				s.eventually("the inbox to be up again", func() bool { return s.inboxes()[0].Up })
				got, err := l.send(client, s, l.event(100))
				require.NoError(t, err)
				assert.Equal(t, "stored", got.header.Get(headerInbox))
			}
			s.kill()
			away.Store(false)
			l.crashed()
			l.forgetAnswers()
			s.clearSpool()
			if !test.starts {
				return
			}
			s.launch()
			s.awaitServing()
			l.settled(s)
		})
	}
}
