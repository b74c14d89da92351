package main

import (
	"fmt"
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestDoctorWarnsOfAServerThatPrintsItsEnvironment(t *testing.T) {
	t.Setenv("ELEVENLABS_WEBHOOK_SECRET", realSecret)
	for _, test := range []struct {
		flag  string
		warns bool
	}{{"--environ", true}, {"--watch", false}} {
		file := writeFile(t, fmt.Sprintf("{\nadmin off\n}\nhttp://localhost:%d {\nelevenlabs_webhook /webhook {\nsecret {env.ELEVENLABS_WEBHOOK_SECRET}\nreverse_proxy localhost:1\n}\n}\n", freePort(t)))
		server := exec.Command(binary, "run", test.flag, "--config", file, "--adapter", "caddyfile")
		server.Env = append(os.Environ(), "XDG_DATA_HOME="+dataDir, "XDG_CONFIG_HOME="+t.TempDir())
		require.NoError(t, server.Start())
		t.Cleanup(func() {
			_ = server.Process.Kill()
			_ = server.Wait()
		})
		got := elevenlabs(t, "", "doctor", "--config", file, "--adapter", "caddyfile", "--no-send")
		warning := fmt.Sprintf("process %d was started by `caddy run --environ`, which prints the secret into its log", server.Process.Pid)
		if test.warns {
			assert.Contains(t, got.stdout, warning)
		} else {
			assert.NotContains(t, got.stdout, "--environ")
		}
	}
}
