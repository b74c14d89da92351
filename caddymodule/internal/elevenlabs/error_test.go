package elevenlabs

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/elevenlabs/elevenlabstest"
)

func TestErrorReadsTheMessageInAnyShape(t *testing.T) {
	tests := []struct {
		name   string
		status int
		body   string
		want   string
	}{
		{
			"an object",
			405, `{"detail":{"status":"webhook_in_use","message":"The webhook is in use"}}`,
			"ElevenLabs answered 405 webhook_in_use: The webhook is in use",
		},
		{
			"an object of the newer form",
			400, `{"detail":{"type":"invalid_request","code":"bad_url","message":"No.","request_id":"1","param":null}}`,
			"ElevenLabs answered 400 bad_url: No.",
		},
		{
			"an object outside detail",
			400, `{"type":"authentication_error","code":"unauthorized","status":"bad","message":"No."}`,
			"ElevenLabs answered 400 bad: No.",
		},
		{
			"a list",
			422, `{"detail":[{"type":"missing","loc":["body","settings","name"],"msg":"Field required","input":"wsec_0"},{"loc":["body","events",0],"msg":"Input should be 'flows'"}]}`,
			"ElevenLabs answered 422: body.settings.name: Field required; body.events.0: Input should be 'flows'",
		},
		{"a text", 404, `{"detail":"Not Found"}`, "ElevenLabs answered 404: Not Found"},
		{"an object without message", 400, `{"detail":{"b":1.50,"a":{"no":true,"none":null}}}`, "ElevenLabs answered 400: a.no: true; b: 1.50"},
		{"an empty list", 422, `{"detail":[]}`, "ElevenLabs answered 422: Unprocessable Entity"},
		{"a list without messages", 422, `{"detail":[{"loc":["body"],"error":"no"},"never"]}`, "ElevenLabs answered 422: error: no; loc: body; never"},
		{"a list whose messages are empty", 422, `{"detail":[{"loc":["body"],"reason":"no"}]}`, "ElevenLabs answered 422: loc: body; reason: no"},
		{"null", 400, `{"detail":null}`, `ElevenLabs answered 400: Bad Request`},
		{"another object", 400, `{"error":"no"}`, "ElevenLabs answered 400: error: no"},
		{"a list of texts", 400, `["a"]`, "ElevenLabs answered 400: a"},
		{"a JSON string", 400, `"no"`, `ElevenLabs answered 400: no`},
		{"not JSON", 418, "<html>\n <p>blocked\r\n", "ElevenLabs answered 418: <html> <p>blocked"},
		{"an empty body", 400, ``, "ElevenLabs answered 400: Bad Request"},
		{"an empty body with an unknown status", 499, ``, "ElevenLabs answered 499: no message"},
		{"control characters", 400, `{"detail":{"status":"a\u0007b","message":"\u001b[2Jx\u009b\r\n\u202ey"}}`, "ElevenLabs answered 400 a b: [2Jx y"},
		{"more than 500 characters", 400, strings.Repeat("é", 501), "ElevenLabs answered 400: " + strings.Repeat("é", 500) + "…"},
		{"more than 500 characters of JSON", 400, `{"errors":["` + strings.Repeat("é", 501) + `"]}`, "ElevenLabs answered 400: errors: " + strings.Repeat("é", 492) + "…"},
		{"the API key", 400, `{"detail":"there is no ` + elevenlabstest.Key + ` here"}`, "ElevenLabs answered 400: there is no (API key) here"},
		{"a signing secret", 400, `{"detail":"wsec_0123abc is no secret"}`, "ElevenLabs answered 400: (signing secret) is no secret"},

		{"a wrong API key", 401, `{"detail":{"status":"invalid_api_key","message":"Invalid API key"}}`, "ElevenLabs answered 401 invalid_api_key: Invalid API key"},
		{
			"a named permission",
			401, `{"detail":{"type":"authentication_error","code":"unauthorized","status":"missing_permissions","message":"The API key you used is missing the permission convai_read to execute this operation."}}`,
			"ElevenLabs answered 401 missing_permissions: The API key you used is missing the permission convai_read to execute this operation. (give the API key the permission convai_read)",
		},
		{
			"an unnamed permission",
			401, `{"detail":{"status":"missing_permissions","message":"No."}}`,
			"ElevenLabs answered 401 missing_permissions: No. (the API key lacks a permission, probably convai_read, or its owner is no administrator)",
		},
		{
			"403",
			403, `{"detail":"Forbidden"}`,
			"ElevenLabs answered 403: Forbidden (the API key lacks a permission, probably convai_read, or its owner is no administrator)",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			server := elevenlabstest.New(t)
			server.Fault(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(test.status)
				_, _ = io.WriteString(w, test.body)
			})
			assert.EqualError(t, readSettings(t.Context(), newClient(t, server)), "reading the workspace's ElevenAgents settings: "+test.want)
			assert.Len(t, server.Requests(), 1, "the client must not repeat the request")
		})
	}
}

func TestErrorNamesTheMissingPermission(t *testing.T) {
	tests := []struct {
		name       string
		do         func(context.Context, *Client) error
		permission string
	}{
		{"create", create, "webhooks_write"},
		{"update", update, "webhooks_write"},
		{"delete", remove, "webhooks_write"},
		{"write settings", writeSettings, "convai_write"},
		{"write agent", writeAgent, "convai_write"},
		{"read settings", readSettings, "convai_read"},
		{"read agent", readAgent, "convai_read"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			server := elevenlabstest.New(t)
			server.Lacks(test.permission)
			err := test.do(t.Context(), newClient(t, server))
			var rejected *Error
			require.ErrorAs(t, err, &rejected)
			assert.Equal(t, test.permission, rejected.Permission)
			assert.Equal(t, 401, rejected.Status)
			assert.Equal(t, "missing_permissions", rejected.Code)

			// If ElevenLabs names none, the error names the one that the operation needs.
			server.Lacks("")
			server.Fault(elevenlabstest.Answer(403))
			assert.ErrorContains(t, test.do(t.Context(), newClient(t, server)), "probably "+test.permission)
		})
	}
	server := elevenlabstest.New(t)
	server.Fault(elevenlabstest.Answer(403), elevenlabstest.Answer(403))
	assert.ErrorContains(t, list(t.Context(), newClient(t, server)), "(the API key lacks a permission, or its owner is no administrator)")
}

func TestClientFollowsNoRedirect(t *testing.T) {
	followed := 0
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { followed++ }))
	defer other.Close()
	const message = "a redirect, which the client does not follow, since it would send the API key along"
	tests := []struct{ location, want string }{
		{location: other.URL + "/path?a=" + elevenlabstest.Key, want: message + ", to " + other.URL},
		{location: "/elsewhere", want: message + ", to http://127.0.0.1:"},
		{location: "", want: message},
	}
	for _, status := range []int{301, 302, 303, 307, 308} {
		for _, test := range tests {
			requests := 0
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				requests++
				if test.location != "" {
					w.Header().Set("Location", test.location)
				}
				w.WriteHeader(status)
			}))
			c := newClient(t, nil)
			c.base = server.URL
			err := list(t.Context(), c)
			server.Close()
			require.ErrorContains(t, err, test.want)
			assert.NotContains(t, err.Error(), elevenlabstest.Key)
			assert.NotContains(t, err.Error(), "path")
			assert.Equal(t, 1, requests)
		}
	}
	assert.Zero(t, followed)
}
