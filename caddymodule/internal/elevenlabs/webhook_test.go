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

func TestWebhookIsCreatedListedUpdatedAndDeleted(t *testing.T) {
	server := elevenlabstest.New(t)
	c := newClient(t, server)
	ctx := t.Context()
	id, secret, err := c.CreateWebhook(ctx, WebhookSettings{Name: "gateway", URL: "https://hooks.example.com/", RequestHeaders: map[string]string{"X-Env": "prod"}})
	require.NoError(t, err)
	assert.Equal(t, "wsec_new_1", secret)
	require.NoError(t, c.UpdateWebhook(ctx, id, WebhookUpdate{Name: "renamed", IsDisabled: true, RetryEnabled: new(true), Events: []string{"speech_to_text"}}))
	created := server.Webhook(id)
	assert.Equal(t, map[string]any{"X-Env": "prod"}, created["request_headers"], "an update must keep a key that is not sent")
	assert.Equal(t, true, created["retry_enabled"])

	all, err := c.Webhooks(ctx)
	require.NoError(t, err)
	assert.Equal(t, []Webhook{{
		ID: id, Name: "renamed", URL: "https://hooks.example.com/", AuthType: "hmac", CreatedAt: 1_763_900_000, IsDisabled: true,
		Usage: []string{"Speech to Text"}, Events: []string{"speech_to_text"}, Extra: map[string]json.RawMessage{},
	}}, all)

	require.ErrorContains(t, c.DeleteWebhook(ctx, id), "deleting webhook wh_new_1: ElevenLabs answered 405 webhook_in_use: The webhook is in use and cannot be deleted")
	require.NoError(t, c.UpdateWebhook(ctx, id, WebhookUpdate{Name: "renamed", Events: []string{}}))
	assert.Equal(t, []any{}, server.Webhook(id)["events"], "an empty list must remove all events")
	require.NoError(t, c.DeleteWebhook(ctx, id))
	assert.Nil(t, server.Webhook(id))
	require.ErrorContains(t, c.DeleteWebhook(ctx, id), "ElevenLabs answered 404 webhook_not_found")
}

func TestWebhookReadsAllKeysOfTheList(t *testing.T) {
	tests := []struct {
		name string
		json string
		want Webhook
	}{
		{
			"everything",
			`{"webhook_id":"wh_1","name":"a","webhook_url":"https://a.example/","auth_type":"mtls","created_at_unix":5,"is_disabled":true,"is_auto_disabled":true,
			  "usage":[{"usage_type":"Flows","since":1},{"usage_type":"Dubbing"}],"events":["flows"],"most_recent_failure_error_code":401,"most_recent_failure_timestamp":7,
			  "retry_enabled":true,"of_next_year":{"a": 1e400}}`,
			Webhook{
				ID: "wh_1", Name: "a", URL: "https://a.example/", AuthType: "mtls", CreatedAt: 5, IsDisabled: true, IsAutoDisabled: true,
				Usage: []string{"Flows", "Dubbing"}, Events: []string{"flows"}, LastFailureCode: new(401), LastFailure: new(int64(7)),
				Extra: map[string]json.RawMessage{"retry_enabled": json.RawMessage("true"), "of_next_year": json.RawMessage(`{"a": 1e400}`)},
			},
		},
		{"only an id", `{"webhook_id":"wh_1"}`, Webhook{ID: "wh_1", Extra: map[string]json.RawMessage{}}},
		{"nothing uses it", `{"webhook_id":"wh_1","usage":[]}`, Webhook{ID: "wh_1", Usage: []string{}, Events: []string{}, Extra: map[string]json.RawMessage{}}},
		{
			"a product without events uses it",
			`{"webhook_id":"wh_1","usage":[{"usage_type":"ConvAI Settings"}],"events":null}`,
			Webhook{ID: "wh_1", Usage: []string{"ConvAI Settings"}, Events: []string{}, Extra: map[string]json.RawMessage{}},
		},
		{
			"a product with events uses it, and the events are absent",
			`{"webhook_id":"wh_1","usage":[{"usage_type":"ConvAI Settings"},{"usage_type":"Speech to Text"}]}`,
			Webhook{ID: "wh_1", Usage: []string{"ConvAI Settings", "Speech to Text"}, Extra: map[string]json.RawMessage{}},
		},
		{
			"an unknown product uses it",
			`{"webhook_id":"wh_1","usage":[{"usage_type":"Next Year"}]}`,
			Webhook{ID: "wh_1", Usage: []string{"Next Year"}, Extra: map[string]json.RawMessage{}},
		},
		{"events without usages", `{"webhook_id":"wh_1","usage":null,"events":[]}`, Webhook{ID: "wh_1", Extra: map[string]json.RawMessage{}}},
		{"null", `{"webhook_id":"wh_1","usage":null,"events":null,"most_recent_failure_error_code":null}`, Webhook{ID: "wh_1", Extra: map[string]json.RawMessage{}}},
		{"a secret is dropped", `{"webhook_id":"wh_1","webhook_secret":"wsec_1"}`, Webhook{ID: "wh_1", Extra: map[string]json.RawMessage{}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := Webhook{ID: "wh_0", LastFailureCode: new(1)}
			require.NoError(t, json.Unmarshal([]byte(test.json), &got))
			assert.Equal(t, test.want, got)
		})
	}
}

func TestWebhookThatCannotBeReadIsAnError(t *testing.T) {
	tests := []struct{ json, want string }{
		{json: `{}`, want: "a webhook has no webhook_id"},
		{json: `[]`, want: "cannot unmarshal array"},
		{json: `{"webhook_id":5}`, want: "webhook_id: json: cannot unmarshal number"},
		{json: `{"webhook_id":"w","usage":["Flows"]}`, want: "usage: json: cannot unmarshal string"},
	}
	for _, test := range tests {
		assert.ErrorContains(t, json.Unmarshal([]byte(test.json), new(Webhook)), test.want)
	}
}

func TestKeyWithoutAdministratorGetsTheListWithoutUsages(t *testing.T) {
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

func TestWrongKeyIsNotTakenForOneWithoutAdministrator(t *testing.T) {
	server := elevenlabstest.New(t)
	c, err := New("sk_other", "", server)
	require.NoError(t, err)
	_, err = c.Webhooks(t.Context())
	assert.ErrorContains(t, err, "listing webhooks: ElevenLabs answered 401 invalid_api_key: Invalid API key")
}

func TestCreateWithoutASecretInTheAnswerIsAnError(t *testing.T) {
	tests := []struct{ answer, id string }{
		{answer: `{"webhook_id":"wh_1"}`, id: "wh_1"},
		{answer: `{"webhook_id":"wh_1","webhook_secret":null}`, id: "wh_1"},
		{answer: `{"webhook_secret":"wsec_1"}`, id: ""},
		{answer: `{"webhook_id":"wh_1","webhook_secret":["?"]}`, id: "wh_1"},
		{answer: `<html>`, id: ""},
		{answer: ``, id: ""},
	}
	for _, test := range tests {
		server := elevenlabstest.New(t)
		server.Fault(func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, test.answer) })
		id, secret, err := newClient(t, server).CreateWebhook(t.Context(), WebhookSettings{})
		require.ErrorIs(t, err, ErrUnknown, test.answer)
		require.ErrorContains(t, err, "creating a webhook: ", test.answer)
		assert.NotContains(t, err.Error(), "wsec_1")
		assert.Equal(t, test.id, id, test.answer)
		if test.id != "" {
			assert.Empty(t, secret)
		}
		assert.Len(t, server.Requests(), 1, "the client must not repeat the create")
	}
}

func TestIDCannotLeadToAnotherPath(t *testing.T) {
	const webhooks, agents = "/v1/workspace/webhooks/", "/v1/convai/agents/"
	server := elevenlabstest.New(t)
	c := newClient(t, server)
	operations := []struct {
		name string
		path string
		do   func(id string) error
	}{
		{"update webhook", webhooks, func(id string) error { return c.UpdateWebhook(t.Context(), id, WebhookUpdate{}) }},
		{"delete webhook", webhooks, func(id string) error { return c.DeleteWebhook(t.Context(), id) }},
		{"read agent", agents, func(id string) error { _, err := c.AgentPostCall(t.Context(), id); return err }},
		{"write agent", agents, func(id string) error { return c.UpdateAgentPostCall(t.Context(), id, PostCall{}) }},
	}
	ids := []struct{ id, escaped string }{
		{id: "a/b?c#d%e f", escaped: "a%2Fb%3Fc%23d%25e%20f"},
		{id: "wh_1", escaped: "wh_1"},
		{id: "é\x1b", escaped: "%C3%A9%1B"},
	}
	for _, operation := range operations {
		t.Run(operation.name, func(t *testing.T) {
			for _, id := range []string{"", ".", "..", "a/../b", "a/"} {
				require.ErrorContains(t, operation.do(id), "the id is empty, or has dots", id)
			}
			require.Empty(t, server.Requests())
			for _, test := range ids {
				err := operation.do(test.id)
				require.Error(t, err)
				assert.NotContains(t, err.Error(), "\x1b")
				assert.Equal(t, operation.path+test.escaped, server.Requests()[0].URI)
			}
		})
	}
}
