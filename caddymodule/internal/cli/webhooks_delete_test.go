package cli

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestDeleteNeedsYesWithoutATerminal(t *testing.T) {
	e := newElevenLabs(t)
	addOne(e)
	var stdout bytes.Buffer
	stderr, err := e.runWith(t.Context(), strings.NewReader("y\n"), &stdout, "delete", "wh_1")
	require.ErrorContains(t, err, "there is no terminal to ask at: give --yes")
	assert.Equal(t, 1, ExitCode(err))
	assert.Empty(t, stdout.String()+stderr)
	assert.Empty(t, e.changes)
}

func TestDeleteIsRefusedIfItIsNotKnownWhatUsesTheWebhook(t *testing.T) {
	for _, fault := range []string{"GET /v1/convai/settings", "GET /v1/convai/agents/agent_1"} {
		e := newElevenLabs(t)
		two(e)
		e.faults[fault] = http.StatusForbidden
		got := e.run("delete", "wh_1", "--yes", "--agent", "agent_1")
		require.ErrorContains(t, got.err, "it is not known whether anything uses webhook wh_1")
		assert.Equal(t, 1, got.code)
		assert.Empty(t, e.changes)
	}
}
