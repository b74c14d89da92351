package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// listening is a `listen --json` that runs.
type listening struct {
	t       testing.TB
	command *exec.Cmd
	lines   chan listened
	stderr  *lockedBuffer
}

// listened is a line that it prints.
type listened struct {
	Seq            int64
	EventID        string `json:"event_id"`
	Result         string
	Problem        string
	Status         int
	File           string
	ConversationID string `json:"conversation_id"`
}

// listen runs `listen`, and waits until it has begun.
func listen(t testing.TB, args ...string) *listening {
	t.Helper()
	l := &listening{t: t, command: exec.Command(binary, append([]string{"elevenlabs", "listen", "--json"}, args...)...), lines: make(chan listened, 1000), stderr: new(lockedBuffer)}
	output, err := l.command.StdoutPipe()
	require.NoError(t, err)
	l.command.Stderr = l.stderr
	require.NoError(t, l.command.Start())
	go func() {
		defer close(l.lines)
		for lines := bufio.NewScanner(output); lines.Scan(); {
			var line listened
			if !assert.NoError(t, json.Unmarshal(lines.Bytes(), &line), lines.Text()) {
				return
			}
			l.lines <- line
		}
	}()
	t.Cleanup(func() { _ = l.command.Process.Kill() })
	require.Eventually(t, func() bool { return strings.Contains(l.stderr.String(), "Ctrl-C ends\n") }, patience, 20*time.Millisecond, "it did not begin: %s", l.stderr)
	return l
}

// next waits for a number of lines.
func (l *listening) next(count int) (all []listened) {
	l.t.Helper()
	for range count {
		select {
		case line, open := <-l.lines:
			require.True(l.t, open, "listen ended: %s", l.stderr)
			all = append(all, line)
		case <-time.After(2 * patience):
			require.FailNow(l.t, "no event comes", "after %d: %s", len(all), l.stderr)
		}
	}
	return all
}

// ids returns the ids of the events in lines.
func ids(lines []listened) []string {
	all := make([]string, len(lines))
	for i, line := range lines {
		all[i] = line.EventID
	}
	return all
}

// end interrupts it. It must have printed nothing else.
func (l *listening) end() {
	l.t.Helper()
	require.NoError(l.t, l.command.Process.Signal(os.Interrupt))
	for line := range l.lines {
		assert.Fail(l.t, "an event came again, or unasked", line)
	}
	assert.NoError(l.t, l.command.Wait(), "an interrupt is how it ends")
}

func numbered(n int) []byte {
	return fmt.Appendf(nil, `{"type":"post_call_transcription","event_timestamp":1739537297,"data":{"agent_id":"agent_1","conversation_id":"conv_%d"}}`, n)
}

// The headers that may differ between the application behind the server and the local one,
// and why.
var localHeaders = map[string]string{
	"Elevenlabs-Signature": "the server does not show it",
	"Authorization":        "the server does not show it",
	"Cookie":               "the server does not show it",
	"Via":                  "Caddy adds itself",
	"Connection":           "each copy has a connection of its own",
	"Te":                   "of one connection",
}

func TestListenBringsTheRequestThatTheServersApplicationGets(t *testing.T) {
	b, local := newBackend(t), newBackend(t)
	s := start(t, inboxSite(b.address(), newInboxFile(t), ""))
	s.awaitInbox()
	l := listen(t, "--address", s.admin, "--forward-to", local.URL+"/hook?from=listen")
	body := []byte(`{"type":"post_call_transcription", "event_timestamp":1739537297,"data":{"agent_id":"agent_1","conversation_id":"conv_1","text":"é <&> \u00e9"}}` + "\n")
	request := s.event(body)
	maps.Copy(request.Header, map[string][]string{
		"User-Agent": {"Python/3.12 aiohttp/3.11.16"}, "X-Custom": {"first", "second, \xe9"}, "Accept": {"*/*"}, "Accept-Encoding": {"gzip, deflate"},
		"Authorization": {"Bearer hunter2"}, "Cookie": {"session=hunter2"}, "X-Forwarded-For": {"203.0.113.7"}, "X-Forwarded-Host": {"evil.example"},
		"X-Elevenlabs-Verified": {"forged"}, "Idempotency-Key": {"forged"}, "Te": {"trailers"}, "X-Real-Ip": {"203.0.113.8"},
	})
	require.Equal(t, 200, send(t, s.client("HTTP/1.1"), request).status)
	line := l.next(1)[0]
	assert.Equal(t, []any{"taken", 200, digestOf(body), "conv_1"}, []any{line.Result, line.Status, line.EventID, line.ConversationID}, line.Problem)
	s.eventually("the delivery", func() bool { return s.inboxCount("delivered") == 1 })

	want, got := requireDelivered(t, b, body), requireDelivered(t, local, body)
	assert.Equal(t, "POST /hook", got.method+" "+got.path)
	for name := range localHeaders {
		want.header.Del(name)
		got.header.Del(name)
	}
	assert.Equal(t, want.header, got.header)
	l.end()
	assert.Contains(t, l.stderr.String(), "without these headers, whose values the server does not show: Authorization, Cookie\n")
	assert.NotContains(t, l.stderr.String(), "hunter2")
}

func TestListenGoesOnWithoutAGapOrARepeat(t *testing.T) {
	t.Parallel() // it mostly waits for starts
	for name, disturb := range map[string]func(s *server, caddyfile string){
		"after a crash": func(s *server, _ string) {
			s.kill()
			s.clearSpool()
			s.launch()
			s.awaitServing()
		},
		"after a reload": func(s *server, caddyfile string) { s.reload(caddyfile) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const events = 200
			ledger, local := newInboxLedger(t), newBackend(t)
			caddyfile := inboxSite(ledger.backend(taken), newInboxFile(t), "")
			s := start(t, caddyfile)
			s.awaitInbox()
			l := listen(t, "--address", s.admin, "--forward-to", local.URL)
			client := s.client("HTTP/1.1")
			sent := make([]string, events)
			for n := range sent {
				if n%70 == 40 {
					disturb(s, caddyfile)
					client = s.client("HTTP/1.1")
				}
				body := numbered(n)
				got := s.sendAfterReload(client, func() *http.Request { return s.event(body) })
				require.Equal(t, 200, got.status)
				sent[n] = digestOf(body)
			}
			assert.Equal(t, sent, ids(l.next(events)))
			taken := local.take()
			arrived := make([]string, len(taken))
			for i, d := range taken {
				arrived[i] = d.digest
			}
			assert.Equal(t, sent, arrived)
			require.Equal(t, 200, send(t, client, s.event(numbered(events))).status)
			l.next(1)
			l.end()
		})
	}
}

func TestASlowLocalApplicationHoldsUpNothingOnTheServer(t *testing.T) {
	const events = 50
	b := newBackend(t)
	s := start(t, inboxSite(b.address(), newInboxFile(t), ""))
	s.awaitInbox()
	came, goOn := make(chan bool, events), make(chan bool)
	local := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		came <- true
		<-goOn
		w.WriteHeader(http.StatusTeapot)
	}))
	t.Cleanup(local.Close)
	l := listen(t, "--address", s.admin, "--forward-to", local.URL)
	client := s.client("HTTP/1.1")
	for n := range events {
		require.Equal(t, 200, send(t, client, s.event(numbered(n))).status)
	}
	<-came // and the local application does not answer
	s.eventually("the server's deliveries", func() bool { return s.inboxCount("delivered") == events })
	assert.Len(t, b.take(), events)
	close(goOn)
	for n, line := range l.next(events) {
		assert.Equal(t, []any{int64(n + 1), "failed", 418, "expected 2xx"}, []any{line.Seq, line.Result, line.Status, line.Problem})
	}
	local.Close()
	require.Equal(t, 200, send(t, client, s.event(numbered(events))).status)
	line := l.next(1)[0]
	assert.Equal(t, "failed", line.Result)
	assert.Contains(t, line.Problem, "connection refused")
	l.end()
}

func TestWhatListenSavesIsSentAgainByteForByte(t *testing.T) {
	t.Setenv("ELEVENLABS_WEBHOOK_SECRET", secret)
	b, folder := newBackend(t), filepath.Join(t.TempDir(), "events")
	s := start(t, inboxSite(b.address(), newInboxFile(t), ""))
	bodies := [][]byte{numbered(1), audio(3 << 20), []byte("{\"type\":\"voice_removed\",\"data\":{\"voice_id\":\"v\"}}\r\n\x00\xff")}
	for _, body := range bodies {
		require.Equal(t, 200, send(t, s.client("HTTP/1.1"), s.event(body)).status)
	}
	s.eventually("the deliveries", func() bool { return s.inboxCount("delivered") == len(bodies) })
	b.take()
	for range 2 { // the second time, the files are there
		l := listen(t, "--address", s.admin, "--since", "1h", "--save", folder)
		for i, line := range l.next(len(bodies)) {
			assert.Equal(t, []any{int64(i + 1), "saved"}, []any{line.Seq, line.Result}, line.Problem)
		}
		l.end()
	}
	files, err := os.ReadDir(folder)
	require.NoError(t, err)
	require.Len(t, files, len(bodies), "in the order of their numbers, and nothing else")

	application := newBackend(t)
	other := start(t, webhook(application.address(), ""))
	for i, file := range files {
		o := other.send("--file", filepath.Join(folder, file.Name()))
		require.Zero(t, o.code, o.stdout+o.stderr)
		requireDelivered(t, application, bodies[i])
	}

	o := other.send("--last", "--event", "audio", "--address", s.admin)
	require.Zero(t, o.code, o.stdout+o.stderr)
	requireDelivered(t, application, bodies[1])
	assert.Contains(t, o.stderr, "Its event id stays "+digestOf(bodies[1]))
	o = s.send("--last", "--address", s.admin)
	assert.Contains(t, o.stdout, "inbox: repeat")
	o = s.send("--last", "--event", "flows", "--address", s.admin)
	assert.Equal(t, 1, o.code)
	assert.Contains(t, o.stderr, "the server has stored no event of the type flows_generation or flows_template_run")
}

func TestListenTakes99MiBInLittleMemory(t *testing.T) {
	for _, more := range [][]string{nil, {"--save", t.TempDir()}} {
		b, local := newBackend(t), newBackend(t)
		s := start(t, inboxSite(b.address(), newInboxFile(t), ""))
		s.awaitInbox()
		l := listen(t, append([]string{"--address", s.admin, "--forward-to", local.URL}, more...)...)
		body := audio(99 << 20)
		require.Equal(t, 200, send(t, s.client("HTTP/1.1"), s.event(body)).status)
		assert.Equal(t, "taken", l.next(1)[0].Result)
		requireDelivered(t, local, body)
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", l.command.Process.Pid))
		if err == nil {
			_, peak, _ := strings.Cut(string(status), "VmHWM:")
			kib, err := strconv.Atoi(strings.Fields(peak)[0])
			require.NoError(t, err)
			t.Logf("%d MiB", kib>>10)
			if !raceDetector {
				assert.Less(t, kib>>10, 100, "MiB of memory")
			}
		}
		l.end()
	}
}

// inspectorSite has an inspector behind each way to sign in, and what may stand in its place.
func inspectorSite(backend, database string) string {
	return strings.TrimSuffix(inboxSite(backend, database, ""), "}\n") + `
	handle_path /inspect/* {` + inspected("") + `}
	@token header X-Token hunter3
	handle_path /token/* {
		handle @token {
			elevenlabs_inspector {
				allow_unauthenticated
			}
		}
		respond 401
	}
	handle_path /nobody/* {
		elevenlabs_inspector
	}
	redir /login/* https://sso.example.com/
	handle {
		header Content-Type text/html
		respond "<!DOCTYPE html><title>Welcome</title>"
	}
}
`
}

func TestListenReadsFromAnInspector(t *testing.T) {
	b, local := newBackend(t), newBackend(t)
	s := start(t, inspectorSite(b.address(), newInboxFile(t)))
	s.awaitInbox()
	site := strings.TrimSuffix(s.url(), "/webhooks/elevenlabs")
	t.Setenv("ELEVENLABS_INSPECTOR_PASSWORD", operatorKey+"\n")
	for n, args := range [][]string{
		{"--server", site + "/inspect/", "--user", operator},
		{"--server", site + "/inspect", "--user", operator + ":", "--password-file", writeFile(t, operatorKey+"\n")},
		{"--server", site + "/token", "--header", "X-Token=hunter3"},
	} {
		l := listen(t, append(append([]string{"--forward-to", local.URL}, s.trust()...), args...)...)
		require.Equal(t, 200, send(t, s.client("HTTP/1.1"), s.event(numbered(n))).status)
		assert.Equal(t, "taken", l.next(1)[0].Result)
		requireDelivered(t, local, numbered(n))
		l.end()
	}
	for _, test := range []struct {
		args []string
		says string
	}{
		{[]string{"--server", site + "/inspect", "--user", "nobody"}, "it answered 401: give the --user"},
		{[]string{"--server", site + "/nobody"}, "it answered 403: it lets in only whom Caddy has authenticated"},
		{[]string{"--server", site}, "a server without elevenlabs_inspector there answered 200 OK with text/html"},
		{[]string{"--server", site + "/login"}, `it redirects to "https://sso.example.com/": is that a page to log in?`},
		{[]string{"--server", site + "/inspect", "--user", operator, "--inbox", "sales"}, `it answered 404: there is no inbox "sales": choose one of default`},
	} {
		o := elevenlabs(t, "", append(append([]string{"listen"}, s.trust()...), test.args...)...)
		assert.Equal(t, 1, o.code)
		assert.Contains(t, o.stderr, test.says)
		assert.NotContains(t, o.stderr, operatorKey)
		assert.Empty(t, o.stdout)
	}
}

// tunnel carries a port of this machine to another address, until it is closed.
type tunnel struct {
	listener net.Listener
	mu       sync.Mutex
	open     []net.Conn
}

func openTunnel(t testing.TB, port int, to string) *tunnel {
	t.Helper()
	listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	require.NoError(t, err)
	u := &tunnel{listener: listener}
	go func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", to)
			if err != nil {
				near.Close()
				continue
			}
			u.mu.Lock()
			u.open = append(u.open, near, far)
			u.mu.Unlock()
			for _, way := range [][2]net.Conn{{near, far}, {far, near}} {
				go func() {
					_, _ = io.Copy(way[0], way[1])
					way[0].Close()
				}()
			}
		}
	}()
	t.Cleanup(u.close)
	return u
}

func (u *tunnel) close() {
	u.listener.Close()
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, conn := range u.open {
		conn.Close()
	}
}

func TestListenThroughATunnelThatBreaksAndComesBack(t *testing.T) {
	b, local := newBackend(t), newBackend(t)
	s := newServer(t)
	s.write(inboxSite(b.address(), newInboxFile(t), ""))
	port := freePort(t)
	caddyfile, err := os.ReadFile(s.file)
	require.NoError(t, err)
	origins := fmt.Sprintf("admin %s {\norigins %s localhost:%d\n}", s.admin, s.admin, port)
	require.NoError(t, os.WriteFile(s.file, bytes.Replace(caddyfile, []byte("admin "+s.admin), []byte(origins), 1), 0o600))
	s.serve()
	s.awaitInbox()
	u := openTunnel(t, port, s.admin)
	o := elevenlabs(t, "", "listen", "--address", fmt.Sprintf("127.0.0.1:%d", port))
	assert.Equal(t, 1, o.code)
	assert.Contains(t, o.stderr, "give a tunnel the same port, or name the tunnel's in the option origins of admin")

	l := listen(t, "--address", fmt.Sprintf("localhost:%d", port), "--forward-to", local.URL)
	u.close()
	s.eventually("listen to notice", func() bool {
		return strings.Contains(l.stderr.String(), "the server is gone, and listen waits for it: ")
	})
	sent := make([]string, 3)
	for n := range sent {
		require.Equal(t, 200, send(t, s.client("HTTP/1.1"), s.event(numbered(n))).status)
		sent[n] = digestOf(numbered(n))
	}
	openTunnel(t, port, s.admin)
	assert.Equal(t, sent, ids(l.next(3)))
	assert.Contains(t, l.stderr.String(), "the server is back\n")
	l.end()
}

func TestListenSaysWhatAServerLacks(t *testing.T) {
	s := start(t, webhook(newBackend(t).address(), ""))
	o := elevenlabs(t, "", "listen", "--address", s.admin)
	assert.Equal(t, 1, o.code)
	assert.Contains(t, o.stderr, "it answered 404: no elevenlabs_webhook handler of this Caddy has an inbox; listen needs a server whose elevenlabs_webhook has the option inbox")
	o = elevenlabs(t, "", "listen", "--address", fmt.Sprintf("127.0.0.1:%d", freePort(t)))
	assert.Equal(t, 1, o.code)
	assert.Contains(t, o.stderr, "is Caddy running?")
}
