package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The user that runs Caddy is often not the one who wrote the secret's file.
func TestAFileOfTheSecretThatAnotherUserCannotReadIsNamed(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "secret-test-") // t.TempDir is below a directory that others cannot enter
	require.NoError(t, err)
	defer os.RemoveAll(dir)
	require.NoError(t, os.Chmod(dir, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "secret"), []byte(secret), 0o600))
	require.NoError(t, os.Mkdir(filepath.Join(dir, "closed"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "closed", "secret"), []byte(secret), 0o644))
	program := filepath.Join(dir, "caddy")
	require.NoError(t, os.Link(binary, program))

	attributes := &syscall.SysProcAttr{}
	if os.Getuid() == 0 {
		attributes.Credential = &syscall.Credential{Uid: 65534, Gid: 65534} // nobody
	} else {
		require.NoError(t, os.Chmod(filepath.Join(dir, "secret"), 0))
		require.NoError(t, os.Chmod(filepath.Join(dir, "closed"), 0))
		defer os.Chmod(filepath.Join(dir, "closed"), 0o700) //nolint:errcheck // for the removal
	}
	for _, test := range []struct{ path, problem string }{
		{"secret", "/secret cannot be read by the user "},
		{"closed/secret", "/closed/secret cannot be reached by the user "},
		{"closed", "/closed is a directory"},
		{"missing", "/missing does not exist"},
	} {
		config := filepath.Join(dir, "Caddyfile")
		require.NoError(t, os.WriteFile(config, []byte("{\n\tadmin off\n}\n:0 {\n\televenlabs_webhook {\n\t\tsecret {file."+filepath.Join(dir, test.path)+"}\n\t}\n}\n"), 0o644))
		validate := exec.Command(program, "validate", "--config", config)
		validate.SysProcAttr = attributes
		validate.Env = []string{"HOME=" + dir, "XDG_DATA_HOME=/nonexistent", "TMPDIR=/tmp"}
		output, err := validate.CombinedOutput()
		require.ErrorContains(t, err, "exit status 1", "%s", output)
		assert.Contains(t, string(output), test.problem)
		assert.NotContains(t, string(output), secret)
	}
}
