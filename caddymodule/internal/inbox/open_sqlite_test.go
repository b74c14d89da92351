package inbox

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// openVariable lets the test binary open a database instead of running tests.
const openVariable = "INBOX_TEST_OPEN"

// openInProcess opens the database that its input names, says how that went, and holds it
// until its input ends.
func openInProcess() {
	var location string
	_, _ = fmt.Scanln(&location)
	s, err := Open(context.Background(), location)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("open")
	_, _ = io.Copy(io.Discard, os.Stdin)
	_ = s.Close()
}

// process opens a database in another process, as another user if there is one. It returns
// what the process said, and how to end it.
func process(t *testing.T, location string, user *syscall.Credential) (said string, end func()) {
	t.Helper()
	program := os.Args[0]
	if user != nil { // who may not enter the folder of the test binary
		folder, err := os.MkdirTemp("", "inbox")
		require.NoError(t, err)
		t.Cleanup(func() { _ = os.RemoveAll(folder) })
		require.NoError(t, os.Chmod(folder, 0o755))
		binary, err := os.ReadFile(program)
		require.NoError(t, err)
		program = filepath.Join(folder, "inbox.test")
		require.NoError(t, os.WriteFile(program, binary, 0o755))
	}
	child := exec.Command(program)
	child.Dir = "/"
	child.Env = append(os.Environ(), openVariable+"=1")
	child.SysProcAttr = &syscall.SysProcAttr{Credential: user}
	child.Stderr = os.Stderr
	input, err := child.StdinPipe()
	require.NoError(t, err)
	output, err := child.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, child.Start())
	_, err = fmt.Fprintln(input, location)
	require.NoError(t, err)
	line := make([]byte, 1000)
	n, err := output.Read(line)
	require.NoError(t, err)
	return string(bytes.TrimSpace(line[:n])), func() {
		_ = input.Close()
		require.NoError(t, child.Wait())
	}
}

func TestAnotherProcessCannotOpenTheFile(t *testing.T) {
	t.Parallel()
	path := newFile(t)
	taken := "another process has the database " + path + " open: stop the other Caddy, or give this one another database"

	said, end := process(t, path, nil)
	assert.Equal(t, "open", said)
	_, err := Open(t.Context(), path)
	assert.EqualError(t, err, taken)
	end()

	s := open(t, path)
	_, err = Open(t.Context(), path)
	assert.EqualError(t, err, taken, "not even this process once more")
	said, end = process(t, path, nil)
	assert.Equal(t, taken, said)
	end()
	require.NoError(t, s.Close())
	said, end = process(t, path, nil)
	assert.Equal(t, "open", said)
	end()
}

func TestAFileThatCannotBeOpenedSaysWhy(t *testing.T) {
	t.Parallel()
	write := func(t *testing.T, path string, content []byte) {
		require.NoError(t, os.WriteFile(path, content, 0o600))
	}
	tests := []struct {
		name string
		path string
		set  func(t *testing.T, path string)
		want string
	}{
		{"garbage", "inbox.db", func(t *testing.T, path string) {
			write(t, path, bytes.Repeat([]byte("garbage "), 1000))
		}, "PATH is not a SQLite database: move the file away, or name another: "},
		{"a page is destroyed", "inbox.db", func(t *testing.T, path string) {
			s, err := Open(t.Context(), path)
			require.NoError(t, err)
			storeSome(t, s, 200)
			require.NoError(t, s.Close())
			data, err := os.ReadFile(path)
			require.NoError(t, err)
			middle := len(data) / 2 / 4096 * 4096
			copy(data[middle:], bytes.Repeat([]byte{0xee}, 4096))
			write(t, path, data)
		}, "the database PATH: the file is damaged: "},
		{"the file is a folder", "inbox.db", func(t *testing.T, path string) {
			require.NoError(t, os.Mkdir(path, 0o700))
		}, "PATH is a folder: name the file of the database in it"},
		{"the folder is missing", "missing/inbox.db", func(*testing.T, string) {}, "the folder FOLDER does not exist: create it"},
		{"the folder is a file", "file/inbox.db", func(t *testing.T, path string) {
			write(t, filepath.Dir(path), nil)
		}, "FOLDER is not a folder: "},
		{"a newer schema", "inbox.db", func(t *testing.T, path string) {
			s, err := Open(t.Context(), path)
			require.NoError(t, err)
			alter(t, s, fmt.Sprintf("PRAGMA user_version = %d", Version+1))
			require.NoError(t, s.Close())
		}, "opening the database PATH: its tables have version 2, and this program knows only up to 1: run the newer program, or name another database"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), test.path)
			test.set(t, path)
			want := strings.NewReplacer("PATH", path, "FOLDER", filepath.Dir(path)).Replace(test.want)
			for range 2 { // nothing of the first try is in the way of the second
				_, err := Open(t.Context(), path)
				assert.ErrorContains(t, err, want)
				assert.NotErrorIs(t, err, ErrUnreachable)
			}
		})
	}
}

func TestAFileThatTheUserCannotWriteSaysWhatToDo(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("not root: no other user to be")
	}
	nobody := &syscall.Credential{Uid: 65534, Gid: 65534}
	folder := func(t *testing.T) string {
		path, err := os.MkdirTemp("", "inbox")
		require.NoError(t, err)
		t.Cleanup(func() { _ = os.RemoveAll(path) })
		return path
	}
	tests := []struct {
		name   string
		folder os.FileMode
		file   os.FileMode // 0: there is none
		want   string
	}{
		{"the folder cannot be written", 0o755, 0, "permission denied: let Caddy's user write the folder and the file"},
		{"the folder cannot be entered", 0o700, 0, "permission denied"},
		{"the file cannot be written", 0o777, 0o644, "let Caddy's user write the folder and the file"},
		{"the file cannot be read", 0o777, 0o600, "let Caddy's user write the folder and the file"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(folder(t), "inbox.db")
			if test.file != 0 {
				require.NoError(t, os.WriteFile(path, nil, test.file))
			}
			require.NoError(t, os.Chmod(filepath.Dir(path), test.folder))
			said, end := process(t, path, nobody)
			end()
			assert.Contains(t, said, test.want)
			assert.Contains(t, said, filepath.Dir(path))
		})
	}
}

func TestOnlyTheUserCanReadTheFiles(t *testing.T) {
	t.Parallel()
	path := newFile(t)
	s := open(t, path)
	store(t, s, event("a"), content(1))
	files, err := filepath.Glob(path + "*")
	require.NoError(t, err)
	assert.Len(t, files, 5, "database, log, its index, lock and reserve")
	for _, file := range files {
		info, err := os.Stat(file)
		require.NoError(t, err)
		assert.Equal(t, os.FileMode(0o600), info.Mode(), file)
	}
}

func TestAPathMayHaveAnyCharacter(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "a b?c#d%41&_pragma=é")
	require.NoError(t, os.Mkdir(folder, 0o700))
	s := open(t, filepath.Join(folder, "inbox.db"))
	store(t, s, event("a"), content(1))
	entries, err := os.ReadDir(folder)
	require.NoError(t, err)
	assert.Len(t, entries, 5)
}

func TestOpeningEndsWhatAProcessBeforeHadBegun(t *testing.T) {
	t.Parallel()
	path := newFile(t)
	before, err := Open(t.Context(), path)
	require.NoError(t, err)
	seq := store(t, before, event("a"), content(1))
	claimOne(t, before)
	store(t, before, event("b"), content(chunkSize+1))
	alter(t, before, `UPDATE elevenlabs_inbox_event SET state = 'receiving', stored = 0 WHERE event_id = 'b'`)
	require.NoError(t, before.Close())

	s := open(t, path)
	assert.EqualValues(t, 1, s.usedBy(testInbox).get())
	c := claimOne(t, s)
	assert.Equal(t, seq, c.Seq)
	assert.Equal(t, 2, c.Attempt)
	assert.Equal(t, 1, c.tries)
	sweep(t, s, keep)
	assert.EqualValues(t, 1, rows(t, s, "event"))
	assert.EqualValues(t, 1, rows(t, s, "chunk"))
}

func TestTheSettingsOfSQLite(t *testing.T) {
	t.Parallel()
	s := open(t, databases[0].location(t))
	settings := map[string]string{
		"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "secure_delete": "1", "auto_vacuum": "2",
		"journal_size_limit": "67108864", "busy_timeout": "5000", "trusted_schema": "0", "wal_autocheckpoint": "0",
	}
	for name, want := range settings {
		var got string
		require.NoError(t, s.write(t.Context(), 0, func(ctx context.Context, tx statements) error {
			return tx.QueryRowContext(ctx, "PRAGMA "+name).Scan(&got)
		}))
		assert.Equal(t, want, got, name)
	}
	_, err := s.read().ExecContext(t.Context(), `DELETE FROM elevenlabs_inbox_event`)
	assert.ErrorContains(t, err, "readonly", "the other connections only read")
}
