package send

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/clitest"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/signature"
)

func TestSignPrints(t *testing.T) {
	t.Setenv("ELEVENLABS_WEBHOOK_SECRET", clitest.Secret+"\n")
	body, err := os.ReadFile("testdata/send/body.json")
	require.NoError(t, err)
	for _, test := range []struct{ name, command string }{
		{"now", "sign testdata/send/body.json"},
		{"at", "sign testdata/send/body.json --at 1"},
		{"date", "sign testdata/send/body.json --at 1970-01-01T01:00:01+01:00"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := clitest.Case{Command: test.command}
			text := clitest.Run(NewCmdSign, clitest.Stopped, "", c.Arguments()...)
			json := clitest.Run(NewCmdSign, clitest.Stopped, "", append(c.Arguments(), "--json")...)
			assert.Empty(t, text.Stderr+json.Stderr)
			assert.Equal(t, text.Code, json.Code)
			c.Code = text.Code
			c.Parts = []clitest.Part{{Name: "body", Text: string(body)}, {Name: "output", Text: text.Text()}, {Name: "json", Text: json.Text()}}
			clitest.Golden(t, "testdata/sign/"+test.name+".txtar", c)
		})
	}
}

func TestWhatIsSignedVerifies(t *testing.T) {
	t.Setenv("ELEVENLABS_WEBHOOK_SECRET", clitest.Secret)
	body := "{\"a\": 1}\r\n\xff"
	file := filepath.Join(t.TempDir(), "body")
	require.NoError(t, os.WriteFile(file, []byte(body), 0o600))
	verifier, err := signature.NewVerifier([][]byte{[]byte(clitest.Secret)}, 0, 0, clitest.Stopped.Now)
	require.NoError(t, err)
	for _, source := range []string{file, "-"} {
		outcome := clitest.Run(NewCmdSign, clitest.Stopped, body, "sign", source)
		require.NoError(t, outcome.Err)
		value, found := strings.CutPrefix(outcome.Stdout, "ElevenLabs-Signature: ")
		require.True(t, found)
		_, err := verifier.Verify([]string{strings.TrimSuffix(value, "\n")}, []byte(body))
		assert.NoError(t, err)
	}
}

func TestSignSaysHowItIsUsed(t *testing.T) {
	t.Setenv("ELEVENLABS_WEBHOOK_SECRET", clitest.Secret)
	for _, test := range []struct {
		says string
		args []string
	}{
		{"give one argument, not 0", []string{"sign"}},
		{"reading the body: open no-such-file", []string{"sign", "no-such-file"}},
		{"standard input is empty: there is no body to sign", []string{"sign", "-"}},
		{"--at is given twice", []string{"sign", "-", "--at", "1", "--at", "2"}},
		{"only one thing can come from standard inp", []string{"sign", "-", "--secret-file", "-"}},
		{`--at must be a time such as 2026-11-20T10:00:00Z, or Unix seconds, not "1.5"`, []string{"sign", "-", "--at", "1.5"}},
		{`not "-1"`, []string{"sign", "-", "--at", "-1"}},
		{`not "1234567890123"`, []string{"sign", "-", "--at", "1234567890123"}},
		{`not "2026-11-23"`, []string{"sign", "-", "--at", "2026-11-23"}},
		{`not "1969-12-31T23:59:59Z"`, []string{"sign", "-", "--at", "1969-12-31T23:59:59Z"}},
		{"--at is empty", []string{"sign", "-", "--at", ""}},
		{"ELEVENLABS_X is not set", []string{"sign", "-", "--secret-env", "ELEVENLABS_X"}},
	} {
		stdin := "{}"
		if strings.HasPrefix(test.says, "standard input") {
			stdin = ""
		}
		outcome := clitest.Run(NewCmdSign, cmdutil.Env{Now: time.Now}, stdin, test.args...)
		assert.ErrorContains(t, outcome.Err, test.says)
		assert.Equal(t, 1, outcome.Code, test.says)
		assert.Empty(t, outcome.Stdout, test.says)
	}
}
