//go:build unix

// Package postgrestest runs real PostgreSQL servers for tests.
package postgrestest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver pgx
	"github.com/stretchr/testify/require"
)

// The administrator of each server.
const (
	User     = "admin"
	Password = "p4ss:w/rd"
)

// waitTime bounds the start and the end of a server.
const waitTime = 30 * time.Second

// Server is a PostgreSQL server on a port of the loopback interface.
type Server struct {
	folder string
	bin    string
	port   int
	// account is the user that the server runs as, or nil for this one. PostgreSQL
	// does not run as root.
	account *syscall.Credential
	// settings are such as "fsync=off".
	settings []string
	// leash is the input of the shell that stops the server if this process ends.
	leash  *os.File
	ended  chan struct{}
	frozen []int
}

// Start starts a server that ends with the test. It skips the test without PostgreSQL,
// or fails it if TEST_NO_SKIP is set.
func Start(t testing.TB, settings ...string) *Server {
	t.Helper()
	s, err := start(settings)
	if errors.Is(err, errMissing) && os.Getenv("TEST_NO_SKIP") == "" {
		t.Skip(err)
	}
	require.NoError(t, err)
	t.Cleanup(s.close)
	return s
}

var shared struct {
	once   sync.Once
	server *Server
	err    error
}

// Shared returns the server that the tests of this binary share. TestMain must call
// StopShared. It skips the test as Start does.
func Shared(t testing.TB) *Server {
	t.Helper()
	shared.once.Do(func() { shared.server, shared.err = start([]string{"fsync=off"}) })
	if errors.Is(shared.err, errMissing) && os.Getenv("TEST_NO_SKIP") == "" {
		t.Skip(shared.err)
	}
	require.NoError(t, shared.err)
	return shared.server
}

// StopShared stops the shared server, if one was started.
func StopShared() {
	if shared.server != nil {
		shared.server.close()
	}
}

var errMissing = errors.New("PostgreSQL is not installed: no initdb")

// programs returns the folder of the newest PostgreSQL.
func programs() (string, error) {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb") // Debian
	if path, err := exec.LookPath("initdb"); err == nil && len(found) == 0 {
		found = []string{path}
	}
	if len(found) == 0 {
		return "", errMissing
	}
	newest := slices.MaxFunc(found, func(a, b string) int {
		return version(a) - version(b)
	})
	return filepath.Dir(newest), nil
}

func version(path string) int {
	number, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path))))
	return number
}

func start(settings []string) (s *Server, err error) {
	s = &Server{settings: settings}
	if s.bin, err = programs(); err != nil {
		return nil, err
	}
	if s.folder, err = os.MkdirTemp("", "postgres"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	password := filepath.Join(s.folder, "password")
	if err := os.WriteFile(password, []byte(Password), 0o600); err != nil {
		return nil, err
	}
	if os.Getuid() == 0 {
		if err := s.leaveRoot(s.folder, password); err != nil {
			return nil, err
		}
	}
	initdb := s.command("initdb", "--pgdata", s.data(), "--username", User, "--pwfile", password,
		"--auth-local", "trust", "--auth-host", "scram-sha-256", "--encoding", "UTF8", "--no-locale", "--no-sync")
	if output, err := initdb.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w: %s", err, output)
	}
	if s.port, err = freePort(); err != nil {
		return nil, err
	}
	return s, s.run()
}

// leaveRoot lets the server run as the user postgres, who then owns the paths.
func (s *Server) leaveRoot(paths ...string) error {
	account, err := user.Lookup("postgres")
	if err != nil {
		return err
	}
	uid, _ := strconv.Atoi(account.Uid)
	gid, _ := strconv.Atoi(account.Gid)
	s.account = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	for _, path := range paths {
		if err := os.Chown(path, uid, gid); err != nil {
			return err
		}
	}
	return nil
}

func freePort() (int, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return listener.Addr().(*net.TCPAddr).Port, listener.Close()
}

func (s *Server) data() string { return filepath.Join(s.folder, "data") }

func (s *Server) command(name string, arguments ...string) *exec.Cmd {
	command := exec.Command(filepath.Join(s.bin, name), arguments...)
	command.Dir = s.folder
	command.SysProcAttr = &syscall.SysProcAttr{Credential: s.account}
	return command
}

// onLeash runs its arguments until its input ends, which it does with this process too.
const onLeash = `"$@" & cat; kill -QUIT $!; wait`

// run starts the server, and waits until it answers.
func (s *Server) run() error {
	log, err := os.OpenFile(filepath.Join(s.folder, "log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	input, leash, err := os.Pipe()
	if err != nil {
		return err
	}
	defer input.Close()
	arguments := []string{
		"-c", onLeash, "sh", filepath.Join(s.bin, "postgres"), "-D", s.data(), "-p", strconv.Itoa(s.port),
		"-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=" + s.folder, "-c", "max_connections=300",
	}
	for _, setting := range s.settings {
		arguments = append(arguments, "-c", setting)
	}
	command := s.command("", arguments...)
	command.Path, command.Args[0] = "/bin/sh", "sh"
	command.Stdin, command.Stdout, command.Stderr = input, log, log
	if err := command.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	s.leash, s.ended = leash, ended
	go func() {
		_ = command.Wait()
		close(ended)
	}()
	return s.waitUntilUp()
}

func (s *Server) waitUntilUp() error {
	ctx, cancel := context.WithTimeout(context.Background(), waitTime)
	defer cancel()
	db, err := sql.Open("pgx", s.URL("postgres"))
	if err != nil {
		return err
	}
	defer db.Close()
	for {
		if err = db.PingContext(ctx); err == nil {
			return nil
		}
		if ctx.Err() == nil {
			time.Sleep(20 * time.Millisecond)
			continue
		}
		log, _ := os.ReadFile(filepath.Join(s.folder, "log"))
		return fmt.Errorf("the server does not answer: %w: %s", err, log)
	}
}

// URL returns the URL of a database, for the administrator.
func (s *Server) URL(database string) string {
	return (&url.URL{
		Scheme: "postgres", User: url.UserPassword(User, Password),
		Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)), Path: database,
	}).String()
}

// SocketURL returns the URL of a database by the server's Unix socket.
func (s *Server) SocketURL(database string) string {
	return fmt.Sprintf("postgres:///%s?user=%s&host=%s&port=%d", database, User, url.QueryEscape(s.folder), s.port)
}

var databases struct {
	sync.Mutex
	count int
}

// Database makes a database, and returns its URL. The options are what follows CREATE
// DATABASE and its name.
func (s *Server) Database(t testing.TB, options ...string) string {
	t.Helper()
	databases.Lock()
	databases.count++
	name := fmt.Sprintf("test%d", databases.count)
	databases.Unlock()
	s.Exec(t, "postgres", "CREATE DATABASE "+name+" "+strings.Join(options, " "))
	return s.URL(name)
}

// Exec runs statements in a database, as the administrator.
func (s *Server) Exec(t testing.TB, database string, statements ...string) {
	t.Helper()
	db, err := sql.Open("pgx", s.URL(database))
	require.NoError(t, err)
	defer db.Close()
	for _, statement := range statements {
		_, err := db.Exec(statement)
		require.NoError(t, err, statement)
	}
}

// Stop ends the server at once, as a crash of the machine would.
func (s *Server) Stop(t testing.TB) {
	t.Helper()
	s.Thaw(t)
	require.NoError(t, s.stop())
}

func (s *Server) stop() error {
	if s.leash == nil {
		return nil
	}
	_ = s.leash.Close()
	s.leash = nil
	select {
	case <-s.ended:
		return nil
	case <-time.After(waitTime):
		return errors.New("the server does not end")
	}
}

// Restart starts the server again, on the same port.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	require.NoError(t, s.run())
}

// Freeze stops all processes of the server, so that it does not answer and no connection
// ends.
func (s *Server) Freeze(t testing.TB) {
	t.Helper()
	main, err := s.pid()
	require.NoError(t, err)
	s.frozen = []int{main}
	require.NoError(t, syscall.Kill(main, syscall.SIGSTOP)) // it begins no more processes
	children, err := exec.Command("pgrep", "-P", strconv.Itoa(main)).Output()
	require.NoError(t, err)
	for _, child := range strings.Fields(string(children)) {
		pid, err := strconv.Atoi(child)
		require.NoError(t, err)
		if syscall.Kill(pid, syscall.SIGSTOP) == nil {
			s.frozen = append(s.frozen, pid)
		}
	}
}

// Thaw lets the server go on after Freeze.
func (s *Server) Thaw(testing.TB) { s.thaw() }

func (s *Server) thaw() {
	for _, pid := range s.frozen {
		_ = syscall.Kill(pid, syscall.SIGCONT)
	}
	s.frozen = nil
}

func (s *Server) pid() (int, error) {
	text, err := os.ReadFile(filepath.Join(s.data(), "postmaster.pid"))
	if err != nil {
		return 0, err
	}
	first, _, _ := strings.Cut(string(text), "\n")
	return strconv.Atoi(first)
}

func (s *Server) close() {
	s.thaw()
	_ = s.stop()
	_ = os.RemoveAll(s.folder)
}
