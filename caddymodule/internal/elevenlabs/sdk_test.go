package elevenlabs

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/elevenlabs/elevenlabstest"
)

// sdk is the directory in which `npm ci` installs the official SDK.
const sdk = "../../testdata/vectors"

// recorded is the part of a request that the test compares.
type recorded struct {
	Method, URI string
	Header      http.Header
	JSON        any // nil without a body
}

// record starts a server, runs do with it, and returns the requests that came.
func record(t *testing.T, do func(*elevenlabstest.Server)) []recorded {
	t.Helper()
	server := elevenlabstest.New(t)
	server.SetAgent("agent_1", nil)
	server.SetAgent("an agent/é", nil)
	for _, id := range []string{"conv_1", "conv/é+"} {
		server.AddConversation(elevenlabstest.Conversation{ID: id, Agent: "agent_1", Start: 1795952000, Duration: 60, Audio: []byte("ID3")})
	}
	server.SetPage(1)
	do(server)
	requests := server.Requests()
	all := make([]recorded, 0, len(requests))
	for _, r := range requests {
		one := recorded{Method: r.Method, URI: r.URI, Header: http.Header{}}
		for _, name := range []string{"Xi-Api-Key", "Content-Type", "Authorization"} {
			if values, sent := r.Header[name]; sent {
				one.Header[name] = values
			}
		}
		if len(r.Body) > 0 {
			require.NoError(t, json.Unmarshal(r.Body, &one.JSON))
		}
		all = append(all, one)
	}
	return all
}

// operations makes the same calls with our client as testdata/sdk.mjs with the SDK.
func operations(t *testing.T, transport http.RoundTripper) {
	t.Helper()
	c := newClient(t, transport)
	ctx := t.Context()
	settings := WebhookSettings{Name: "gateway & <co>", URL: "https://hooks.example.com/é?a=1&b=2"}
	_, _, err := c.CreateWebhook(ctx, settings)
	require.NoError(t, err)
	settings.RequestHeaders = map[string]string{"X-Env": "prod"}
	id, _, err := c.CreateWebhook(ctx, settings)
	require.NoError(t, err)
	require.NoError(t, list(ctx, c))
	require.NoError(t, c.UpdateWebhook(ctx, id, WebhookUpdate{IsDisabled: true, Name: "gateway"}))
	require.NoError(t, c.UpdateWebhook(ctx, id, WebhookUpdate{
		Name: "renamed", RetryEnabled: new(true), RequestHeaders: map[string]string{"X-Env": "test", "X-Tenant": ""},
		Events: []string{"speech_to_text", "agent_qa", "flows", "voice_library_removal_notice"},
	}))
	require.NoError(t, c.UpdateWebhook(ctx, id, WebhookUpdate{Name: "renamed", RetryEnabled: new(false), RequestHeaders: map[string]string{}, Events: []string{}}))

	postCall, err := c.PostCall(ctx)
	require.NoError(t, err)
	postCall.WebhookID, postCall.Events = id, []string{"transcript", "audio"}
	postCall.TranscriptFormat, postCall.ExcludeTranscript = "opentelemetry", new(true)
	require.NoError(t, c.UpdatePostCall(ctx, postCall))
	for _, agent := range []string{"agent_1", "an agent/é"} {
		own, err := c.AgentPostCall(ctx, agent)
		require.NoError(t, err)
		own.WebhookID, own.Events = id, []string{"call_initiation_failure"}
		own.TranscriptFormat, own.ExcludeTranscript = "json", new(false)
		require.NoError(t, c.UpdateAgentPostCall(ctx, agent, own))
	}
	require.NoError(t, c.DeleteWebhook(ctx, "wh_new_1"))

	span := ConversationQuery{Since: time.Unix(1795951200, 0), Until: time.Unix(1795954800, 0)}
	all, err := c.Conversations(ctx, span)
	require.NoError(t, err)
	assert.Len(t, all, 2)
	span.Agent = "an agent/é +&"
	_, err = c.Conversations(ctx, span)
	require.NoError(t, err)
	for _, id := range []string{"conv_1", "conv/é+"} {
		_, err = c.Conversation(ctx, id)
		require.NoError(t, err)
		audio, err := c.ConversationAudio(ctx, id, limits)
		require.NoError(t, err)
		audio.Close()
	}
}

// to returns a transport that changes each request, and sends it over the network to
// the server.
func to(t *testing.T, server *elevenlabstest.Server, change func(*http.Request)) http.RoundTripper {
	address, err := url.Parse(server.URL)
	require.NoError(t, err)
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		r = r.Clone(r.Context())
		r.URL.Scheme, r.URL.Host, r.Host = address.Scheme, address.Host, ""
		change(r)
		return http.DefaultTransport.RoundTrip(r)
	})
}

// replace returns a change of a request's body.
func replace(old, by string) func(*http.Request) {
	return func(r *http.Request) {
		body, _ := io.ReadAll(r.Body) // a bytes.Reader, which never fails
		changed := bytes.Replace(body, []byte(old), []byte(by), 1)
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(changed)), int64(len(changed))
	}
}

// The official SDK and our client make the same calls to the fake. So the test also
// shows that the fake accepts the SDK's requests, and that the SDK can read its answers.
func TestRequestsAreThoseOfTheOfficialSDK(t *testing.T) {
	directory, err := filepath.Abs(sdk)
	require.NoError(t, err)
	_, err = exec.LookPath("node")
	if err == nil {
		_, err = os.Stat(filepath.Join(directory, "node_modules"))
	}
	if err != nil {
		if os.Getenv("TEST_NO_SKIP") != "" {
			require.NoError(t, err)
		}
		t.Skip("Node, or the SDK (npm ci in caddymodule/testdata/vectors), is missing")
	}
	theirs := record(t, func(server *elevenlabstest.Server) {
		output, err := exec.CommandContext(t.Context(), "node", "testdata/sdk.mjs", directory, server.URL, elevenlabstest.Key).CombinedOutput()
		require.NoError(t, err, "%s", output)
		assert.Empty(t, string(output))
	})
	require.Len(t, theirs, 20)

	unchanged := func(*http.Request) {}
	ours := record(t, func(server *elevenlabstest.Server) { operations(t, to(t, server, unchanged)) })
	assert.Equal(t, theirs, ours)

	// The comparison must find each of these single differences.
	tests := []struct {
		name   string
		method string
		change func(*http.Request)
	}{
		{"another query", http.MethodGet, func(r *http.Request) { r.URL.RawQuery += "&" }},
		{"another content type", http.MethodPost, func(r *http.Request) { r.Header["Content-Type"] = []string{"application/json", "a/b"} }},
		{"a second API key", http.MethodDelete, func(r *http.Request) { r.Header.Add("Xi-Api-Key", elevenlabstest.Key) }},
		{"one more header", http.MethodDelete, func(r *http.Request) { r.Header.Set("Authorization", "Bearer") }},
		{"one more key in the body", http.MethodPost, replace(`"settings":{`, `"settings":{"request_headers":null,`)},
		{"one event less", http.MethodPatch, replace(`"flows",`, ``)},
		{"a lost sibling of the webhooks object", http.MethodPatch, replace(`"conversation_initiation_client_data_webhook":{"request_headers":{"X-Tenant":"sales"},"url":"https://crm.example.com/caller"},`, ``)},
		{"another value", http.MethodPatch, replace(`"opentelemetry"`, `"json"`)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			ours := record(t, func(server *elevenlabstest.Server) {
				operations(t, to(t, server, func(r *http.Request) {
					if r.Method == test.method {
						test.change(r)
					}
				}))
			})
			assert.NotEqual(t, theirs, ours)
		})
	}
}
