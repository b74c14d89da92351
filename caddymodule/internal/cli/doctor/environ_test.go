package doctor

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
)

func TestDoctorFindsAServerThatPrintsItsEnvironment(t *testing.T) {
	config := filepath.Join(t.TempDir(), "Caddyfile")
	require.NoError(t, os.WriteFile(config, nil, 0o600))
	for _, test := range []struct {
		command string
		want    string
	}{
		{"/usr/bin/caddy run --environ --config CONFIG", "42"},
		{"caddy run --config=CONFIG --adapter caddyfile -e", "42"},
		{"caddy run --environ", "42"}, // in the folder of the file
		{"caddy run --environ --pidfile x --config Caddyfile --watch", "42"},
		{"caddy run --config CONFIG", ""},
		{"caddy run --environ=false --config CONFIG", ""},
		{"caddy run --environ --config /nonexistent", ""},
		{"caddy start --environ --config CONFIG", ""},
		{"caddy", ""},
		{"", ""},
	} {
		process42(t, filepath.Dir(config), strings.ReplaceAll(test.command, "CONFIG", config))
		assert.Equal(t, test.want, printsEnvironment(config), test.command)
		assert.Empty(t, printsEnvironment("/nonexistent"))
	}
	proc = "/nonexistent"
	assert.Empty(t, printsEnvironment(config))
}

// process42 lets doctor see one process, until the test ends.
func process42(t *testing.T, workingDir, command string) {
	t.Helper()
	before := proc
	t.Cleanup(func() { proc = before })
	proc = t.TempDir()
	dir := filepath.Join(proc, "42")
	require.NoError(t, os.Mkdir(dir, 0o700))
	require.NoError(t, os.Mkdir(filepath.Join(proc, "self"), 0o700))
	require.NoError(t, os.Symlink(workingDir, filepath.Join(dir, "cwd")))
	arguments := strings.ReplaceAll(command, " ", "\x00") + "\x00"
	require.NoError(t, os.WriteFile(filepath.Join(dir, "cmdline"), []byte(arguments), 0o600))
}

func TestDoctorWarnsOfAServerThatPrintsItsSecret(t *testing.T) {
	for _, test := range []struct {
		name string
		text string // of the secret
		want bool
	}{
		{"a variable", "{env.SECRET}", true},
		{"a file", "{file./run/secret}", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := newPatient(t)
			p.first().Secrets[0] = cmdutil.ConfigSecret{Text: test.text, Value: doctorSecret}
			file := filepath.Join(t.TempDir(), "Caddyfile")
			require.NoError(t, os.WriteFile(file, nil, 0o600))
			process42(t, t.TempDir(), "caddy run --environ --config "+file)
			lines := line(p.run("--config", file), "secret")
			if !test.want {
				assert.NotContains(t, lines, "--environ")
				return
			}
			assert.Contains(t, lines, "warn  secret       process 42 was started by `caddy run --environ`, which prints the secret into its log\n      Remedy: Leave out --environ")
		})
	}
}
