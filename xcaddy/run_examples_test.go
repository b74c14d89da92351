package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const examples = "../examples/"

// runtimeOf returns the path of a program that a test needs, or skips the test.
func runtimeOf(t testing.TB, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		skip(t, program+" is not installed")
	}
	return path
}

// skip skips the test, or fails it if TEST_NO_SKIP is set.
func skip(t testing.TB, reason string) {
	t.Helper()
	require.Empty(t, os.Getenv("TEST_NO_SKIP"), reason)
	t.Skip(reason)
}

var shell = regexp.MustCompile("(?ms)^```sh\n(.*?)^```$")

// commandsOf returns the commands in an example's README that contain a text.
func commandsOf(t testing.TB, folder, text string) (commands []string) {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(examples, folder, "README.md"))
	require.NoError(t, err)
	for _, block := range shell.FindAllStringSubmatch(string(content), -1) {
		for line := range strings.Lines(block[1]) {
			if strings.Contains(line, text) {
				commands = append(commands, strings.TrimSpace(line))
			}
		}
	}
	require.NotEmpty(t, commands, "the README of %s has no command with %q", folder, text)
	return commands
}

// commandLine splits a README's command, and returns it ready to run in the
// repository root. The command has no quotes.
func commandLine(line string) (command *exec.Cmd, assignments []string) {
	fields := strings.Fields(line)
	program := slices.IndexFunc(fields, func(field string) bool { return !strings.Contains(field, "=") })
	command = exec.Command(fields[program], fields[program+1:]...)
	command.Dir = ".."
	command.Env = append(os.Environ(), fields[:program]...)
	return command, fields[:program]
}

// language is an example with an application.
type language struct{ folder, program, application string }

var languages = []language{
	{"python", "python3", "backend.py"},
	{"fastapi", "/usr/bin/python3", "app:app"}, // Debian's, since another Python does not have its packages
	{"node", "node", "backend.mjs"},
	{"php", "php", "backend.php"},
	{"ruby", "ruby", "backend.rb"},
}

// startBackend runs an example's application by the command in its README, with
// another port.
func startBackend(t testing.TB, folder string) (address string, output *lockedBuffer) {
	t.Helper()
	index := slices.IndexFunc(languages, func(l language) bool { return l.folder == folder })
	program := runtimeOf(t, languages[index].program)
	if folder == "fastapi" && exec.Command(program, "-c", "import fastapi, uvicorn").Run() != nil {
		skip(t, "python3-fastapi and python3-uvicorn are not installed")
	}
	port := strconv.Itoa(freePort(t))
	address = "127.0.0.1:" + port
	line := commandsOf(t, folder, languages[index].application)[0]
	command, _ := commandLine(strings.ReplaceAll(line, "3000", port))
	command.Path = program
	output = new(lockedBuffer)
	command.Env = append(command.Env, "PORT="+port, "DATABASE="+filepath.Join(t.TempDir(), "events.db"), "PYTHONDONTWRITEBYTECODE=1")
	command.Stdout, command.Stderr = output, output
	require.NoError(t, command.Start())
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
		if t.Failed() {
			t.Log(output.String())
		}
	})
	require.Eventually(t, func() bool {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			conn.Close()
		}
		return err == nil
	}, patience, 20*time.Millisecond, "the backend of %s", folder)
	return address, output
}

// example is a running example. Only the ports, the secrets and the paths of the
// secrets' files differ from its README.
type example struct {
	*server
	folder  string
	changes *strings.Replacer
}

// startExample runs an example's Caddyfile, with the variables that its README
// sets. The example must answer 404 to a wrong path.
func startExample(t testing.TB, folder string, upstreams map[string]string) *example {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(examples, folder, "Caddyfile"))
	require.NoError(t, err)
	program, err := filepath.Abs(binary)
	require.NoError(t, err)
	s := newServer(t)
	file := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(file, []byte(secret+"\n"), 0o600))

	_, port, _ := strings.Cut(s.address, ":")
	changes := []string{
		"localhost:8443", s.address,
		"https://localhost/", "https://" + s.address + "/",
		"wsec_demo", secret,
		"wsec_support", secret,
		"/run/credentials/caddy-elevenlabs.service/elevenlabs_webhook_secret", file,
		"/run/secrets/elevenlabs_webhook_secret", file,
		"/etc/caddy-elevenlabs/elevenlabs_webhook_secret", file,
		"go run ./xcaddy", program,
		"docker compose exec caddy " + "caddy", program,
		"/usr/local/bin/caddy-elevenlabs", program,
	}
	changes = slices.Grow(changes, 2*len(upstreams))
	for from, to := range upstreams {
		changes = append(changes, from, to)
	}
	e := &example{s, folder, strings.NewReplacer(changes...)}
	caddyfile := e.changes.Replace(string(content))
	if strings.Contains(caddyfile, "\nlocalhost {") { // without a port, so the ports are global options
		ports := fmt.Sprintf("{\n\thttp_port %d\n\thttps_port %s\n", freePort(t), port)
		caddyfile = strings.Replace(caddyfile, "{\n", ports, 1)
	}
	require.Contains(t, caddyfile, port)
	require.NoError(t, os.WriteFile(s.file, []byte(caddyfile), 0o600))
	if strings.Contains(caddyfile, "{env.") {
		run, assignments := commandLine(e.changes.Replace(commandsOf(t, folder, " run --config ")[0]))
		require.Equal(t, []string{program, "run", "--config", "examples/" + folder + "/Caddyfile"}, run.Args)
		s.env = assignments
	}
	s.serve()

	wrong := s.event([]byte(transcript))
	wrong.URL.Path += "/"
	client := s.client("HTTP/1.1")
	defer client.CloseIdleConnections()
	require.Equal(t, 404, send(t, client, wrong).status)
	return e
}

// sendAsREADME sends an event by each command in the example's README.
func (e *example) sendAsREADME() {
	e.t.Helper()
	for _, line := range commandsOf(e.t, e.folder, "elevenlabs send ") {
		command, assignments := commandLine(e.changes.Replace(line))
		command.Env = slices.Concat(os.Environ(), e.env, assignments)
		output, err := command.CombinedOutput()
		require.NoError(e.t, err, "%s: %s", line, output)
		assert.Regexp(e.t, `(?m)^ok .* 200 `, string(output), line)
	}
}
