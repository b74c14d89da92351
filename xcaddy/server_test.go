package main

import (
	"bytes"
	"crypto/tls"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	secret     = "wsec_end_to_end"
	transcript = `{"type":"post_call_transcription","event_timestamp":1739537297,"data":{"agent_id":"agent_1","conversation_id":"conv_1"}}`
	patience   = 20 * time.Second
)

// binary is the server under test. TestMain builds it, except if the variable
// TEST_BINARY names one, such as the one that build.sh made.
var binary = os.Getenv("TEST_BINARY")

// raceDetector reports whether the tests, and so the server, run with the race detector.
var raceDetector bool

// dataDir is the directory of Caddy's certificate authority, which all servers share.
var dataDir string

func TestMain(m *testing.M) {
	_ = flag.Set("test.parallel", "6") // they mostly wait; the command line can say otherwise
	os.Unsetenv("ELEVENLABS_API_KEY")  // the tests must not use the developer's key
	// By default each process with the race detector waits a second before it ends.
	_ = os.Setenv("GORACE", "atexit_sleep_ms=50 "+os.Getenv("GORACE"))
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "xcaddy-test-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		defer closeBrowser()
		dataDir = filepath.Join(dir, "data")
		if binary == "" {
			binary = filepath.Join(dir, "caddy")
			build := exec.Command("go", "build", "-race="+strconv.FormatBool(raceDetector), "-o", binary, ".")
			build.Stderr = os.Stderr
			if err := build.Run(); err != nil {
				fmt.Fprintln(os.Stderr, "building the server:", err)
				return 1
			}
		}
		return m.Run()
	}())
}

// server is a running Caddy.
type server struct {
	t       testing.TB
	command *exec.Cmd
	done    chan struct{} // closed when the process has ended
	address string        // of the site
	admin   string        // the address of the admin endpoint
	spool   string        // TMPDIR
	log     *lockedBuffer
	file    string   // the Caddyfile
	env     []string // more variables
	idle    int      // the number of goroutines after the start
	most    int      // MiB of memory that the server may take
}

type lockedBuffer struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.String()
}

// lastPort is below 32768, where the ports begin that Linux gives to connections and to
// ":0" (ip(7)). So nothing takes a port before a server listens on it.
var (
	lastPort = 10_000 + os.Getpid()%20_000
	portLock sync.Mutex // guards lastPort
)

// freePort returns a port that it never returned before. A server whose site and admin
// endpoint have the same port starts, but the site does not answer.
func freePort(t testing.TB) int {
	t.Helper()
	portLock.Lock()
	defer portLock.Unlock()
	for {
		lastPort++
		listener, err := net.Listen("tcp", fmt.Sprint(":", lastPort))
		if err == nil {
			require.NoError(t, listener.Close())
			return lastPort
		}
		require.ErrorIs(t, err, syscall.EADDRINUSE)
	}
}

// site returns a Caddyfile with a site on $ADDRESS over TLS.
func site(body string) string {
	return "https://$ADDRESS {\n\ttls internal\n" + body + "\n}\n"
}

// webhook returns a Caddyfile with the handler in front of a backend.
func webhook(backend, options string) string {
	return site(fmt.Sprintf(`
		handle /webhooks/elevenlabs {
			elevenlabs_webhook {
				secret {env.WEBHOOK_SECRET} end-to-end
				%s
				reverse_proxy %s
			}
		}`, options, backend))
}

// start runs a server. In the Caddyfile, $ADDRESS and $PORT are those of the site. What the
// text begins with in braces is added to the global options.
func start(t testing.TB, caddyfile string, env ...string) *server {
	t.Helper()
	s := newServer(t)
	s.env = env
	s.write(caddyfile)
	s.serve()
	return s
}

// newServer returns a server that has its ports, but no Caddyfile yet.
func newServer(t testing.TB) *server {
	t.Helper()
	dir := t.TempDir()
	s := &server{
		t: t, done: make(chan struct{}), log: new(lockedBuffer), most: 512,
		address: "localhost:" + strconv.Itoa(freePort(t)),
		admin:   "127.0.0.1:" + strconv.Itoa(freePort(t)),
		spool:   filepath.Join(dir, "spool"),
		file:    filepath.Join(dir, "Caddyfile"),
	}
	require.NoError(t, os.Mkdir(s.spool, 0o700))
	return s
}

// authority is held while the first server makes the certificate authority. Servers that
// start beside it would make others.
var authority sync.Mutex

// serve runs the server until the end of the test.
func (s *server) serve() {
	t := s.t
	t.Helper()
	authority.Lock()
	unlock := sync.OnceFunc(authority.Unlock)
	defer unlock()
	if _, err := os.Stat(filepath.Join(dataDir, "caddy/pki/authorities/local/root.crt")); err == nil {
		unlock()
	}
	s.launch()
	t.Cleanup(s.stop)
	t.Cleanup(func() {
		if s.running() && !raceDetector {
			assert.Less(t, s.peakMemory(), s.most, "MiB of memory")
		}
	})
	t.Cleanup(func() { // a cleanup of its own, so that the server stops even if this fails
		if !t.Failed() && s.running() {
			s.requireNothingLeft()
		}
	})
	s.awaitServing()
}

// launch starts the process, also again after its end.
func (s *server) launch() {
	s.t.Helper()
	command, done := exec.Command(binary, "run", "--config", s.file), make(chan struct{})
	command.Env = append(os.Environ(), "TMPDIR="+s.spool, "WEBHOOK_SECRET="+secret, "CADDY_ADMIN="+s.admin,
		"XDG_DATA_HOME="+dataDir, "XDG_CONFIG_HOME="+filepath.Dir(s.file))
	command.Env = append(command.Env, s.env...)
	command.Stdout, command.Stderr = s.log, s.log
	require.NoError(s.t, command.Start())
	s.command, s.done = command, done
	go func() {
		defer close(done)
		_ = command.Wait()
	}()
}

func (s *server) awaitServing() {
	s.t.Helper()
	s.eventually("the server to serve", func() bool {
		require.True(s.t, s.running(), "the server ended: %s", s.log)
		conn, err := tls.Dial("tcp", s.address, &tls.Config{InsecureSkipVerify: true})
		if err == nil {
			conn.Close()
			return true
		}
		return strings.Contains(err.Error(), "first record does not look like a TLS handshake") // a site without
	})
	s.idle = s.goroutines("")
}

func (s *server) write(caddyfile string) {
	s.t.Helper()
	globals := ""
	if rest, found := strings.CutPrefix(caddyfile, "{\n"); found {
		globals, caddyfile, _ = strings.Cut(rest, "\n}\n")
	}
	caddyfile = "{\n\tadmin " + s.admin + "\n\tpersist_config off\n\tskip_install_trust\n\tauto_https disable_redirects\n" +
		globals + "\n}\n" + strings.NewReplacer("$ADDRESS", s.address, "$PORT", strings.TrimPrefix(s.address, "localhost:")).Replace(caddyfile)
	require.NoError(s.t, os.WriteFile(s.file, []byte(caddyfile), 0o600))
}

func (s *server) reload(caddyfile string) {
	s.t.Helper()
	s.write(caddyfile)
	reload := exec.Command(binary, "reload", "--force", "--config", s.file, "--address", s.admin)
	reload.Env = append(os.Environ(), "XDG_DATA_HOME="+dataDir, "XDG_CONFIG_HOME="+s.spool+"/..")
	output, err := reload.CombinedOutput()
	require.NoError(s.t, err, "%s", output)
}

func (s *server) running() bool {
	select {
	case <-s.done:
		return false
	default:
		return true
	}
}

// kill ends the server at once, like a crash.
func (s *server) kill() {
	s.t.Helper()
	require.NoError(s.t, s.command.Process.Kill())
	<-s.done
}

// caddysRace occurs in the report of a data race in Caddy. With `debug` on, Caddy copies
// its TLS app for an event (caddyevents/app.go, Emit) while the app starts.
const caddysRace = "caddytls.(*TLS).CaddyModule()"

// caddysBodyRace is in the report of another one: an HTTP/2 transport closes the body of
// reverse_proxy while it still reads it.
const caddysBodyRace = "reverseproxy.(*bodyNopCloserIfNotRead).Close()"

func (s *server) stop() {
	_ = s.command.Process.Signal(os.Interrupt)
	select {
	case <-s.done:
	case <-time.After(patience):
		_ = s.command.Process.Kill()
		<-s.done
		s.t.Error("the server did not stop")
	}
	for report := range strings.SplitSeq(s.log.String(), "==================") {
		if !strings.Contains(report, caddysRace) && !strings.Contains(report, caddysBodyRace) {
			assert.NotContains(s.t, report, "DATA RACE")
		}
	}
	if s.t.Failed() {
		for line := range strings.Lines(s.log.String()) {
			if strings.Contains(line, `"logger":"http.handlers`) || !strings.HasPrefix(line, "{") {
				s.t.Log(line)
			}
		}
	}
}

func (s *server) eventually(what string, condition func() bool) {
	s.t.Helper()
	require.Eventually(s.t, condition, patience, 50*time.Millisecond, "waiting for %s", what)
}

// awaitLog waits for texts in the log. The log comes through a pipe, so the answer to a
// request may come before the request's log lines.
func (s *server) awaitLog(texts ...string) {
	s.t.Helper()
	for _, text := range texts {
		s.eventually("the log to have "+text, func() bool { return strings.Contains(s.log.String(), text) })
	}
}

func (s *server) get(path string) string {
	s.t.Helper()
	response, err := http.Get("http://" + s.admin + path)
	require.NoError(s.t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(s.t, err)
	return string(body)
}

var heldLine = regexp.MustCompile(`(?m)^caddy_elevenlabs_webhook_spooled_bytes\{.*\} (\S+)$`)

// held returns the number of bytes that bodies hold in memory and on disk, according to
// the server.
func (s *server) held() (bytes int64) {
	s.t.Helper()
	lines := heldLine.FindAllStringSubmatch(s.get("/metrics"), -1)
	require.Len(s.t, lines, 2)
	for _, line := range lines {
		value, err := strconv.ParseFloat(line[1], 64)
		require.NoError(s.t, err)
		bytes += int64(value)
	}
	return bytes
}

var ofInbox = regexp.MustCompile(`caddymodule/internal/inbox\.|database/sql\.|/jackc/|caddymodule\.\(\*database\)\.retry`)

// goroutines returns the number of goroutines with a text in their stacks, except those
// of idle connections to the backend, and of an open inbox: it opens after the sites.
func (s *server) goroutines(text string) (count int) {
	for stack := range strings.SplitSeq(s.get("/debug/pprof/goroutine?debug=2"), "\n\n") {
		if strings.Contains(stack, text) && !strings.Contains(stack, "http.(*persistConn)") && !ofInbox.MatchString(stack) {
			count++
		}
	}
	return count
}

// requireNothingLeft waits until no request is in the handler, and about as many
// goroutines run as at the start. It then requires that no temporary file exists, with
// or without a name.
func (s *server) requireNothingLeft() {
	s.t.Helper()
	http.DefaultClient.CloseIdleConnections()
	s.eventually("goroutines to end", func() bool {
		return s.goroutines("caddy-elevenlabs/caddymodule.") == 0 && s.goroutines("") <= s.idle+5
	})
	names, err := os.ReadDir(s.spool)
	require.NoError(s.t, err)
	require.Empty(s.t, names)
	open, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", s.command.Process.Pid))
	for _, descriptor := range open {
		target, _ := os.Readlink(descriptor)
		require.NotContains(s.t, target, "elevenlabs-webhook", "a temporary file is still open")
	}
}

// peakMemory returns the process's peak resident memory in MiB, or 0 on a system without
// /proc.
func (s *server) peakMemory() int { return s.memory("VmHWM") }

func (s *server) memory(field string) int {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.command.Process.Pid))
	if err != nil {
		return 0
	}
	_, value, found := strings.Cut(string(status), field+":")
	require.True(s.t, found, field)
	kib, err := strconv.Atoi(strings.Fields(value)[0])
	require.NoError(s.t, err)
	return kib >> 10
}

func (s *server) resetPeakMemory() {
	_ = os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", s.command.Process.Pid), []byte("5"), 0o200)
}
