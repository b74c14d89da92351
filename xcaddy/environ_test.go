package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// run runs the server by a command and with variables, until it serves.
func (s *server) run(variables []string, words ...string) {
	s.t.Helper()
	s.command = exec.Command(binary, words...)
	s.command.Env = append(os.Environ(), "TMPDIR="+s.spool, "XDG_DATA_HOME="+dataDir, "XDG_CONFIG_HOME="+filepath.Dir(s.file))
	s.command.Env = append(s.command.Env, variables...)
	s.command.Stdout, s.command.Stderr = s.log, s.log
	require.NoError(s.t, s.command.Start())
	go func() {
		defer close(s.done)
		_ = s.command.Wait()
	}()
	s.t.Cleanup(s.stop)
	s.awaitLog("serving initial configuration")
}

// Caddy's own packages start it with --environ.
func TestEnvironPrintsASecretOnlyIfItIsInAVariable(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, secret string
		variables    []string
		printed      bool
	}{
		{"in a variable", "{env.WEBHOOK_SECRET}", []string{"WEBHOOK_SECRET=" + secret}, true},
		{"in a file", "{file." + writeFile(t, secret) + "}", nil, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newServer(t)
			s.write(strings.ReplaceAll(webhook(newBackend(t).address(), ""), "{env.WEBHOOK_SECRET}", test.secret))
			s.run(test.variables, "run", "--environ", "--config", s.file)
			assert.Equal(t, test.printed, strings.Contains(s.log.String(), secret))
		})
	}
}

// The page names the global option for it.
func TestTheAdminEndpointOnASocketIsOfCaddysUserOnly(t *testing.T) {
	t.Parallel()
	const socket = "unix//var/lib/caddy/admin.sock"
	require.Contains(t, readPage(t, "docs/security.md").prose, "`admin "+socket+"`")
	s := newServer(t)
	file := filepath.Join(filepath.Dir(s.file), "admin.sock")
	s.admin = strings.Replace(socket, "/var/lib/caddy/admin.sock", file, 1)
	s.write(webhook(newBackend(t).address(), ""))
	s.run([]string{"WEBHOOK_SECRET=" + secret}, "run", "--config", s.file)
	info, err := os.Stat(file)
	require.NoError(t, err)
	assert.Zero(t, info.Mode().Perm()&0o077)
	for _, where := range [][]string{{"--address", s.admin}, {"--config", s.file}} {
		got := elevenlabs(t, "", append([]string{"status"}, where...)...)
		assert.Equal(t, 0, got.code, got.stderr)
	}
	s.reload(webhook(newBackend(t).address(), "max_size 1MiB"))
}

// What the service's unit and the Compose file hold is seen by others: systemctl show
// and docker inspect print it.
func TestTheUnitAndTheComposeFileKeepTheSecretInAFile(t *testing.T) {
	for _, test := range []struct{ deployment, file, gives, caddyfile, reads string }{
		{
			"systemd", "examples/systemd/caddy-elevenlabs.service", "LoadCredential=elevenlabs_webhook_secret:",
			"examples/systemd/Caddyfile", "{file./run/credentials/caddy-elevenlabs.service/elevenlabs_webhook_secret}",
		},
		{
			"compose", "examples/compose/compose.yaml", "- ./secrets:/run/secrets",
			"examples/compose/Caddyfile", "{file./run/secrets/elevenlabs_webhook_secret}",
		},
	} {
		t.Run(test.deployment, func(t *testing.T) {
			settings := withoutComments(t, test.file)
			assert.Contains(t, settings, test.gives)
			assert.NotContains(t, settings, "--environ")
			assert.NotRegexp(t, `(?i)\bELEVENLABS\w*SECRET\s*[=:]`, strings.ReplaceAll(settings, test.gives, ""), "a variable with the secret")
			assert.NotRegexp(t, `(?i)EnvironmentFile|env_file`, settings)
			assert.Contains(t, withoutComments(t, test.caddyfile), "secret "+test.reads)
		})
	}
}

var comment = regexp.MustCompile(`(?m)(^|\s)#.*$`)

// withoutComments returns a file of the repository.
func withoutComments(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(repository, name))
	require.NoError(t, err)
	return comment.ReplaceAllString(string(content), "")
}

// systemd itself checks the units, except for whether the program is installed.
func TestTheUnitsAreThoseThatSystemdTakes(t *testing.T) {
	analyze := runtimeOf(t, "systemd-analyze")
	files, err := filepath.Glob("../examples/systemd/caddy-elevenlabs*.*")
	require.NoError(t, err)
	require.Len(t, files, 3)
	program, err := filepath.Abs(binary)
	require.NoError(t, err)
	dir := t.TempDir()
	units := make([]string, 0, len(files))
	for _, file := range files {
		content, err := os.ReadFile(file)
		require.NoError(t, err)
		unit := filepath.Join(dir, filepath.Base(file))
		require.NoError(t, os.WriteFile(unit, []byte(strings.ReplaceAll(string(content), "/usr/local/bin/caddy-elevenlabs", program)), 0o644))
		units = append(units, unit)
	}
	output, err := exec.Command(analyze, append([]string{"verify"}, units...)...).CombinedOutput()
	require.NoError(t, err, "%s", output)
	assert.NotContains(t, string(output), "caddy-elevenlabs", "a warning")
}
