package webhooks

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/clitest"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/elevenlabs/elevenlabstest"
)

func TestEnableReadsTheAPIKeyOnce(t *testing.T) {
	e := newElevenLabs(t)
	e.Add(map[string]any{"webhook_id": "wh_1", "is_disabled": true})
	got := clitest.Run(NewCmdWebhooks, e.env(), elevenlabstest.Key, "webhooks", "enable", "gateway", "--api-key-file", "-")
	require.NoError(t, got.Err)
	assert.Equal(t, false, e.Webhook("wh_1")["is_disabled"])
}

func TestNothingIsDeletedIfItIsUnknownWhatUsesTheWebhook(t *testing.T) {
	for _, fault := range []string{"GET /v1/convai/settings", "GET /v1/convai/agents/agent_1"} {
		e := newElevenLabs(t)
		two(e)
		e.faults[fault] = http.StatusForbidden
		got := e.run("delete", "wh_1", "--yes", "--agent", "agent_1")
		require.ErrorContains(t, got.Err, "it is unknown whether anything uses webhook wh_1")
		assert.Equal(t, 1, got.Code)
		assert.Empty(t, e.changes)
	}
}
