package backfill

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/clitest"
)

func TestATerminalShowsHowFarItIs(t *testing.T) {
	m := newMachine(t)
	m.calls()
	m.arrived = func() { time.Sleep(1100 * time.Millisecond) } // a slow server; the bar shows after a second
	args := append([]string{"backfill", m.url, "--since", "24h"}, m.trust...)
	drawn, err := clitest.OnTerminal(t, NewCmdBackfill, m.env, args...)
	require.NoError(t, err)
	assert.Contains(t, drawn, "sending")
	assert.Contains(t, drawn, "2/3")
	assert.Contains(t, drawn, "\x1b[32msent   \x1b[0m")
	assert.Equal(t, 1, strings.Count(drawn, "RESULT"))
}
