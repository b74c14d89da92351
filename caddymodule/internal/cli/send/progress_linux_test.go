package send

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/clitest"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
)

func TestSendShowsThatItWaitsForASlowAnswer(t *testing.T) {
	answer := make(chan struct{})
	target, trust := clitest.Server(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-answer
	}))
	after := clitest.Drawn(t, NewCmdSend, cmdutil.Env{Now: time.Now}, answer, "sending", append([]string{"send", target}, trust...)...)
	assert.GreaterOrEqual(t, after, time.Second)
}

func TestSendColoursResultsOnATerminalAndPrintsTheSummaryOnce(t *testing.T) {
	t.Setenv("NO_COLOR", "")
	target, trust := clitest.Server(t, new(receiver))
	args := append([]string{"send", target, "--all"}, trust...)
	drawn, err := clitest.OnTerminal(t, NewCmdSend, clitest.Stopped, args...)
	require.NoError(t, err)
	assert.Contains(t, drawn, "\x1b[32mok    \x1b[0m  post_call_audio ")
	assert.Equal(t, 1, strings.Count(drawn, "21 deliveries, all as expected"))

	target, trust = clitest.Server(t, clitest.Answering(500))
	args = append([]string{"send", target, "--count", "2"}, trust...)
	drawn, err = clitest.OnTerminal(t, NewCmdSend, clitest.Stopped, args...)
	assert.Contains(t, drawn, "\x1b[31;1mFAILED\x1b[0;22m  post_call_transcription ")
	assert.EqualError(t, err, "check failed: 2 of 2 deliveries not as expected") // which the program prints
	assert.NotContains(t, drawn, "2 of 2 deliveries")

	t.Setenv("NO_COLOR", "1")
	drawn, _ = clitest.OnTerminal(t, NewCmdSend, clitest.Stopped, args...)
	assert.NotContains(t, drawn, "\x1b[31")
	assert.Contains(t, drawn, "FAILED  post_call_transcription ")
}
