package webhooks

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
)

func TestDeleteNeedsYesWithoutATerminal(t *testing.T) {
	e := newElevenLabs(t)
	addOne(e)
	var stdout bytes.Buffer
	stderr, err := e.runWith(t.Context(), strings.NewReader("y\n"), &stdout, "delete", "wh_1")
	require.ErrorContains(t, err, "there is no terminal to ask at: give --yes")
	assert.Equal(t, 1, cmdutil.ExitCode(err))
	assert.Empty(t, stdout.String()+stderr)
	assert.Empty(t, e.changes)
}
