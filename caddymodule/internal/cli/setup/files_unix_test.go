//go:build unix

package setup

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTheModesOfTheFilesAreThoseOfASecretAndOfAConfigurationWhateverTheUmask(t *testing.T) {
	t.Setenv("ELEVENLABS_WEBHOOK_SECRET", secret)
	for _, umask := range []int{0, 0o022, 0o077, 0o777} {
		env, _ := environment(t)
		dir := t.TempDir()
		before := syscall.Umask(umask)
		got := initIn(t, env, dir, usual)
		syscall.Umask(before)
		require.NoError(t, got.Err)
		for name, mode := range map[string]os.FileMode{secretName: 0o600, caddyfileName: 0o644} {
			info, err := os.Stat(filepath.Join(dir, name))
			require.NoError(t, err)
			assert.Equal(t, mode, info.Mode(), "%s with the umask %03o", name, umask)
		}
	}
}
