package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// initAsScript runs init in a script. A listening application is at the backend.
func initAsScript(t *testing.T, dir, backend, domain string, flags ...string) outcome {
	t.Helper()
	args := append([]string{"init", "--domain", domain, "--backend", backend, "--dir", dir, "--secret-file", "-"}, flags...)
	return elevenlabs(t, realSecret+"\n", args...)
}

// The commands are those that init prints, and the files those that it has written.
func TestTheFilesThatInitWritesServeEventsAndAreNotOverwritten(t *testing.T) {
	runtimeOf(t, "sh")
	for name, test := range map[string]struct {
		folder string
		flags  []string
	}{
		"with an inbox":                        {"plain", nil},
		"without one, in a folder with blanks": {"with some blanks", []string{"--inbox=false", "--path", "/webhooks/elevenlabs"}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBackend(t)
			s := newServer(t)
			dir := filepath.Join(t.TempDir(), test.folder)
			require.NoError(t, os.Mkdir(dir, 0o755))
			got := initAsScript(t, dir, b.address(), s.address, test.flags...)
			require.Equal(t, 0, got.code, got.stdout+got.stderr)
			s.file = filepath.Join(dir, "Caddyfile")
			caddyfile, err := os.ReadFile(s.file)
			require.NoError(t, err)
			format := exec.Command(binary, "fmt", s.file)
			formatted, err := format.Output()
			require.NoError(t, err, "it is formatted")
			assert.Equal(t, string(formatted), string(caddyfile))

			s.env = []string{"XDG_DATA_HOME=" + t.TempDir()} // where the inbox is
			s.serve()
			_, rest, found := strings.Cut(got.stdout, "send a test event to your application:\n")
			require.True(t, found, got.stdout)
			command, _, _ := strings.Cut(rest, "\n")
			withCaddyInThePath(t)
			output, err := exec.Command("sh", "-c", command).CombinedOutput()
			require.NoError(t, err, "%s", output)
			assert.Regexp(t, `(?m)^ok .* 200 `, string(output))
			s.eventually("the application to have the event", func() bool { return len(b.take()) == 1 })

			again := initAsScript(t, dir, "127.0.0.1:1", "other.example.com")
			assert.Equal(t, 1, again.code)
			assert.Contains(t, again.stderr, "init overwrites nothing")
			assert.Contains(t, again.stdout, "other.example.com {")
			after, err := os.ReadFile(s.file)
			require.NoError(t, err)
			assert.Equal(t, string(caddyfile), string(after))
		})
	}
}

// Caddy obtains no certificate when it validates.
func TestTheCaddyfileOfInitIsValidAndFormattedForEachKindOfAnswer(t *testing.T) {
	t.Parallel()
	for _, backend := range []string{"3000", "http://app_1", "https://app.internal", "unix//run/app.sock", "[::1]:3000"} {
		dir := t.TempDir()
		got := initAsScript(t, dir, backend, "hooks.localhost")
		assert.Contains(t, got.stdout, "loads\n", backend)
		assert.Contains(t, got.stdout, "ok    url          https://hooks.localhost/webhooks/elevenlabs\n")
		var stderr bytes.Buffer
		format := exec.Command(binary, "fmt", "--diff", filepath.Join(dir, "Caddyfile"))
		format.Stderr = &stderr
		formatted, err := format.Output()
		require.NoError(t, err, "%s", stderr.String())
		assert.NotRegexp(t, `(?m)^[+-]`, string(formatted))
	}
}
