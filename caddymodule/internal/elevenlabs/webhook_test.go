package elevenlabs

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/elevenlabs/elevenlabstest"
)

func TestWebhooksAreCreatedListedChangedAndDeleted(t *testing.T) {
	server := elevenlabstest.New(t)
	c := newClient(t, server)
	ctx := t.Context()
	id, secret, err := c.CreateWebhook(ctx, WebhookSettings{Name: "gateway", URL: "https://hooks.example.com/", RequestHeaders: map[string]string{"X-Env": "prod"}})
	require.NoError(t, err)
	assert.Equal(t, "wsec_new_1", secret)
	require.NoError(t, c.UpdateWebhook(ctx, id, WebhookUpdate{Name: "renamed", IsDisabled: true, RetryEnabled: new(true), Events: []string{"speech_to_text"}}))
	created := server.Webhook(id)
	assert.Equal(t, map[string]any{"X-Env": "prod"}, created["request_headers"], "what is not sent is left alone")
	assert.Equal(t, true, created["retry_enabled"])

	all, err := c.Webhooks(ctx)
	require.NoError(t, err)
	assert.Equal(t, []Webhook{{
		ID: id, Name: "renamed", URL: "https://hooks.example.com/", AuthType: "hmac", CreatedAt: 1_763_900_000, IsDisabled: true,
		Usage: []string{"Speech to Text"}, Events: []string{"speech_to_text"}, Extra: map[string]json.RawMessage{},
	}}, all)

	require.ErrorContains(t, c.DeleteWebhook(ctx, id), "deleting webhook wh_new_1: ElevenLabs answered 405 webhook_in_use: The webhook is in use and cannot be deleted")
	require.NoError(t, c.UpdateWebhook(ctx, id, WebhookUpdate{Name: "renamed", Events: []string{}}))
	assert.Equal(t, []any{}, server.Webhook(id)["events"], "no events is not the same as no change")
	require.NoError(t, c.DeleteWebhook(ctx, id))
	assert.Nil(t, server.Webhook(id))
	require.ErrorContains(t, c.DeleteWebhook(ctx, id), "ElevenLabs answered 404 webhook_not_found")
}

func TestAllThatTheListTellsIsRead(t *testing.T) {
	for name, test := range map[string]struct {
		json string
		want Webhook
	}{
		"everything": {
			`{"webhook_id":"wh_1","name":"a","webhook_url":"https://a.example/","auth_type":"mtls","created_at_unix":5,"is_disabled":true,"is_auto_disabled":true,
			  "usage":[{"usage_type":"Flows","since":1},{"usage_type":"Dubbing"}],"events":["flows"],"most_recent_failure_error_code":401,"most_recent_failure_timestamp":7,
			  "retry_enabled":true,"of_next_year":{"a": 1e400}}`,
			Webhook{
				ID: "wh_1", Name: "a", URL: "https://a.example/", AuthType: "mtls", CreatedAt: 5, IsDisabled: true, IsAutoDisabled: true,
				Usage: []string{"Flows", "Dubbing"}, Events: []string{"flows"}, LastFailureCode: new(401), LastFailure: new(int64(7)),
				Extra: map[string]json.RawMessage{"retry_enabled": json.RawMessage("true"), "of_next_year": json.RawMessage(`{"a": 1e400}`)},
			},
		},
		"the least":       {`{"webhook_id":"wh_1"}`, Webhook{ID: "wh_1", Extra: map[string]json.RawMessage{}}},
		"nothing uses it": {`{"webhook_id":"wh_1","usage":[]}`, Webhook{ID: "wh_1", Usage: []string{}, Events: []string{}, Extra: map[string]json.RawMessage{}}},
		"no event uses it": {
			`{"webhook_id":"wh_1","usage":[{"usage_type":"ConvAI Settings"}],"events":null}`,
			Webhook{ID: "wh_1", Usage: []string{"ConvAI Settings"}, Events: []string{}, Extra: map[string]json.RawMessage{}},
		},
		"an event uses it that is not told": {
			`{"webhook_id":"wh_1","usage":[{"usage_type":"ConvAI Settings"},{"usage_type":"Speech to Text"}]}`,
			Webhook{ID: "wh_1", Usage: []string{"ConvAI Settings", "Speech to Text"}, Extra: map[string]json.RawMessage{}},
		},
		"something unknown uses it": {
			`{"webhook_id":"wh_1","usage":[{"usage_type":"Next Year"}]}`,
			Webhook{ID: "wh_1", Usage: []string{"Next Year"}, Extra: map[string]json.RawMessage{}},
		},
		"events without usages": {`{"webhook_id":"wh_1","usage":null,"events":[]}`, Webhook{ID: "wh_1", Extra: map[string]json.RawMessage{}}},
		"null":                  {`{"webhook_id":"wh_1","usage":null,"events":null,"most_recent_failure_error_code":null}`, Webhook{ID: "wh_1", Extra: map[string]json.RawMessage{}}},
		"a secret is dropped":   {`{"webhook_id":"wh_1","webhook_secret":"wsec_1"}`, Webhook{ID: "wh_1", Extra: map[string]json.RawMessage{}}},
	} {
		t.Run(name, func(t *testing.T) {
			got := Webhook{ID: "wh_0", LastFailureCode: new(1)}
			require.NoError(t, json.Unmarshal([]byte(test.json), &got))
			assert.Equal(t, test.want, got)
		})
	}
}

func TestAWebhookThatCannotBeReadIsAnError(t *testing.T) {
	for body, want := range map[string]string{
		`{}`:                                   "there is a webhook without webhook_id",
		`[]`:                                   "cannot unmarshal array",
		`{"webhook_id":5}`:                     "webhook_id: json: cannot unmarshal number",
		`{"webhook_id":"w","usage":["Flows"]}`: "usage: json: cannot unmarshal string",
	} {
		assert.ErrorContains(t, json.Unmarshal([]byte(body), new(Webhook)), want)
	}
}

func TestWhoIsNoAdministratorSeesTheListWithoutUsages(t *testing.T) {
	for _, status := range []int{401, 403} {
		server := elevenlabstest.New(t)
		server.Add(map[string]any{"events": []any{"flows"}})
		server.Fault(elevenlabstest.Answer(status))
		all, err := newClient(t, server).Webhooks(t.Context())
		require.NoError(t, err)
		require.Len(t, all, 1)
		assert.Nil(t, all[0].Usage)
		requests := server.Requests()
		require.Len(t, requests, 2)
		assert.Equal(t, "/v1/workspace/webhooks?include_usages=true", requests[0].URI)
		assert.Equal(t, "/v1/workspace/webhooks", requests[1].URI)
	}
}

func TestAWrongKeyIsNotTakenForThatOfNoAdministrator(t *testing.T) {
	server := elevenlabstest.New(t)
	c, err := New("sk_other", "", server)
	require.NoError(t, err)
	_, err = c.Webhooks(t.Context())
	assert.ErrorContains(t, err, "listing webhooks: ElevenLabs answered 401 invalid_api_key: Invalid API key")
}

func TestACreationWithoutItsSecretIsAnError(t *testing.T) {
	for body, wantID := range map[string]string{
		`{"webhook_id":"wh_1"}`:                        "wh_1",
		`{"webhook_id":"wh_1","webhook_secret":null}`:  "wh_1",
		`{"webhook_secret":"wsec_1"}`:                  "",
		`{"webhook_id":"wh_1","webhook_secret":["?"]}`: "wh_1",
		`<html>`: "",
		``:       "",
	} {
		server := elevenlabstest.New(t)
		server.Fault(func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, body) })
		id, secret, err := newClient(t, server).CreateWebhook(t.Context(), WebhookSettings{})
		require.ErrorIs(t, err, ErrUnknown, body)
		require.ErrorContains(t, err, "creating a webhook: ", body)
		assert.NotContains(t, err.Error(), "wsec_1")
		assert.Equal(t, wantID, id, body)
		if wantID != "" {
			assert.Empty(t, secret)
		}
		assert.Len(t, server.Requests(), 1, "it is not created twice")
	}
}

func TestAnIdLeadsToNoOtherPath(t *testing.T) {
	server := elevenlabstest.New(t)
	c := newClient(t, server)
	for prefix, operations := range map[string][]func(id string) error{
		"/v1/workspace/webhooks/": {
			func(id string) error { return c.UpdateWebhook(t.Context(), id, WebhookUpdate{}) },
			func(id string) error { return c.DeleteWebhook(t.Context(), id) },
		},
		"/v1/convai/agents/": {
			func(id string) error { _, err := c.AgentPostCall(t.Context(), id); return err },
			func(id string) error { return c.UpdateAgentPostCall(t.Context(), id, PostCall{}) },
		},
	} {
		for _, do := range operations {
			for _, id := range []string{"", ".", "..", "a/../b", "a/"} {
				require.ErrorContains(t, do(id), "the id is empty, or has dots", id)
			}
			require.Empty(t, server.Requests())
			for id, path := range map[string]string{"a/b?c#d%e f": "a%2Fb%3Fc%23d%25e%20f", "wh_1": "wh_1", "é\x1b": "%C3%A9%1B"} {
				err := do(id)
				require.Error(t, err)
				assert.NotContains(t, err.Error(), "\x1b")
				assert.Equal(t, prefix+path, server.Requests()[0].URI)
			}
		}
	}
}
