package main

import (
	"bufio"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A tunnel sends plain HTTP from this machine, under a host name that Caddy does
// not know before.
func TestTheTunnelsCaddyfile(t *testing.T) {
	b := newBackend(t)
	config := findBlock(t, "docs/try.md", "caddyfile", "http://:8080 {").text
	t.Setenv("ELEVENLABS_WEBHOOK_SECRET", secret)
	s := start(t, strings.NewReplacer(":8080", ":$PORT", "localhost:3000", b.address()).Replace(config))
	throughTunnel := func(request *http.Request) answer {
		request.URL.Scheme, request.Host = "http", "quiet-river.trycloudflare.com"
		request.Header.Set("X-Forwarded-Proto", "https")
		return send(t, http.DefaultClient, request)
	}
	require.Equal(t, 200, throughTunnel(s.event([]byte(transcript))).status)
	require.Len(t, b.take(), 1)
	requireRejected(t, b, throughTunnel(s.signed([]byte(transcript), "wsec_other", time.Now())), 401, "signature_mismatch")
	wrong := s.event([]byte(transcript))
	wrong.URL.Path = "/"
	assert.Equal(t, 404, throughTunnel(wrong).status)
}

// Of the shells, bash must be there to take the completion.
func TestCompletionAndManPages(t *testing.T) {
	bash := runtimeOf(t, "bash")
	withCaddyInThePath(t)
	dir := t.TempDir()
	for _, test := range []struct{ script, after, output string }{
		{findBlock(t, "docs/cli/README.md", "sh", "eval").text, "complete -p caddy", "caddy\n"},
		{findBlock(t, "docs/cli/README.md", "sh", "caddy manpage").text, "cat man/caddy-elevenlabs-send.8", "elevenlabs send"},
		{strings.ReplaceAll(findBlock(t, "docs/cli/README.md", "sh", "caddy completion bash").text, "/etc/bash_completion.d/caddy", "file"), "cat file", "elevenlabs"},
		{"caddy completion zsh && caddy completion fish", "caddy completion powershell", "caddy"},
	} {
		command := exec.Command(bash, "-c", test.script+"\n"+test.after)
		command.Dir = dir
		output, err := command.CombinedOutput()
		require.NoError(t, err, "%s: %s", test.script, output)
		assert.Contains(t, string(output), test.output)
	}
}

func TestAWSLoadBalancersAnswersToItsOwnMachine(t *testing.T) {
	runtimeOf(t, "curl")
	b := newBackend(t)
	t.Setenv("ELEVENLABS_WEBHOOK_SECRET", secret)
	config := findBlock(t, "docs/deploy/aws-load-balancer.md", "caddyfile", "{\n\tservers {").text
	s := start(t, strings.NewReplacer(":8080 {", "http://$ADDRESS {", "localhost:3000", b.address()).Replace(config))
	for line := range strings.Lines(findBlock(t, "docs/deploy/aws-load-balancer.md", "sh", "curl -i http").text) {
		command, answers, found := strings.Cut(line, "#")
		require.True(t, found)
		output, err := exec.Command("sh", "-c", strings.NewReplacer("curl ", "curl -s ", "localhost:8080", s.address).Replace(command)).CombinedOutput()
		require.NoError(t, err, "%s", output)
		for word := range strings.SplitSeq(strings.TrimSpace(answers), ", ") {
			assert.Contains(t, string(output), word, "%s", command)
		}
	}
	assert.Empty(t, b.take())
}

func TestTheAdminAPIsCommands(t *testing.T) {
	t.Parallel()
	runtimeOf(t, "curl")
	b := newBackend(t)
	b.status = http.StatusInternalServerError
	s := start(t, webhook(b.address(), ""))
	require.Equal(t, 500, send(t, s.client("HTTP/1.1"), s.event([]byte(transcript))).status)
	here := strings.NewReplacer("localhost:2019", s.admin)
	asks := findBlock(t, "docs/reference/admin-api.md", "sh", "curl -s localhost").text
	s.eventually("each to show the delivery", func() bool { // it is recorded after it is answered
		for line := range strings.Lines(here.Replace(asks)) {
			output, err := exec.Command("sh", "-c", line).Output()
			require.NoError(t, err)
			var answer []map[string]any
			require.NoError(t, json.Unmarshal(output, &answer), "%s", output)
			if !strings.Contains(string(output), "backend_answer") {
				return false
			}
		}
		return true
	})

	metrics := findBlock(t, "docs/reference/metrics.md", "sh", "curl -s localhost").text
	output, err := exec.Command("sh", "-c", here.Replace(metrics)).Output()
	require.NoError(t, err)
	assert.Contains(t, string(output), `caddy_elevenlabs_webhook_deliveries_total{`)

	stream := findBlock(t, "docs/reference/admin-api.md", "sh", "curl -sN").text
	command := exec.Command("sh", "-c", "exec "+here.Replace(stream))
	stdout, err := command.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, command.Start())
	lines := bufio.NewScanner(stdout)
	for lines.Scan() && !strings.HasPrefix(lines.Text(), "data:") {
	}
	assert.Contains(t, lines.Text(), "backend_answer")
	require.NoError(t, command.Process.Kill())
	_ = command.Wait()
}

func TestTroubleshootingAsksTheURL(t *testing.T) {
	t.Parallel()
	runtimeOf(t, "curl")
	b := newBackend(t)
	s := start(t, webhook(b.address(), ""))
	command := findBlock(t, "docs/troubleshoot.md", "sh", "curl -i -X POST").text
	output, err := exec.Command("sh", "-c", strings.NewReplacer("curl ", "curl -ks ", "hooks.example.com", s.address).Replace(command)).CombinedOutput()
	require.NoError(t, err, "%s", output)
	assert.Contains(t, string(output), " 400")
	assert.Contains(t, strings.ToLower(string(output)), "x-elevenlabs-rejection: signature_missing")
	assert.Empty(t, b.take())
}

// What would be rejected goes to the program on the page, which keeps it as verify
// reads it. Genuine events go on to the application.
func TestCaptureARequest(t *testing.T) {
	python := runtimeOf(t, "python3")
	dir, b := t.TempDir(), newBackend(t)
	port := strconv.Itoa(freePort(t))
	capture := exec.Command(python, "-c", strings.ReplaceAll(findBlock(t, "docs/troubleshoot.md", "python", "from http.server").text, "9999", port))
	capture.Dir = dir
	require.NoError(t, capture.Start())
	t.Cleanup(func() {
		_ = capture.Process.Kill()
		_ = capture.Wait()
	})
	var config string
	for _, b := range readPage(t, "docs/troubleshoot.md").blocks {
		if b.language == "caddyfile" && strings.Contains(b.text, "report_only") {
			config = b.text
		}
	}
	require.NotEmpty(t, config)
	t.Setenv("ELEVENLABS_WEBHOOK_SECRET", secret)
	s := start(t, strings.NewReplacer("hooks.example.com {", "https://$ADDRESS {\n\ttls internal", "localhost:3000", b.address(), "9999", port).Replace(config))
	s.eventually("the program to listen", func() bool {
		conn, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	client := s.client("HTTP/2.0")
	require.Equal(t, 200, send(t, client, s.event([]byte(transcript))).status)
	require.Len(t, b.take(), 1)
	require.Equal(t, 503, send(t, client, s.signed(audio(1<<20), "wsec_other", time.Now())).status)
	assert.Empty(t, b.take())

	for key, result := range map[string]string{secret: "signature_mismatch:", "wsec_other": "pass:"} {
		captured, err := os.Open(filepath.Join(dir, "captured.http"))
		require.NoError(t, err)
		defer captured.Close()
		verify := exec.Command(binary, "elevenlabs", "verify", "--explain")
		verify.Stdin = captured
		verify.Env = append(os.Environ(), "ELEVENLABS_WEBHOOK_SECRET="+key)
		output, _ := verify.CombinedOutput() // its exit code says the same
		assert.True(t, strings.HasPrefix(string(output), result), "%s", output)
	}
}
