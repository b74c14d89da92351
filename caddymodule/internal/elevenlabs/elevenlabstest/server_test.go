package elevenlabstest

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// ask makes a request over the network. It returns the answer's status and body.
func ask(t *testing.T, s *Server, request, body string, header ...string) (int, string) {
	t.Helper()
	method, path, _ := strings.Cut(request, " ")
	r, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, strings.NewReader(body))
	require.NoError(t, err)
	r.Header.Set("Xi-Api-Key", Key)
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	response, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response.StatusCode, strings.TrimSpace(string(answer))
}

// newFull starts a server with a webhook of each kind.
func newFull(t *testing.T) *Server {
	s := New(t)
	s.Add(map[string]any{"webhook_id": "free"})
	s.Add(map[string]any{"webhook_id": "settings"})
	s.Add(map[string]any{"webhook_id": "agent"})
	s.Add(map[string]any{"webhook_id": "events", "events": []any{"flows", "speech_to_text"}})
	s.Add(map[string]any{"webhook_id": "other", "usage": []any{map[string]any{"usage_type": "Dubbing"}}})
	s.SetSettings(map[string]any{"post_call_webhook_id": "settings", "of_next_year": 1})
	s.SetAgent("a", map[string]any{"post_call_webhook_id": "agent"})
	s.SetAgent("b", nil)
	return s
}

func TestServerAcceptsAndRejectsLikeElevenLabs(t *testing.T) {
	const (
		create   = "POST /v1/workspace/webhooks"
		update   = "PATCH /v1/workspace/webhooks/free"
		settings = "PATCH /v1/convai/settings"
		agent    = "PATCH /v1/convai/agents/a"
	)
	for _, test := range []struct {
		request, body string
		status        int
		want          string // in the answer's body
	}{
		{create, `{"settings":{"auth_type":"hmac","name":"a","webhook_url":"https://a.example/"}}`, 200, `{"webhook_id":"wh_new_1","webhook_secret":"wsec_new_1"}`},
		{create, `{"settings":{"auth_type":"hmac","name":"a","webhook_url":"https://a.example/","request_headers":{"a":"b"}}}`, 200, "wsec_"},
		{create, `{"settings":{"auth_type":"hmac","name":"a","webhook_url":"http://a.example/"}}`, 400, "invalid_webhook_url"},
		{create, `{}`, 422, `{"detail":[{"loc":["body","settings"],"msg":"Field required","type":"missing"}]}`},
		{create, `{"settings":{}}`, 422, `["body","settings","webhook_url"]`},
		{create, `{"settings":{"auth_type":"oauth2","name":"a","webhook_url":"https://a.example/"}}`, 422, `["body","settings","auth_type"]`},
		{create, `{"settings":{"auth_type":"hmac","name":null,"webhook_url":"https://a.example/"}}`, 422, "valid string"},
		{create, `{"settings":{"auth_type":"hmac","name":"a","webhook_url":"https://a.example/","retry_enabled":true}}`, 422, `"loc":["body","settings","retry_enabled"],"msg":"Extra inputs are not permitted","type":"extra_forbidden"`},
		{create, `{"settings":{"auth_type":"hmac","Name":"a","webhook_url":"https://a.example/"}}`, 422, `"Name"`},
		{create, `{"settings":{"auth_type":"hmac","name":"a","webhook_url":"https://a.example/","request_headers":{"a":1}}}`, 422, `["body","settings","request_headers","a"]`},
		{create, `{"settings":{"auth_type":"hmac","name":"a","webhook_url":"https://a.example/","request_headers":[]}}`, 422, "valid dictionary"},
		{create, `{"settings":[]}`, 422, "valid dictionary"},
		{create, `{`, 422, "JSON decode error"},
		{create, `{"settings":{"auth_type":"hmac","name":"a","webhook_url":"https://a.example/"}} {}`, 422, "JSON decode error"},

		{update, `{"is_disabled":true,"name":"b"}`, 200, `{"status":"ok"}`},
		{update, `{"is_disabled":true}`, 422, `["body","name"]`},
		{update, `{"name":"b"}`, 422, `["body","is_disabled"]`},
		{update, `{"is_disabled":"no","name":"b"}`, 422, "valid boolean"},
		{update, `{"is_disabled":true,"name":"b","webhook_url":"https://a.example/"}`, 422, "Extra inputs"},
		{update, `{"is_disabled":true,"name":"b","events":null}`, 422, "valid list"},
		{update, `{"is_disabled":true,"name":"b","events":["flows","transcript"]}`, 422, `["body","events",1]`},
		{"PATCH /v1/workspace/webhooks/none", `{"is_disabled":true,"name":"b"}`, 404, "webhook_not_found"},

		{"DELETE /v1/workspace/webhooks/free", ``, 200, `{"status":"ok"}`},
		{"DELETE /v1/workspace/webhooks/settings", ``, 405, "webhook_in_use"},
		{"DELETE /v1/workspace/webhooks/agent", ``, 405, "webhook_in_use"},
		{"DELETE /v1/workspace/webhooks/events", ``, 405, "webhook_in_use"},
		{"DELETE /v1/workspace/webhooks/other", ``, 405, "webhook_in_use"},
		{"DELETE /v1/workspace/webhooks/none", ``, 404, "webhook_not_found"},

		{settings, `{"webhooks":{"post_call_webhook_id":"free","events":["transcript"],"transcript_format":"json","of_next_year":2}}`, 200, `"post_call_webhook_id":"free"`},
		{settings, `{"webhooks":{"post_call_webhook_id":null}}`, 200, `"webhooks":{"post_call_webhook_id":null}`},
		{settings, `{"webhooks":{"post_call_webhook_id":"none"}}`, 404, "webhook_not_found"},
		{settings, `{"webhooks":{"of_the_year_after":1}}`, 422, "Extra inputs"},
		{settings, `{"webhooks":{"events":["speech_to_text"]}}`, 422, `["body","webhooks","events",0]`},
		{settings, `{"webhooks":{"transcript_format":"xml"}}`, 422, "one of"},
		{settings, `{"post_call_webhook_id":"free"}`, 422, "Extra inputs"},

		{agent, `{"platform_settings":{"workspace_overrides":{"webhooks":{"post_call_webhook_id":"free"}}}}`, 200, `"post_call_webhook_id":"free"`},
		{agent, `{"platform_settings":{"workspace_overrides":{"webhooks":{"post_call_webhook_id":"none"}}}}`, 404, "webhook_not_found"},
		{agent, `{"platform_settings":{"workspace_overrides":{"webhooks":{"of_next_year":1}}}}`, 422, "Extra inputs"},
		{agent, `{"platform_settings":{"workspace_overrides":{"webhooks":{},"conversation_initiation_client_data_webhook":{"url":"https://a.example/","request_headers":{}}}}}`, 200, `"conversation_initiation_client_data_webhook":{"request_headers":{},"url":"https://a.example/"}`},
		{agent, `{"platform_settings":{"workspace_overrides":{"webhooks":{},"conversation_initiation_client_data_webhook":{}}}}`, 422, "Field required"},
		{agent, `{"platform_settings":{"workspace_overrides":{"webhooks":{},"of_next_year":1}}}`, 422, "Extra inputs"},
		{agent, `{"platform_settings":{"workspace_overrides":{"webhooks":{}}}}`, 200, `"workspace_overrides":{"webhooks":{}}`}, // keys that are not sent are lost
		{agent, `{"platform_settings":{"webhooks":{}}}`, 422, "Extra inputs"},
		{"PATCH /v1/convai/agents/none", `{}`, 404, "agent_not_found"},
		{"GET /v1/convai/agents/b", ``, 200, `"webhooks":null`},
		{"GET /v1/convai/agents/none", ``, 404, "agent_not_found"},

		{"GET /v1/convai/conversations", ``, 200, `{"conversations":[],"has_more":false,"next_cursor":null}`},
		{"GET /v1/convai/conversations?page_size=101", ``, 422, "less than or equal to 100"},
		{"GET /v1/convai/conversations?agent=a", ``, 422, "Extra inputs"},
		{"GET /v1/convai/conversations/none", ``, 404, "conversation_not_found"},
		{"GET /v1/convai/conversations/none/audio", ``, 404, "audio_not_found"},

		{"GET /v1/workspace/webhooks?include_usage=true", ``, 422, "Extra inputs"},
		{"GET /v1/workspace/webhooks/free", ``, 405, ""},
		{"GET /v1/workspace/webhook", ``, 404, ""},
	} {
		status, body := ask(t, newFull(t), test.request, test.body)
		assert.Equal(t, test.status, status, "%s %s: %s", test.request, test.body, body)
		assert.Contains(t, body, test.want, "%s %s", test.request, test.body)
	}
}

func TestServerChecksKeyContentTypeAndPermission(t *testing.T) {
	s := newFull(t)
	headers := []struct{ name, value, want string }{
		{name: "Xi-Api-Key", value: "", want: "needs_authorization"},
		{name: "Xi-Api-Key", value: "sk_other", want: "invalid_api_key"},
		{name: "Content-Type", value: "text/plain", want: "Input should be a valid dictionary"},
	}
	for _, test := range headers {
		_, body := ask(t, s, "PATCH /v1/workspace/webhooks/free", `{"is_disabled":true,"name":"b"}`, test.name, test.value)
		assert.Contains(t, body, test.want)
	}
	permissions := []struct{ permission, request string }{
		{permission: "webhooks_read", request: "GET /v1/workspace/webhooks"},
		{permission: "webhooks_write", request: "DELETE /v1/workspace/webhooks/free"},
		{permission: "convai_read", request: "GET /v1/convai/settings"},
		{permission: "convai_write", request: "PATCH /v1/convai/agents/a"},
	}
	for _, test := range permissions {
		s.Lacks(test.permission)
		status, body := ask(t, s, test.request, "{}")
		assert.Equal(t, 401, status)
		assert.Contains(t, body, "missing the permission "+test.permission+" to")
	}
	assert.Equal(t, false, s.Webhook("free")["is_disabled"], "the server executed a request that it rejected")
}

func TestListShowsUsagesOnlyIfAskedFor(t *testing.T) {
	s := newFull(t)
	s.Add(map[string]any{"webhook_id": "shows_retries", "retry_enabled": false})
	s.Add(map[string]any{"webhook_id": "hides_usage", "usage": nil})
	s.SetAgent("c", map[string]any{"post_call_webhook_id": "settings"})
	for _, id := range []string{"free", "shows_retries"} {
		status, _ := ask(t, s, "PATCH /v1/workspace/webhooks/"+id, `{"is_disabled":false,"name":"a","retry_enabled":true}`)
		require.Equal(t, 200, status)
	}
	listed := func(query string) map[string]map[string]any {
		var answer struct{ Webhooks []map[string]any }
		_, body := ask(t, s, "GET /v1/workspace/webhooks"+query, "")
		require.NoError(t, json.Unmarshal([]byte(body), &answer))
		byID := map[string]map[string]any{}
		for _, w := range answer.Webhooks {
			byID[w["webhook_id"].(string)] = w
		}
		return byID
	}
	usages := map[string]any{}
	for id, w := range listed("?include_usages=true") {
		usages[id] = w["usage"]
	}
	use := func(names ...string) any {
		all := make([]any, 0, len(names))
		for _, name := range names {
			all = append(all, map[string]any{"usage_type": name})
		}
		return all
	}
	assert.Equal(t, map[string]any{
		"free": use(), "shows_retries": use(), "hides_usage": nil, "agent": use("ConvAI Agent Settings"), "other": use("Dubbing"),
		"settings": use("ConvAI Agent Settings", "ConvAI Settings"), "events": use("Flows", "Speech to Text"),
	}, usages)

	without := listed("")
	assert.Nil(t, without["events"]["usage"])
	assert.Nil(t, without["events"]["events"], "ElevenLabs lists events only with the usages")
	assert.Equal(t, true, without["shows_retries"]["retry_enabled"])
	assert.NotContains(t, without["free"], "retry_enabled", "the documented list has no retry_enabled")
	assert.Equal(t, true, s.Webhook("free")["retry_enabled"])
}

func TestAtMostTenWebhooksGetAnEvent(t *testing.T) {
	s := New(t)
	for range maxPerEvent {
		s.Add(map[string]any{"events": []any{"flows"}})
	}
	s.Add(map[string]any{"webhook_id": "eleventh"})
	const body = `{"is_disabled":false,"name":"a","events":["agent_qa","flows"]}`
	status, answer := ask(t, s, "PATCH /v1/workspace/webhooks/eleventh", body)
	assert.Equal(t, 400, status)
	assert.Contains(t, answer, "too_many_webhooks")
	status, _ = ask(t, s, "PATCH /v1/workspace/webhooks/wh_10", body)
	assert.Equal(t, 200, status, "this webhook has the event already")
}

func TestEachFaultAnswersOneRequest(t *testing.T) {
	s := newFull(t)
	s.Fault(Answer(429, "Retry-After", "7"), Answer(500), Drop, s.Lose)
	synctest.Test(t, func(t *testing.T) {
		request := func() (*http.Response, error) {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodDelete, "https://api.elevenlabs.io/v1/workspace/webhooks/free", nil)
			require.NoError(t, err)
			r.Header.Set("Xi-Api-Key", Key)
			return s.RoundTrip(r)
		}
		response, err := request()
		require.NoError(t, err)
		assert.Equal(t, 429, response.StatusCode)
		assert.Equal(t, "7", response.Header.Get("Retry-After"))
		response, err = request()
		require.NoError(t, err)
		assert.Equal(t, 500, response.StatusCode)
		_, err = request()
		require.ErrorIs(t, err, io.ErrUnexpectedEOF)
		assert.NotNil(t, s.Webhook("free"))
		_, err = request()
		require.ErrorIs(t, err, io.ErrUnexpectedEOF)
		assert.Nil(t, s.Webhook("free"), "Lose must execute the request")

		s.Fault(s.Delay(time.Minute))
		began := time.Now()
		response, err = request()
		require.NoError(t, err)
		assert.Equal(t, 404, response.StatusCode)
		assert.Equal(t, time.Minute, time.Since(began))
	})
	requests := s.Requests()
	require.Len(t, requests, 5)
	assert.Equal(t, "api.elevenlabs.io", requests[0].Host)
	assert.Empty(t, s.Requests())
}

func TestRoundTripPassesOtherPanicsOn(t *testing.T) {
	s := New(t)
	s.Fault(func(http.ResponseWriter, *http.Request) { panic("a bug") })
	assert.PanicsWithValue(t, "a bug", func() {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://api.elevenlabs.io/", nil)
		require.NoError(t, err)
		_, _ = s.RoundTrip(r)
	})
}
