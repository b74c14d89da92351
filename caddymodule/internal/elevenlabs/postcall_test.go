package elevenlabs

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/elevenlabs/elevenlabstest"
)

func TestUpdateKeepsAllSettingsThatAreNotChanged(t *testing.T) {
	tests := []struct {
		name   string
		before map[string]any
		change func(*PostCall)
		after  map[string]any
	}{
		{
			"attach",
			map[string]any{"post_call_webhook_id": nil, "events": []any{"transcript"}, "transcript_format": "json", "exclude_transcript": true, "send_audio": nil, "of_next_year": []any{1.5, "a"}},
			func(p *PostCall) { p.WebhookID = "wh_1" },
			map[string]any{"post_call_webhook_id": "wh_1", "events": []any{"transcript"}, "transcript_format": "json", "exclude_transcript": true, "send_audio": nil, "of_next_year": []any{1.5, "a"}},
		},
		{
			"detach",
			map[string]any{"post_call_webhook_id": "wh_0", "send_audio": true},
			func(p *PostCall) { p.WebhookID = "" },
			map[string]any{"post_call_webhook_id": nil, "send_audio": true},
		},
		{
			"events and format",
			map[string]any{"post_call_webhook_id": "wh_1", "events": []any{"audio"}, "exclude_transcript": false},
			func(p *PostCall) { p.Events, p.TranscriptFormat = []string{}, "opentelemetry" },
			map[string]any{"post_call_webhook_id": "wh_1", "events": []any{}, "exclude_transcript": false, "transcript_format": "opentelemetry"},
		},
		{
			"attach without earlier settings",
			nil,
			func(p *PostCall) { p.WebhookID = "wh_1" },
			map[string]any{"post_call_webhook_id": "wh_1"},
		},
		{
			"no change",
			map[string]any{"post_call_webhook_id": "wh_1", "events": []any{}},
			func(*PostCall) {},
			map[string]any{"post_call_webhook_id": "wh_1", "events": []any{}},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			server := elevenlabstest.New(t)
			server.Add(map[string]any{"webhook_id": "wh_1"})
			server.SetSettings(test.before)
			server.SetAgent("agent_1", test.before)
			siblings := server.AgentSiblings("agent_1")
			c := newClient(t, server)
			ctx := t.Context()

			settings, err := c.PostCall(ctx)
			require.NoError(t, err)
			test.change(&settings)
			require.NoError(t, c.UpdatePostCall(ctx, settings))
			assert.Equal(t, test.after, server.Settings())

			settings, err = c.AgentPostCall(ctx, "agent_1")
			require.NoError(t, err)
			test.change(&settings)
			require.NoError(t, c.UpdateAgentPostCall(ctx, "agent_1", settings))
			assert.Equal(t, test.after, server.Agent("agent_1"))
			assert.Equal(t, siblings, server.AgentSiblings("agent_1"))
		})
	}
}

func TestOnlyTheWebhooksObjectIsSent(t *testing.T) {
	server := elevenlabstest.New(t)
	server.SetAgent("agent_1", nil)
	c := newClient(t, server)
	tests := []struct {
		write func(context.Context, *Client) error
		body  string
	}{
		{writeSettings, `{"webhooks":{"post_call_webhook_id":null}}`},
		{writeAgent, `{"platform_settings":{"workspace_overrides":{"webhooks":{"post_call_webhook_id":null}}}}`},
	}
	for _, test := range tests {
		require.NoError(t, test.write(t.Context(), c))
		assert.Equal(t, test.body, string(server.Requests()[0].Body))
	}
}

func TestAgentWithoutOverridesGetsOnlyTheWebhooksObject(t *testing.T) {
	for _, platform := range []string{`{}`, `{"workspace_overrides":null}`, `{"workspace_overrides":{}}`, `{"workspace_overrides":{"webhooks":null}}`} {
		server := elevenlabstest.New(t)
		server.SetAgent("agent_1", nil)
		c := newClient(t, server)
		server.Fault(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"agent_id":"agent_1","platform_settings":`+platform+`}`)
		})
		settings, err := c.AgentPostCall(t.Context(), "agent_1")
		require.NoError(t, err)
		assert.Empty(t, settings.WebhookID)
		require.NoError(t, c.UpdateAgentPostCall(t.Context(), "agent_1", settings))
		assert.JSONEq(t, `{"platform_settings":{"workspace_overrides":{"webhooks":{"post_call_webhook_id":null}}}}`, string(server.Requests()[1].Body))
	}
}

func TestPostCallReadsKnownKeysAndKeepsOthers(t *testing.T) {
	var got PostCall
	require.NoError(t, json.Unmarshal([]byte(`{"post_call_webhook_id":"wh_1","events":["audio"],"transcript_format":"json","exclude_transcript":false,"a":1}`), &got))
	assert.Equal(t, PostCall{
		WebhookID: "wh_1", Events: []string{"audio"}, TranscriptFormat: "json", ExcludeTranscript: new(false),
		Extra: map[string]json.RawMessage{"a": json.RawMessage("1")},
	}, got)
	require.NoError(t, json.Unmarshal([]byte("null"), &got))
	assert.Equal(t, PostCall{}, got)
	assert.ErrorContains(t, json.Unmarshal([]byte(`{"events":5}`), &got), "events: ")
}

func TestUnknownWebhookOrAgentIsAnError(t *testing.T) {
	server := elevenlabstest.New(t)
	c := newClient(t, server)
	assert.ErrorContains(t, c.UpdatePostCall(t.Context(), PostCall{WebhookID: "wh_0"}), "changing the workspace's ElevenAgents settings: ElevenLabs answered 404 webhook_not_found")
	assert.ErrorContains(t, readAgent(t.Context(), c), "reading agent agent_1: ElevenLabs answered 404 agent_not_found: The agent was not found")
	assert.ErrorContains(t, writeAgent(t.Context(), c), "changing agent agent_1: ElevenLabs answered 404 agent_not_found")
}
