package send

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/clitest"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/delivery"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"
)

// sdkDir is where `npm ci` puts the official SDK.
const sdkDir = "../../../testdata/vectors"

// needsSDK skips a test where Node or the SDK is missing, or fails if
// TEST_NO_SKIP is set. It returns the SDK's directory.
func needsSDK(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs(sdkDir)
	require.NoError(t, err)
	_, err = exec.LookPath("node")
	if err == nil {
		_, err = os.Stat(filepath.Join(dir, "node_modules"))
	}
	if err != nil {
		if os.Getenv("TEST_NO_SKIP") != "" {
			require.NoError(t, err)
		}
		t.Skip("Node, or the SDK (npm ci in caddymodule/testdata/vectors), is missing")
	}
	return dir
}

func TestTheOfficialSDKAcceptsEveryEventAndRejectsForgeriesExceptTheFuture(t *testing.T) {
	backend := exec.Command("node", "testdata/send/sdk.mjs", needsSDK(t))
	backend.Env = append(os.Environ(), "SECRET="+clitest.Secret)
	var complaints bytes.Buffer
	backend.Stderr = &complaints
	stdout, err := backend.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, backend.Start())
	defer func() {
		_ = backend.Process.Kill()
		_ = backend.Wait()
		assert.Empty(t, complaints.String())
	}()
	port, err := bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err)

	t.Setenv("ELEVENLABS_WEBHOOK_SECRET", clitest.Secret)
	send := func(args ...string) clitest.Outcome {
		return clitest.Run(NewCmdSend, cmdutil.Env{Now: time.Now}, "", append([]string{"send", "http://127.0.0.1:" + strings.TrimSpace(port), "--json"}, args...)...)
	}
	for _, args := range [][]string{{"--failed"}, {"--failed", "--event", "audio"}, {"--turns", "270"}, {"--turns", "1"}} {
		require.NoError(t, send(args...).Err, args)
	}
	outcome := send("--all", "--concurrency", "4")
	assert.Equal(t, 2, outcome.Code)
	statuses := map[string]int{}
	for line := range strings.Lines(outcome.Stdout) {
		var r delivery.Result
		require.NoError(t, json.Unmarshal([]byte(line), &r))
		statuses[r.Event+r.Forged] = r.Status
	}
	want := map[string]int{}
	for _, eventType := range facts.EventTypeNames {
		want[eventType] = 200
	}
	for _, f := range delivery.Forgeries {
		want["post_call_transcription"+f.Name] = 401
	}
	want["post_call_transcriptionfuture"] = 200 // the SDK takes any time in the future, so send reports it
	assert.Equal(t, want, statuses)
	assert.Equal(t, "check failed: 1 of 21 deliveries not as expected", outcome.Err.Error())
}
