package doctor

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/clitest"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
)

func TestDoctorShowsWhichCheckIsSlow(t *testing.T) {
	p := newPatient(t)
	t.Setenv("ELEVENLABS_WEBHOOK_SECRET", clitest.Secret)
	answer := make(chan struct{})
	target, trust := clitest.Server(t, clitest.Protected(clitest.Secret, p.now, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-answer })))
	t.Chdir(t.TempDir())
	after := clitest.Drawn(t, NewCmdDoctor, cmdutil.Env{Now: time.Now}, answer, "signed", append([]string{"doctor", "--url", target}, trust...)...)
	assert.GreaterOrEqual(t, after, time.Second)
}

func TestDoctorColoursResultsOnATerminalAndPrintsTheSummaryOnce(t *testing.T) {
	t.Setenv("NO_COLOR", "")
	p := newPatient(t)
	p.runCmd = func(env cmdutil.Env, args ...string) clitest.Outcome {
		drawn, err := clitest.OnTerminal(t, NewCmdDoctor, env, args...)
		return clitest.Outcome{Stdout: drawn, Err: err}
	}
	got := p.run()
	require.NoError(t, got.Err)
	assert.Contains(t, got.Stdout, "\x1b[32mok  \x1b[0m  config ")
	assert.Contains(t, got.Stdout, "\x1b[2mskip\x1b[22m  dns ")
	assert.Equal(t, 1, strings.Count(got.Stdout, " ok, 0 failed, 0 warned, 3 skipped"))

	p.handler, p.first().AllowHTTP = clitest.Answering(500), true
	got = p.run()
	assert.Contains(t, got.Stdout, "\x1b[31;1mFAIL\x1b[0;22m  endpoint ")
	assert.Contains(t, got.Stdout, "\x1b[33mwarn\x1b[0m  handler ")
	assert.ErrorContains(t, got.Err, " skipped") // which the program prints
	assert.NotContains(t, got.Stdout, " skipped")

	t.Setenv("NO_COLOR", "1")
	got = p.run()
	assert.NotContains(t, got.Stdout, "\x1b[31")
	assert.Contains(t, got.Stdout, "FAIL  endpoint ")
}
