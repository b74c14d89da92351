package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTailSaysWhatItWaitsForAndWhenCaddyIsGone(t *testing.T) {
	t.Parallel()
	address, status := newStatusBackend(t)
	status.Store(500)
	s := start(t, webhook(address, ""))
	tail := exec.Command(binary, "elevenlabs", "tail", "--result", "failed", "--address", s.admin)
	stderr, err := tail.StderrPipe()
	require.NoError(t, err)
	stdout, err := tail.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, tail.Start())
	t.Cleanup(func() { _ = tail.Process.Kill() })
	notes := bufio.NewScanner(stderr)
	next := func() string {
		require.True(t, notes.Scan())
		return notes.Text()
	}
	assert.Equal(t, "waiting for deliveries with the result failed to end-to-end; Ctrl-C ends", next())
	require.Equal(t, 500, send(t, s.client("HTTP/1.1"), s.event([]byte(transcript))).status)
	require.True(t, bufio.NewScanner(stdout).Scan(), "tail has the stream")
	s.kill()
	assert.Regexp(t, `^Caddy is gone, and tail waits 15s for it: .*connection refused`, next())
	s.done = make(chan struct{})
	s.serve()
	assert.Equal(t, "Caddy is back", next())
	require.NoError(t, tail.Process.Signal(os.Interrupt))
	assert.False(t, notes.Scan(), notes.Text())
	assert.NoError(t, tail.Wait())
}

func TestTailAndStatusEndWhereSomethingElseAnswers(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]http.HandlerFunc{
		"a web site": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			_, _ = w.Write([]byte("<html>"))
		},
		"nothing": func(http.ResponseWriter, *http.Request) {},
		"an application with an API": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/json")
			_, _ = w.Write([]byte("[]"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(answer)
			defer server.Close()
			for _, command := range []string{"tail", "status"} {
				o := elevenlabs(t, "", command, "--address", server.Listener.Addr().String())
				assert.Equal(t, 1, o.code)
				assert.Contains(t, o.stderr, "another server, or a Caddy without this module, answered 200 OK")
				assert.Empty(t, o.stdout)
			}
		})
	}
}

func TestEveryTestIsMarkedAndCountedApart(t *testing.T) {
	t.Setenv("ELEVENLABS_WEBHOOK_SECRET", secret)
	address, status := newStatusBackend(t)
	s := start(t, webhook(address, ""))
	status.Store(500)
	require.Equal(t, 2, s.send("--all").code)
	var o outcome
	s.eventually("the last delivery", func() bool { // it is recorded after it is answered
		o = elevenlabs(t, "", "tail", "--once", "-n", "256", "--address", s.admin)
		return strings.Count(o.stdout, "\n") == 21
	})
	for line := range strings.Lines(o.stdout) {
		assert.Regexp(t, `  test=(true|claimed)  `, line)
	}
	assert.Equal(t, 17, strings.Count(o.stdout, "test=true"), "15 events, and two that are genuine and at the wrong time")

	o = elevenlabs(t, "", "status", "--address", s.admin)
	assert.Contains(t, o.stdout, "  last failure        none since Caddy started (tests do not count)\n  results             0 accepted, 6 rejected, 0 ignored, 15 failed\n  of which tests      0 accepted, 6 rejected, 0 ignored, 15 failed\n")
	assert.Zero(t, o.code)
	o = elevenlabs(t, "", "status", "--json", "--address", s.admin)
	assert.Contains(t, o.stdout, `"read_timeout":"1m0s"`, "no nanoseconds")
	assert.Contains(t, o.stdout, `"tests":{"accepted":0,"rejected":6,"ignored":0,"failed":15}`)
}

// Conversation-initiation webhooks and calls of server tools have no signature.
func TestWhatElevenLabsSendsWithoutASignatureIsExplained(t *testing.T) {
	t.Parallel()
	address, _ := newStatusBackend(t)
	s := start(t, "{\nservers {\ntrusted_proxies static 127.0.0.0/8 ::1/128\n}\n}\n"+webhook(address, ""))
	for _, test := range []struct{ method, from string }{
		{http.MethodPost, "34.67.146.145"},
		{http.MethodPost, "203.0.113.7"},
		{http.MethodGet, "34.67.146.145"},
		{http.MethodGet, "203.0.113.7"},
	} {
		request, err := http.NewRequestWithContext(t.Context(), test.method, s.url(), strings.NewReader(`{"caller_id":"+15550100"}`))
		require.NoError(t, err)
		request.Header.Set("X-Forwarded-For", test.from)
		request.Header.Set("X-Forwarded-Proto", "https")
		status := map[string]int{http.MethodPost: 400, http.MethodGet: 405}[test.method]
		require.Equal(t, status, send(t, s.client("HTTP/1.1"), request).status)
	}
	var o outcome
	s.eventually("the last delivery", func() bool {
		o = elevenlabs(t, "", "tail", "--once", "--address", s.admin)
		return strings.Count(o.stdout, "\n") == 4
	})
	lines := strings.Split(o.stdout, "\n")
	assert.Contains(t, lines[0], "(an address of ElevenLabs: ElevenLabs signs neither conversation-initiation webhooks nor calls of server tools")
	assert.Contains(t, lines[2], "(an address of ElevenLabs: a redirect in front of Caddy made a GET of the POST")
	for _, i := range []int{1, 3} {
		assert.Contains(t, lines[i], "from=203.0.113.7")
		assert.NotContains(t, lines[i], "an address of ElevenLabs")
	}
	for _, reason := range []string{"signature_missing", "method_not_allowed"} {
		s.eventually("the log", func() bool { return len(s.logged("webhook rejected: "+reason)) == 2 })
		logged := s.logged("webhook rejected: " + reason)
		assert.NotEmpty(t, logged[0]["hint"])
		assert.Nil(t, logged[1]["hint"])
	}
}

func TestTheShellCompletesCommandsFlagsAndValues(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ typed, offered string }{
		{"elevenlabs ta", "tail\t"},
		{"elevenlabs tail --res", "--result\t"},
		{"elevenlabs tail --result f", "failed\n"},
		{"elevenlabs webhooks attach gateway --events transcript,", "transcript,audio\n"},
	} {
		words := strings.Split("__complete "+test.typed, " ")
		output, err := exec.Command(binary, words...).Output()
		require.NoError(t, err)
		assert.Contains(t, string(output), test.offered)
	}
}

func TestVersionsAreThoseOfTheBinary(t *testing.T) {
	o := elevenlabs(t, "", "version", "--json")
	require.Zero(t, o.code)
	var v struct{ Module, Caddy, Go string }
	require.NoError(t, json.Unmarshal([]byte(o.stdout), &v))
	caddy, err := exec.Command(binary, "version").Output()
	require.NoError(t, err)
	assert.Regexp(t, `^caddy-elevenlabs `+regexp.QuoteMeta(v.Module)+`( \(.+\))? `+regexp.QuoteMeta(v.Caddy)+` `, string(caddy))
	info, err := exec.Command("go", "version", "-m", binary).Output()
	require.NoError(t, err)
	assert.Contains(t, string(info), ": "+v.Go+"\n")
	assert.Contains(t, string(info), "caddy-elevenlabs\t"+v.Module)
}

// The documentation says so, since nothing else can.
func TestABodyThatTheSitesRequestBodyRejectsShowsNowhere(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	s := start(t, strings.Replace(webhook(b.address(), ""), "tls internal", "tls internal\nlog\nrequest_body {\nmax_size 10\n}", 1))
	got := send(t, s.client("HTTP/1.1"), s.event([]byte(transcript)))
	assert.Equal(t, 413, got.status)
	assert.Empty(t, got.header.Get("X-ElevenLabs-Rejection"))
	s.awaitLog(`"status":413`)
	assert.Empty(t, shown(t, s, "/elevenlabs/deliveries"))

	chunked := s.event([]byte(transcript))
	chunked.ContentLength = -1
	got = send(t, s.client("HTTP/1.1"), chunked)
	assert.Equal(t, 413, got.status)
	assert.Equal(t, "body_too_large", got.header.Get("X-ElevenLabs-Rejection"))
	s.eventually("the delivery", func() bool { return len(shown(t, s, "/elevenlabs/deliveries")) == 1 })
	assert.Empty(t, b.take())
}

func TestTailAndStatusUseColourOnlyOnATerminalWithoutNO_COLOR(t *testing.T) {
	t.Parallel()
	runtimeOf(t, "script")
	address, status := newStatusBackend(t)
	s := start(t, webhook(address, ""))
	status.Store(500)
	for range 3 {
		require.Equal(t, 500, send(t, s.client("HTTP/1.1"), s.event([]byte(transcript))).status)
	}
	for _, args := range []string{"tail --once --address " + s.admin, "status --address " + s.admin} {
		line := binary + " elevenlabs " + args
		terminal := func(env ...string) string {
			command := exec.Command("script", "--quiet", "--command", line, "/dev/null")
			command.Env = append(os.Environ(), env...)
			output, err := command.CombinedOutput()
			require.NoError(t, err)
			return string(output)
		}
		const red = "\x1b[31"
		assert.Contains(t, terminal("NO_COLOR="), red, args)
		plain := terminal("NO_COLOR=1")
		assert.NotContains(t, plain, "\x1b", args)
		assert.NotContains(t, terminal("TERM=dumb"), "\x1b", args)
		assert.Contains(t, plain, "backend_answer", args)
		assert.NotContains(t, elevenlabs(t, "", strings.Fields(args)...).stdout, "\x1b", args)
	}
}

// Caddy's admin endpoint tells its errors in JSON.
func TestTailTellsWhatTheAdminEndpointSaysFromACaddyThatDoesNotRun(t *testing.T) {
	t.Parallel()
	address, _ := newStatusBackend(t)
	s := start(t, webhook(address, ""))
	_, port, err := net.SplitHostPort(s.admin)
	require.NoError(t, err)
	o := elevenlabs(t, "", "tail", "--once", "--address", "[::ffff:127.0.0.1]:"+port)
	assert.Equal(t, 1, o.code)
	assert.Contains(t, o.stderr, "it answered 403: host not allowed: [::ffff:127.0.0.1]:"+port+" (Caddy lets in only its endpoint's own host and port: ")
	assert.NotContains(t, o.stderr, "is Caddy running?")
	o = elevenlabs(t, "", "tail", "--once", "--address", fmt.Sprintf("127.0.0.1:%d", freePort(t)))
	assert.Equal(t, 1, o.code)
	assert.Contains(t, o.stderr, "is Caddy running?")
}

func TestTailContinuesOverAReloadUntilItIsInterrupted(t *testing.T) {
	t.Parallel()
	address, _ := newStatusBackend(t)
	s := start(t, webhook(address, ""))
	tail := exec.Command(binary, "elevenlabs", "tail", "--json", "--address", s.admin)
	output, err := tail.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, tail.Start())
	lines := bufio.NewScanner(output)
	for i, name := range []string{"", "events post_call_transcription"} {
		if i > 0 {
			s.reload(webhook(address, name))
		}
		got := s.sendAfterReload(s.client("HTTP/1.1"), func() *http.Request { return s.event([]byte(transcript)) })
		require.Equal(t, 200, got.status)
		require.True(t, lines.Scan())
		var d struct{ Result, Handler string }
		require.NoError(t, json.Unmarshal(lines.Bytes(), &d))
		assert.Equal(t, "accepted end-to-end", d.Result+" "+d.Handler)
	}
	require.NoError(t, tail.Process.Signal(os.Interrupt))
	assert.False(t, lines.Scan(), "tail printed a delivery twice")
	assert.NoError(t, tail.Wait(), "an interrupt must not be an error")
}
