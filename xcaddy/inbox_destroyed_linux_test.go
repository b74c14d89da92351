package main

import (
	"crypto/rand"
	"net/http"
	"os"
	"path/filepath"
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

func sizeOf(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	require.NoError(t, err)
	return info.Size()
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
	for _, test := range []struct {
		name    string
		destroy func(t *testing.T, path string)
		problem string // "" if events are stored as before
		heals   bool   // or they are, if what was destroyed is elsewhere too
		starts  bool   // Caddy starts again with what is there
		repair  func(t *testing.T, path string)
	}{
		{name: "every page is overwritten", problem: damaged, heals: true, destroy: func(t *testing.T, path string) {
			overwrite(t, path, 0, sizeOf(t, path), nil)
		}},
		{name: "pages in the middle are overwritten", problem: damaged, heals: true, destroy: func(t *testing.T, path string) {
			overwrite(t, path, 2*4096, 30*4096, nil)
		}},
		{name: "the first page is overwritten", problem: notSQLite, heals: true, destroy: func(t *testing.T, path string) {
			overwrite(t, path, 0, 4096, nil)
		}},
		{name: "an older copy is written over it", problem: damaged, heals: true, destroy: func(t *testing.T, path string) {
			content, err := os.ReadFile(path + ".copy")
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(path, content, 0o600)) // as cp does
		}},
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
			for i := range 150 { // so that some are in the file, and some in its log
				_, err := l.send(client, s, l.event(20<<10))
				require.NoError(t, err)
				if i == 20 {
					l.settled(s)
					content, err := os.ReadFile(path)
					require.NoError(t, err)
					require.NoError(t, os.WriteFile(path+".copy", content, 0o600))
				}
			}
			l.settled(s)
			require.Greater(t, sizeOf(t, path), int64(50*4096))
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
			healed := test.heals && how["bypassed"] == 0
			if test.problem == "" || healed {
				assert.Equal(t, map[string]int{"stored": 20}, how)
				assert.True(t, s.inboxes()[0].Up)
			} else {
				s.eventually("the inbox to be down", func() bool { return !s.inboxes()[0].Up })
				assert.Contains(t, s.inboxes()[0].Problem, test.problem)
				assert.Zero(t, s.metricSum("caddy_elevenlabs_inbox_up"))
				s.awaitLog(test.problem)
				assert.Equal(t, l.acks()-before, how["stored"], "a bypassed one was not taken")
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
			if !test.starts && !healed {
				assert.Zero(t, how["stored"], "answered 200, and nothing can deliver it")
				return
			}
			s.launch()
			s.awaitServing()
			l.settled(s)
		})
	}
}
