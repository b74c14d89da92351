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

func TestErrorsShowElevenLabssOwnMessageInEachOfItsShapes(t *testing.T) {
	for name, test := range map[string]struct {
		status int
		body   string
		want   string
	}{
		"an object": {
			405, `{"detail":{"status":"webhook_in_use","message":"The webhook is in use"}}`,
			"ElevenLabs answered 405 webhook_in_use: The webhook is in use",
		},
		"an object of the newer kind": {
			400, `{"detail":{"type":"invalid_request","code":"bad_url","message":"No.","request_id":"1","param":null}}`,
			"ElevenLabs answered 400 bad_url: No.",
		},
		"an object without detail round it": {
			400, `{"type":"authentication_error","code":"unauthorized","status":"bad","message":"No."}`,
			"ElevenLabs answered 400 bad: No.",
		},
		"a list": {
			422, `{"detail":[{"type":"missing","loc":["body","settings","name"],"msg":"Field required","input":"wsec_0"},{"loc":["body","events",0],"msg":"Input should be 'flows'"}]}`,
			"ElevenLabs answered 422: body.settings.name: Field required; body.events.0: Input should be 'flows'",
		},
		"a text":                        {404, `{"detail":"Not Found"}`, "ElevenLabs answered 404: Not Found"},
		"an object without message":     {400, `{"detail":{"a":1}}`, `ElevenLabs answered 400: {"detail":{"a":1}}`},
		"an empty list":                 {422, `{"detail":[]}`, `ElevenLabs answered 422: {"detail":[]}`},
		"null":                          {400, `{"detail":null}`, `ElevenLabs answered 400: Bad Request`},
		"another object":                {400, `{"error":"no"}`, `ElevenLabs answered 400: {"error":"no"}`},
		"a list of texts":               {400, `["a"]`, `ElevenLabs answered 400: ["a"]`},
		"JSON that is only a text":      {400, `"no"`, `ElevenLabs answered 400: no`},
		"no JSON":                       {418, "<html>\n <p>blocked\r\n", "ElevenLabs answered 418: <html> <p>blocked"},
		"nothing":                       {400, ``, "ElevenLabs answered 400: Bad Request"},
		"nothing, of an unknown status": {499, ``, "ElevenLabs answered 499: no message"},
		"what would control a terminal": {400, `{"detail":{"status":"a\u0007b","message":"\u001b[2Jx\u009b\r\n\u202ey"}}`, "ElevenLabs answered 400 a b: [2Jx y"},
		"what is too long":              {400, strings.Repeat("é", 501), "ElevenLabs answered 400: " + strings.Repeat("é", 500) + "…"},
		"the key":                       {400, `{"detail":"there is no ` + elevenlabstest.Key + ` here"}`, "ElevenLabs answered 400: there is no (API key) here"},
		"a secret":                      {400, `{"detail":"wsec_0123abc is no secret"}`, "ElevenLabs answered 400: (signing secret) is no secret"},

		"a wrong key": {401, `{"detail":{"status":"invalid_api_key","message":"Invalid API key"}}`, "ElevenLabs answered 401 invalid_api_key: Invalid API key"},
		"a named permission": {
			401, `{"detail":{"type":"authentication_error","code":"unauthorized","status":"missing_permissions","message":"The API key you used is missing the permission convai_read to execute this operation."}}`,
			"ElevenLabs answered 401 missing_permissions: The API key you used is missing the permission convai_read to execute this operation. (give the API key the permission convai_read)",
		},
		"a permission that is not named": {
			401, `{"detail":{"status":"missing_permissions","message":"No."}}`,
			"ElevenLabs answered 401 missing_permissions: No. (the API key lacks a permission, probably convai_read, or its owner is no administrator)",
		},
		"what is forbidden": {
			403, `{"detail":"Forbidden"}`,
			"ElevenLabs answered 403: Forbidden (the API key lacks a permission, probably convai_read, or its owner is no administrator)",
		},
	} {
		t.Run(name, func(t *testing.T) {
			server := elevenlabstest.New(t)
			server.Fault(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(test.status)
				_, _ = io.WriteString(w, test.body)
			})
			assert.EqualError(t, readSettings(t.Context(), newClient(t, server)), "reading the workspace's ElevenAgents settings: "+test.want)
			assert.Len(t, server.Requests(), 1, "it is not asked again")
		})
	}
}

func TestTheMissingPermissionIsNamed(t *testing.T) {
	for permission, operations := range map[string][]func(context.Context, *Client) error{
		"webhooks_write": {create, update, remove},
		"convai_write":   {writeSettings, writeAgent},
		"convai_read":    {readSettings, readAgent},
	} {
		for _, do := range operations {
			server := elevenlabstest.New(t)
			server.Lacks(permission)
			err := do(t.Context(), newClient(t, server))
			var refused *Error
			require.ErrorAs(t, err, &refused)
			assert.Equal(t, permission, refused.Permission)
			assert.Equal(t, 401, refused.Status)
			assert.Equal(t, "missing_permissions", refused.Code)

			// Where ElevenLabs does not name it, it is the one that is known.
			server.Lacks("")
			server.Fault(elevenlabstest.Answer(403))
			assert.ErrorContains(t, do(t.Context(), newClient(t, server)), "probably "+permission)
		}
	}
	server := elevenlabstest.New(t)
	server.Fault(elevenlabstest.Answer(403), elevenlabstest.Answer(403))
	assert.ErrorContains(t, list(t.Context(), newClient(t, server)), "(the API key lacks a permission, or its owner is no administrator)")
}

func TestTheKeyGoesToNoOtherHost(t *testing.T) {
	elsewhere := 0
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere++ }))
	defer other.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		for location, says := range map[string]string{
			other.URL + "/path?a=" + elevenlabstest.Key: ", to " + other.URL,
			"/elsewhere": ", to http://127.0.0.1:",
			"":           "since the API key would go along",
		} {
			requests := 0
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				requests++
				if location != "" {
					w.Header().Set("Location", location)
				}
				w.WriteHeader(status)
			}))
			c := newClient(t, nil)
			c.base = server.URL
			err := list(t.Context(), c)
			server.Close()
			require.ErrorContains(t, err, "a redirect, which is not followed, since the API key would go along")
			require.ErrorContains(t, err, says)
			assert.NotContains(t, err.Error(), elevenlabstest.Key)
			assert.NotContains(t, err.Error(), "path")
			assert.Equal(t, 1, requests)
		}
	}
	assert.Zero(t, elsewhere)
}
