package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The test runs the command of the workflow for GitHub, with another program and URL.
func TestExampleOfAPipeline(t *testing.T) {
	t.Parallel()
	runtimeOf(t, "sh")
	workflow, err := os.ReadFile("../examples/pipeline/github-actions.yaml")
	require.NoError(t, err)
	command := regexp.MustCompile(`run: (.*smoke-test\.sh.*)`).FindSubmatch(workflow)
	require.NotNil(t, command)
	require.Contains(t, string(workflow), "WEBHOOK_URL: https://")
	program, err := filepath.Abs(binary)
	require.NoError(t, err)
	b := newBackend(t)
	s := start(t, webhook(b.address(), ""))

	wait := "WAIT=3"
	smokeTest := func(key, url string, args ...string) (output string, code int) {
		script := strings.Replace(string(command[1]), "CADDY=./caddy", "CADDY="+program, 1)
		shell := exec.Command("sh", append([]string{"-c", script + ` "$@"`, "sh"}, append(s.trust(), args...)...)...)
		shell.Dir = ".."
		shell.Env = append(os.Environ(), wait, "WEBHOOK_URL="+url, "ELEVENLABS_WEBHOOK_SECRET="+key)
		text, _ := shell.CombinedOutput()
		return string(text), shell.ProcessState.ExitCode()
	}
	output, code := smokeTest(secret, s.url())
	assert.Equal(t, 0, code, output)
	assert.Contains(t, output, "\n21 deliveries, all as expected\n")
	assert.Len(t, b.take(), 15)

	output, code = smokeTest("wsec_other", s.url())
	assert.Equal(t, 2, code, output)
	assert.Contains(t, output, "FAILED  post_call_transcription ")
	assert.Empty(t, b.take())

	output, code = smokeTest("", s.url())
	assert.Equal(t, 1, code, output)
	assert.Contains(t, output, "ELEVENLABS_WEBHOOK_SECRET is blank")

	output, code = smokeTest(secret, fmt.Sprintf("https://localhost:%d/", freePort(t)))
	assert.Equal(t, 2, code, output)
	assert.Contains(t, output, "connection refused")

	silent, err := net.Listen("tcp", "127.0.0.1:0") // it accepts connections and does not answer
	require.NoError(t, err)
	defer silent.Close()
	began := time.Now()
	output, code = smokeTest(secret, "https://"+silent.Addr().String()+"/")
	assert.Equal(t, 2, code, output)
	assert.Contains(t, output, "no answer in time")
	assert.Less(t, time.Since(began), time.Minute)

	for _, args := range [][]string{{"--secret-file", "-"}, {"--json", "--secret-file=-"}} {
		output, code = smokeTest(secret, s.url(), args...)
		assert.Equal(t, 1, code, output)
		assert.Contains(t, output, "cannot come from standard input")
	}

	wait = "WAIT=60"
	late := startLate(t, s.address, 2)
	output, code = smokeTest(secret, strings.Replace(s.url(), s.address, late, 1))
	assert.Equal(t, 0, code, "it waits for a server that is not there at once: %s", output)
}

// startLate listens for a server, and closes the first connections at once.
func startLate(t *testing.T, server string, hangups int) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { listener.Close() })
	go func() {
		for n := 0; ; n++ {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			if n < hangups {
				conn.Close()
				continue
			}
			go func() {
				defer conn.Close()
				to, err := net.Dial("tcp", server)
				if err != nil {
					return
				}
				defer to.Close()
				go io.Copy(to, conn)
				io.Copy(conn, to)
			}()
		}
	}()
	return fmt.Sprint("localhost:", listener.Addr().(*net.TCPAddr).Port)
}

// The README's own command tests Caddyfile.example.
func TestExampleOfAPipelineAsItsREADMETriesIt(t *testing.T) {
	t.Parallel()
	runtimeOf(t, "sh")
	program, err := filepath.Abs(binary)
	require.NoError(t, err)
	_, ports := startCaddyfileExample(t)
	line := commandsOf(t, "pipeline", "smoke-test.sh")[0]
	command, _ := commandLine(ports.there.Replace(strings.Replace(line, "./caddy", program, 1)))
	output, err := command.CombinedOutput()
	require.NoError(t, err, "%s", output)
	assert.Contains(t, string(output), "\n21 deliveries, all as expected\n")
}
