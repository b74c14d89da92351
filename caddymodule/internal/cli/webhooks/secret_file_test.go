package webhooks

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
)

func TestTheSecretsFileIsReadableToItsOwnerOnly(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there are no such modes on Windows")
	}
	for _, command := range []string{"create --name gateway --url " + testURL, "rotate wh_1"} {
		e := newElevenLabs(t)
		addOne(e)
		file := filepath.Join(t.TempDir(), "secret")
		got := e.run(append(strings.Fields(command), "--secret-out", file)...)
		require.NoError(t, got.Err)
		info, err := os.Stat(file)
		require.NoError(t, err)
		assert.Equal(t, os.FileMode(0o600), info.Mode())
		assert.NotContains(t, got.Stdout+got.Stderr, "wsec_new_1")
	}
}

func TestNothingIsCreatedIfTheSecretsFileCannotBe(t *testing.T) {
	folder := t.TempDir()
	there := filepath.Join(folder, "there")
	require.NoError(t, os.WriteFile(there, []byte("precious"), 0o644))
	for _, file := range []string{there, filepath.Join(folder, "missing", "secret"), folder} {
		for _, command := range []string{"create --name gateway --url " + testURL, "rotate wh_1"} {
			e := newElevenLabs(t)
			addOne(e)
			got := e.run(append(strings.Fields(command), "--secret-out", file)...)
			require.ErrorContains(t, got.Err, "creating the file for the secret, so nothing was created at ElevenLabs: open ")
			assert.Equal(t, 1, got.Code)
			assert.Empty(t, got.Stdout)
			assert.Empty(t, e.changes)
		}
	}
	text, err := os.ReadFile(there)
	require.NoError(t, err)
	assert.Equal(t, "precious", string(text))
}

func TestTheSecretIsInTheFileBeforeAnythingElseIsDone(t *testing.T) {
	e := newElevenLabs(t)
	file := filepath.Join(t.TempDir(), "secret")
	e.arrived = func(change string) {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		if change == "POST /v1/workspace/webhooks" {
			assert.Empty(t, text)
		} else {
			assert.Equal(t, "wsec_new_1", string(text), change)
		}
	}
	require.NoError(t, e.run("create", "--name", "gateway", "--url", testURL, "--secret-out", file, "--retries", "--attach").Err)
	assert.Len(t, e.changes, 3)
}

func TestNoFileIsLeftIfTheWebhookIsNotCreated(t *testing.T) {
	e := newElevenLabs(t)
	e.faults["POST /v1/workspace/webhooks"] = http.StatusForbidden
	file := filepath.Join(t.TempDir(), "secret")
	got := e.run("create", "--name", "gateway", "--url", testURL, "--secret-out", file)
	require.ErrorContains(t, got.Err, "No.")
	assert.Equal(t, 1, got.Code)
	assert.NoFileExists(t, file)
}

func TestWhatIsToBeDoneIfItIsNotKnownWhetherAWebhookWasCreated(t *testing.T) {
	e := newElevenLabs(t)
	e.Fault(e.Lose)
	file := filepath.Join(t.TempDir(), "secret")
	got := e.run("create", "--name", "gateway", "--url", testURL, "--secret-out", file, "--region", "eu")
	require.ErrorContains(t, got.Err, "ElevenLabs may have done it all the same: look with `caddy elevenlabs webhooks list --region eu`, and delete the new webhook, if there is one: its secret is lost")
	assert.Equal(t, 1, got.Code)
	assert.NotNil(t, e.Webhook("wh_new_1"))
	assert.NoFileExists(t, file)
}

func TestAnInterruptHidesNotThatAWebhookMayHaveBeenCreated(t *testing.T) {
	e := newElevenLabs(t)
	e.Fault(e.Lose)
	ctx, interrupt := context.WithCancel(t.Context())
	e.arrived = func(string) { interrupt() }
	_, err := e.runWith(ctx, strings.NewReader(""), io.Discard, "create", "--name", "gateway", "--url", testURL, "--print-secret")
	require.ErrorContains(t, err, "delete the new webhook, if there is one: its secret is lost")
	assert.NotNil(t, e.Webhook("wh_new_1"))
}

// A program whose standard output nobody reads any more is killed by SIGPIPE, if it
// does not ask not to be. The test runs itself as that program.
func TestAWebhookWhoseSecretGoesIntoABrokenPipeIsDeletedAgain(t *testing.T) {
	const child = "CREATES_WEBHOOK"
	if os.Getenv(child) != "" {
		e := newElevenLabs(t)
		stdout := os.Stdout
		os.Stdout = os.Stderr // for package testing
		_, err := e.runWith(t.Context(), strings.NewReader(""), stdout, "create", "--name", "gateway", "--url", testURL, "--print-secret")
		require.ErrorContains(t, err, "the new webhook wh_new_1 was deleted again")
		require.Nil(t, e.Webhook("wh_new_1"))
		return
	}
	reader, writer, err := os.Pipe()
	require.NoError(t, err)
	require.NoError(t, reader.Close())
	self := exec.Command(os.Args[0], "-test.run", "^"+t.Name()+"$")
	self.Env = append(os.Environ(), child+"=1")
	self.Stdout = writer
	require.NoError(t, self.Run())
	require.NoError(t, writer.Close())
}

// full is a standard output that takes nothing.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

func TestAWebhookWhoseSecretCannotBeStoredIsDeletedAgain(t *testing.T) {
	e := newElevenLabs(t)
	_, err := e.runWith(t.Context(), strings.NewReader(""), full{}, "create", "--name", "gateway", "--url", testURL, "--print-secret", "--attach")
	require.ErrorContains(t, err, "storing the secret: no space left on device; the new webhook wh_new_1 was deleted again")
	assert.Equal(t, 1, cmdutil.ExitCode(err))
	assert.Nil(t, e.Webhook("wh_new_1"))
	assert.Len(t, e.changes, 2)

	e = newElevenLabs(t)
	e.faults["DELETE /v1/workspace/webhooks/wh_new_1"] = http.StatusForbidden
	_, err = e.runWith(t.Context(), strings.NewReader(""), full{}, "create", "--name", "gateway", "--url", testURL, "--print-secret")
	require.ErrorContains(t, err, "the new webhook wh_new_1 is of no use without it, but could not be deleted: ")
	require.ErrorContains(t, err, "delete it: caddy elevenlabs webhooks delete wh_new_1")
}

// TestAnInterruptLosesNoSecretAndSaysWhatIsLeft interrupts the command while it
// waits for the answer to each of its changes, and before the first.
func TestAnInterruptLosesNoSecretAndSaysWhatIsLeft(t *testing.T) {
	for name, test := range map[string]struct {
		during     string
		done, left string
		created    bool
	}{
		"before":    {"", "", "", false},
		"creating":  {"POST /v1/workspace/webhooks", "create,secret", "update,attach", true},
		"updating":  {"PATCH /v1/workspace/webhooks/wh_new_1", "create,secret", "update,attach", true},
		"attaching": {"PATCH /v1/convai/settings", "create,secret,update", "attach", true},
	} {
		t.Run(name, func(t *testing.T) {
			e := newElevenLabs(t)
			ctx, interrupt := context.WithCancel(t.Context())
			defer interrupt()
			if test.during == "" {
				interrupt()
			}
			e.arrived = func(change string) {
				if change == test.during {
					interrupt()
				}
			}
			file := filepath.Join(t.TempDir(), "secret")
			var stdout bytes.Buffer
			_, err := e.runWith(ctx, strings.NewReader(""), &stdout, "create", "--name", "gateway", "--url", testURL, "--secret-out", file, "--retries", "--attach", "--json")
			require.ErrorContains(t, err, "interrupted")
			assert.Equal(t, 1, cmdutil.ExitCode(err))
			assert.Equal(t, [2]string{test.done, test.left}, stepsIn(t, stdout.Bytes()))
			if !test.created {
				assert.NoFileExists(t, file)
				assert.Empty(t, e.changes)
				return
			}
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			assert.Equal(t, "wsec_new_1", string(text))
			assert.NotNil(t, e.Webhook("wh_new_1"))
		})
	}
}
