package main

import (
	"database/sql"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite" // the driver sqlite
)

// post sends a Caddyfile to the admin endpoint, and returns the error in its answer, or
// nothing.
func (s *server) post(path, caddyfile string) (problem string) {
	s.t.Helper()
	s.write(caddyfile)
	config, err := os.Open(s.file)
	require.NoError(s.t, err)
	defer config.Close()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Post("http://"+s.admin+path, "text/caddyfile", config)
	require.NoError(s.t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(s.t, err)
	if response.StatusCode == http.StatusOK {
		return ""
	}
	return strings.NewReplacer(`\"`, `"`, `\u003c`, "<", `\u003e`, ">").Replace(string(body))
}

func TestWrongInboxOptionIsAnErrorWithItsLine(t *testing.T) {
	t.Parallel()
	s := start(t, site("respond 404"))
	for _, test := range []struct {
		options string
		line    int // of the options
		want    string
	}{
		{"inbox Upper", 0, `inbox: the name "Upper" must be 1 to 64 of a to z, 0 to 9, _ and -`},
		{"inbox one two", 0, "wrong argument count or unexpected line ending after 'two'"},
		{"inbox one\ninbox two", 1, "inbox is set twice"},
		{"inbox {\ndatabase\n}", 1, "wrong argument count or unexpected line ending after 'database'"},
		{"inbox {\ndatabase \"\"\n}", 1, "inbox database: it is empty: write the path of a file, or postgres://user:password@host/database"},
		{"inbox {\nconcurrency 0\n}", 1, "inbox concurrency: must be greater than zero"},
		{"inbox {\nconcurrency -1\n}", 1, "inbox concurrency: the count must be from 1 to 1000"},
		{"inbox {\nconcurrency 1001\n}", 1, "inbox concurrency: the count must be from 1 to 1000"},
		{"inbox {\nconcurrency many\n}", 1, `inbox concurrency: "many" is not a number`},
		{"inbox {\ntimeout 0\n}", 1, "inbox timeout: must be greater than zero"},
		{"inbox {\ntimeout soon\n}", 1, `inbox timeout: time: invalid duration "soon"`},
		{"inbox {\nretry\n}", 1, "wrong argument count or unexpected line ending after 'retry'"},
		{"inbox {\nretry 5s 0s\n}", 1, "inbox retry: must be greater than zero"},
		{"inbox {\nretry 5s later\n}", 1, `inbox retry: time: invalid duration "later"`},
		{"inbox {\ngive_up -1h\n}", 1, "inbox give_up: must be greater than zero"},
		{"inbox {\nretention\n}", 1, "wrong argument count or unexpected line ending after 'retention'"},
		{"inbox {\nretention -1h\n}", 1, "inbox retention: must not be less than zero"},
		{"inbox {\nretention 1h 0\n}", 1, "inbox retention: must be greater than zero"},
		{"inbox {\nretention 1h 1h 1h\n}", 1, "wrong argument count or unexpected line ending after '1h'"},
		{"inbox {\nlimit 0\n}", 1, "inbox limit: must be greater than zero"},
		{"inbox {\nlimit lots\n}", 1, `inbox limit: "lots" is not a size such as 10MiB`},
		{"inbox {\nfrobnicate 1\n}", 1, `unrecognized subdirective "inbox frobnicate"`},
		{"inbox {\ntimeout 1s\ntimeout 2s\n}", 2, "inbox timeout is set twice"},
	} {
		t.Run(test.options, func(t *testing.T) {
			problem := s.post("/adapt", "localhost {\nelevenlabs_webhook {\nsecret x\n"+test.options+"\nreverse_proxy localhost:1\n}\n}\n")
			assert.Contains(t, problem, fmt.Sprintf("%s, at Caddyfile:%d", test.want, 11+test.line))
		})
	}
	t.Run("without reverse_proxy", func(t *testing.T) {
		problem := s.post("/adapt", "localhost {\nelevenlabs_webhook {\nsecret x\ninbox\n}\nreverse_proxy localhost:1\n}\n")
		assert.Regexp(t, `inbox: it needs a reverse_proxy inside elevenlabs_webhook: handlers that follow in the route cannot deliver later, at Caddyfile:1\d`, problem)
	})
}

// damage changes a database file while no process has it open.
func damage(t *testing.T, path string, statement string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	require.NoError(t, err)
	defer db.Close()
	_, err = db.Exec(statement)
	require.NoError(t, err)
}

// A configuration whose database cannot be opened is rejected. The server goes on with the
// one before it, and takes the new one when the remedy is done.
func TestInboxThatCannotBeOpenedRejectsTheConfiguration(t *testing.T) {
	t.Parallel()
	l := newInboxLedger(t)
	backend := l.backend(taken)
	inUse := newInboxFile(t)
	other := start(t, inboxSite(backend, inUse, ""))
	other.awaitInbox()

	// a database with events, which the cases copy
	source := newInboxFile(t)
	s := start(t, inboxSite(backend, source, ""))
	for range 30 {
		_, err := l.send(s.client("HTTP/1.1"), s, l.event(20<<10))
		require.NoError(t, err)
	}
	l.settled(s)
	s.load(site("respond 404"))
	s.eventually("the database to be closed", func() bool {
		_, err := os.Stat(source + "-wal")
		return os.IsNotExist(err)
	})
	good, err := os.ReadFile(source)
	require.NoError(t, err)

	for _, test := range []struct {
		name  string
		spoil func(t *testing.T, path string)
		want  string // $PATH and $FOLDER are those of the database
	}{
		{"garbage", func(t *testing.T, path string) {
			require.NoError(t, os.WriteFile(path, []byte(strings.Repeat("garbage ", 2000)), 0o600))
		}, "$PATH is not a SQLite database: move the file away, or name another: "},
		{"a destroyed page", func(t *testing.T, path string) {
			spoilt := append([]byte(nil), good...)
			copy(spoilt[4*4096:5*4096], strings.Repeat("\xff", 4096))
			require.NoError(t, os.WriteFile(path, spoilt, 0o600))
		}, "the database $PATH: the file is damaged: "},
		{"a file that is cut off", func(t *testing.T, path string) {
			require.NoError(t, os.WriteFile(path, good[:len(good)/2], 0o600))
		}, "the database $PATH: the file is damaged: "},
		{"a folder", func(t *testing.T, path string) {
			require.NoError(t, os.Mkdir(path, 0o700))
		}, "$PATH is a folder: name the file of the database in it"},
		{"a newer schema", func(t *testing.T, path string) {
			require.NoError(t, os.WriteFile(path, good, 0o600))
			damage(t, path, "PRAGMA user_version = 99")
		}, "opening the database $PATH: its tables have version 99, and this program knows only up to 1: run the newer program, or name another database"},
		{"no folder", func(t *testing.T, path string) {
			require.NoError(t, os.Remove(filepath.Dir(path)))
		}, "the folder $FOLDER does not exist: create it, and let only Caddy's user enter it"},
		{"a file for a folder", func(t *testing.T, path string) {
			require.NoError(t, os.Remove(filepath.Dir(path)))
			require.NoError(t, os.WriteFile(filepath.Dir(path), nil, 0o600))
		}, "$FOLDER is not a folder: the database needs a folder that Caddy's user can write"},
	} {
		t.Run(test.name, func(t *testing.T) {
			folder := filepath.Join(t.TempDir(), "folder")
			path := filepath.Join(folder, "inbox.db")
			require.NoError(t, os.Mkdir(folder, 0o700))
			test.spoil(t, path)
			want := strings.NewReplacer("$PATH", path, "$FOLDER", folder).Replace(test.want)
			config := inboxSite(backend, path, "")
			assert.Contains(t, s.post("/load", config), "inbox default: "+want)
			got := s.sendAfterReload(s.client("HTTP/1.1"), func() *http.Request { return s.event([]byte(transcript)) })
			assert.Equal(t, 404, got.status, "the configuration before it")

			require.NoError(t, os.RemoveAll(folder))
			require.NoError(t, os.Mkdir(folder, 0o700))
			require.Empty(t, s.post("/load", config))
			body := l.event(100)
			s.eventually("an answer after the reload", func() bool {
				_, err := l.send(s.client("HTTP/1.1"), s, body)
				return err == nil
			})
			l.settled(s)
			assert.Len(t, l.of(body), 1)
			require.Empty(t, s.post("/load", site("respond 404")))
		})
	}

	t.Run("in use", func(t *testing.T) {
		second := newServer(t)
		second.write(inboxSite(backend, inUse, ""))
		second.launch()
		t.Cleanup(second.stop)
		second.eventually("the second process to end", func() bool { return !second.running() })
		assert.Contains(t, second.log.String(), "inbox default: another process has the database "+inUse+" open: stop the other Caddy, or give this one another database")
		assert.True(t, other.running())
		assert.Contains(t, s.post("/load", inboxSite(backend, inUse, "")), "another process has the database")
	})
}

func TestNoMessageHasThePasswordOfTheInbox(t *testing.T) {
	t.Parallel()
	s := start(t, site("respond 404"))
	for url, want := range map[string]string{
		"postgres://u:s3cr3tpass@host:port/d":                              "inbox: database: the URL of the database postgres://… cannot be read: write postgres://user:password@host:5432/database, with special characters as %20 and the like",
		"postgres://u:s3cr3tpass@127.0.0.1:1/d?sslmode=nope":               "inbox: database: the URL of the database postgres://127.0.0.1:1/d cannot be read",
		"postgres://u@127.0.0.1:1/d?password=s3cr3tpass&connect_timeout=x": "inbox: database: the URL of the database postgres://127.0.0.1:1/d cannot be read",
		"{env.NO_SUCH_VARIABLE}":                                           "NO_SUCH_VARIABLE",
	} {
		problem := s.post("/load", inboxSite("127.0.0.1:1", "\""+url+"\"", ""))
		assert.Contains(t, problem, want)
		assert.NotContains(t, problem, "s3cr3tpass")
	}
	require.Empty(t, s.post("/load", inboxSite("127.0.0.1:1", "postgres://u:s3cr3tpass@127.0.0.1:1/d", "")), "a server that does not answer may come later")
	s.awaitLog("the password of the inbox's database is written out in the configuration", "the inbox cannot be reached: events are forwarded at once until it can")
	assert.Equal(t, "postgres://127.0.0.1:1/d", s.inboxes()[0].Database)
	assert.NotContains(t, s.get("/elevenlabs/inbox")+s.get("/elevenlabs/status")+s.log.String(), "s3cr3tpass")
	require.Empty(t, s.post("/load", site("respond 404")))
}

func TestValidateOpensNoInbox(t *testing.T) {
	t.Parallel()
	l := newInboxLedger(t)
	backend, path := l.backend(taken), newInboxFile(t)
	s := start(t, inboxSite(backend, path, ""))
	files := func(folder string) (names []string) {
		entries, err := os.ReadDir(folder)
		require.NoError(t, err)
		for _, entry := range entries {
			names = append(names, entry.Name())
		}
		return names
	}
	s.awaitInbox()
	before, data, empty := files(filepath.Dir(path)), t.TempDir(), t.TempDir()
	for name, config := range map[string]string{
		"beside the server that has it open": inboxSite(backend, path, ""),
		"a database that is not there":       inboxSite(backend, filepath.Join(empty, "new.db"), ""),
		"the default":                        webhook(backend, "inbox"),
	} {
		other := newServer(t)
		other.write(config)
		command := exec.Command(binary, "validate", "--config", other.file)
		command.Env = append(os.Environ(), "WEBHOOK_SECRET="+secret, "XDG_DATA_HOME="+data, "XDG_CONFIG_HOME="+data)
		output, err := command.CombinedOutput()
		require.NoError(t, err, "%s: %s", name, output)
	}
	assert.Equal(t, before, files(filepath.Dir(path)))
	assert.Empty(t, files(empty))
	assert.NoDirExists(t, filepath.Join(data, "caddy/elevenlabs"))
	_, err := l.send(s.client("HTTP/1.1"), s, l.event(100))
	require.NoError(t, err)
	l.settled(s)
}

func TestInboxFilesAreOfCaddysUserOnly(t *testing.T) {
	t.Parallel()
	l := newInboxLedger(t)
	path := newInboxFile(t)
	s := start(t, inboxSite(l.backend(taken), path, ""))
	_, err := l.send(s.client("HTTP/1.1"), s, l.event(100))
	require.NoError(t, err)
	l.settled(s)
	found, err := filepath.Glob(path + "*")
	require.NoError(t, err)
	assert.GreaterOrEqual(t, len(found), 4, found)
	for _, file := range found {
		info, err := os.Stat(file)
		require.NoError(t, err)
		assert.Equal(t, os.FileMode(0o600), info.Mode().Perm(), file)
	}
}
