// Package elevenlabstest is a fake of ElevenLabs's management API, for tests. It
// follows ElevenLabs's documentation and the types of the official SDKs. It is at
// least as strict as ElevenLabs: it rejects every key that it does not know.
package elevenlabstest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Key is the only API key that the server accepts.
const Key = "sk_test_key"

// maxPerEvent is the number of webhooks that can get one event of the workspace.
const maxPerEvent = 10

// Request is a request that came to the server.
type Request struct {
	Method, Host, URI string
	Header            http.Header
	Body              []byte
}

// Server is the fake. A client reaches it at its URL or, without a network, uses it as
// its transport.
type Server struct {
	URL string

	routes   *http.ServeMux
	mu       sync.Mutex
	created  int
	webhooks []map[string]any
	added    map[any]map[string]any    // the keys given to Add, by webhook id
	settings map[string]any            // the workspace's webhooks object
	agents   map[string]map[string]any // the agents' workspace_overrides
	lacks    string                    // the permission that the key lacks
	faults   []http.HandlerFunc
	requests []Request

	conversations []Conversation
	page          int // the longest page of them; 0 means as long as the client asks for
}

// New starts a server. It ends with the test.
func New(t testing.TB) *Server {
	s := &Server{
		routes:   http.NewServeMux(),
		added:    map[any]map[string]any{},
		settings: map[string]any{"post_call_webhook_id": nil, "events": []any{"transcript"}, "transcript_format": "json", "send_audio": false},
		agents:   map[string]map[string]any{},
	}
	// Each operation needs a permission. ElevenLabs lists webhooks for keys without
	// webhooks_write, and the name webhooks_read exists only in these tests.
	s.route("GET /v1/workspace/webhooks", "webhooks_read", s.list)
	s.route("POST /v1/workspace/webhooks", "webhooks_write", s.create)
	s.route("PATCH /v1/workspace/webhooks/{id}", "webhooks_write", s.update)
	s.route("DELETE /v1/workspace/webhooks/{id}", "webhooks_write", s.delete)
	s.route("GET /v1/convai/settings", "convai_read", s.getSettings)
	s.route("PATCH /v1/convai/settings", "convai_write", s.patchSettings)
	s.route("GET /v1/convai/agents/{id}", "convai_read", s.getAgent)
	s.route("PATCH /v1/convai/agents/{id}", "convai_write", s.patchAgent)
	s.route("GET /v1/convai/conversations", "convai_read", s.listConversations)
	s.route("GET /v1/convai/conversations/{id}", "convai_read", s.getConversation)
	s.route("GET /v1/convai/conversations/{id}/audio", "convai_read", s.getAudio)
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	s.URL = server.URL
	return s
}

// route adds an operation that needs a permission.
func (s *Server) route(pattern, permission string, operation func(*http.Request) answer) {
	s.routes.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		var a answer
		switch key := r.Header.Get("Xi-Api-Key"); {
		case key == "":
			a = rejection(http.StatusUnauthorized, "needs_authorization", "Neither authorization header nor xi-api-key received, please provide one.")
		case key != Key:
			a = rejection(http.StatusUnauthorized, "invalid_api_key", "Invalid API key")
		case s.lacks == permission:
			a = rejection(http.StatusUnauthorized, "missing_permissions", "The API key you used is missing the permission "+permission+" to execute this operation.")
		default:
			a = operation(r)
		}
		if as, ok := a.body.(raw); ok {
			w.Header().Set("Content-Type", as.mediaType)
			_, _ = w.Write(as.bytes)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(a.status)
		_ = json.NewEncoder(w).Encode(a.body)
	})
}

// ServeHTTP records a request. The next fault answers it, or the server if there is
// none.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	s.mu.Lock()
	s.requests = append(s.requests, Request{r.Method, r.Host, r.RequestURI, r.Header.Clone(), body})
	handle := s.routes.ServeHTTP
	if len(s.faults) > 0 {
		handle = s.faults[0]
		s.faults = s.faults[1:]
	}
	s.mu.Unlock()
	handle(w, r)
}

// RoundTrip answers a client's request without a network.
func (s *Server) RoundTrip(r *http.Request) (response *http.Response, err error) {
	defer func() {
		switch problem := recover(); problem {
		case nil:
		case http.ErrAbortHandler:
			response, err = nil, io.ErrUnexpectedEOF
		default:
			panic(problem)
		}
	}()
	received := r.Clone(r.Context())
	received.Host, received.RequestURI = r.URL.Host, r.URL.RequestURI()
	if r.Body == nil {
		received.Body = http.NoBody
	}
	recorder := httptest.NewRecorder()
	s.ServeHTTP(recorder, received)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	response = recorder.Result()
	response.Request = r
	return response, nil
}

// Requests returns the requests that came since the last call.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.requests
	s.requests = nil
	return all
}

// Lacks takes a permission from the key. With an empty name, the key has all.
func (s *Server) Lacks(permission string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lacks = permission
}

// Add adds a webhook with keys of the list. Keys that are not given have the value of a
// new webhook. The list shows retry_enabled and request_headers only of a webhook that
// was added with them.
func (s *Server) Add(webhook map[string]any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.add(webhook)
}

func (s *Server) add(webhook map[string]any) {
	full := map[string]any{
		"name": "gateway", "webhook_id": fmt.Sprintf("wh_%d", len(s.webhooks)+1), "webhook_url": "https://hooks.example.com/webhooks/elevenlabs",
		"is_disabled": false, "is_auto_disabled": false, "created_at_unix": 1_763_900_000, "auth_type": "hmac",
		"usage": []any{}, "events": []any{}, "most_recent_failure_error_code": nil, "most_recent_failure_timestamp": nil,
	}
	maps.Copy(full, webhook)
	s.webhooks = append(s.webhooks, full)
	s.added[full["webhook_id"]] = webhook
}

// Webhook returns the current state of a webhook, or nil if there is none.
func (s *Server) Webhook(id string) map[string]any {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.find(id))
}

func (s *Server) find(id string) map[string]any {
	for _, w := range s.webhooks {
		if w["webhook_id"] == id {
			return w
		}
	}
	return nil
}

// Settings returns the webhooks object of the workspace's settings.
func (s *Server) Settings() map[string]any {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.settings)
}

// SetSettings replaces the webhooks object of the workspace's settings. The server then
// accepts all of its keys in updates, also those it does not know.
func (s *Server) SetSettings(settings map[string]any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settings = settings
}

// callStart is the key beside an agent's webhooks object. ElevenLabs calls that webhook
// for the data of a call that begins.
const callStart = "conversation_initiation_client_data_webhook"

// SetAgent adds an agent with its webhooks object, which is nil if it has none, and
// with a webhook at callStart.
func (s *Server) SetAgent(id string, webhooks map[string]any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var shown any // null, not an empty object, if there is none
	if webhooks != nil {
		shown = webhooks
	}
	s.agents[id] = map[string]any{"webhooks": shown, callStart: map[string]any{
		"url": "https://crm.example.com/caller", "request_headers": map[string]any{"X-Tenant": "sales"},
	}}
}

// Agent returns an agent's webhooks object.
func (s *Server) Agent(id string) map[string]any {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(webhooksOf(s.agents[id]))
}

// AgentSiblings returns the value beside an agent's webhooks object, or nil if an
// update lost it.
func (s *Server) AgentSiblings(id string) any {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.agents[id][callStart]
}

func webhooksOf(overrides map[string]any) map[string]any {
	webhooks, _ := overrides["webhooks"].(map[string]any)
	return webhooks
}

// unlisted are the settings that the documented list does not have.
var unlisted = []string{"retry_enabled", "request_headers"}

func (s *Server) list(r *http.Request) answer {
	query := r.URL.Query()
	detailed := query.Get("include_usages") == "true"
	query.Del("include_usages")
	if len(query) > 0 {
		return invalid([]problem{{[]any{"query"}, "Extra inputs are not permitted"}})
	}
	shown := make([]map[string]any, 0, len(s.webhooks))
	for _, webhook := range s.webhooks {
		webhook = maps.Clone(webhook)
		for _, setting := range unlisted {
			if _, added := s.added[webhook["webhook_id"]][setting]; !added {
				delete(webhook, setting)
			}
		}
		if detailed {
			webhook["usage"] = s.usage(webhook)
		} else {
			webhook["usage"], webhook["events"] = nil, nil
		}
		shown = append(shown, webhook)
	}
	return success(map[string]any{"webhooks": shown})
}

// usageOfEvents is the usage that follows from each event of the workspace.
var usageOfEvents = map[any]string{
	"voice_library_removal_notice": "Voice Library Removal Notices", "speech_to_text": "Speech to Text",
	"agent_qa": "Agent QA Evaluations", "flows": "Flows",
}

// usage returns the usages that a webhook was added with, and those that follow from
// the settings. It returns nil for a webhook that was added with nil, like ElevenLabs
// for the key of a user who is no administrator.
func (s *Server) usage(webhook map[string]any) any {
	usage, visible := webhook["usage"].([]any)
	if !visible {
		return nil
	}
	usage = slices.Clone(usage)
	use := func(name string) {
		if !slices.ContainsFunc(usage, func(u any) bool { return u.(map[string]any)["usage_type"] == name }) {
			usage = append(usage, map[string]any{"usage_type": name})
		}
	}
	for _, agent := range s.agents {
		if webhooksOf(agent)["post_call_webhook_id"] == webhook["webhook_id"] {
			use("ConvAI Agent Settings")
		}
	}
	if s.settings["post_call_webhook_id"] == webhook["webhook_id"] {
		use("ConvAI Settings")
	}
	events, _ := webhook["events"].([]any)
	for _, event := range events {
		use(usageOfEvents[event])
	}
	return usage
}

func (s *Server) create(r *http.Request) answer {
	body, problems := read(r, createBody)
	if problems != nil {
		return invalid(problems)
	}
	settings := body["settings"].(map[string]any)
	if !strings.HasPrefix(settings["webhook_url"].(string), "https://") {
		return rejection(http.StatusBadRequest, "invalid_webhook_url", "The webhook URL must use HTTPS")
	}
	s.created++
	id := fmt.Sprintf("wh_new_%d", s.created)
	s.add(map[string]any{"webhook_id": id, "name": settings["name"], "webhook_url": settings["webhook_url"]})
	if headers := settings["request_headers"]; headers != nil {
		s.find(id)["request_headers"] = headers
	}
	return success(map[string]any{"webhook_id": id, "webhook_secret": fmt.Sprintf("wsec_new_%d", s.created)})
}

func (s *Server) update(r *http.Request) answer {
	body, problems := read(r, updateBody)
	if problems != nil {
		return invalid(problems)
	}
	webhook := s.find(r.PathValue("id"))
	if webhook == nil {
		return notFound("webhook")
	}
	events, _ := body["events"].([]any)
	for _, event := range events {
		others := 0
		for _, other := range s.webhooks {
			if theirs, _ := other["events"].([]any); other["webhook_id"] != webhook["webhook_id"] && slices.Contains(theirs, event) {
				others++
			}
		}
		if others >= maxPerEvent {
			return rejection(http.StatusBadRequest, "too_many_webhooks", fmt.Sprintf("At most %d webhooks can get the event %s", maxPerEvent, event))
		}
	}
	maps.Copy(webhook, body)
	return success(map[string]any{"status": "ok"})
}

func (s *Server) delete(r *http.Request) answer {
	id := r.PathValue("id")
	webhook := s.find(id)
	if webhook == nil {
		return notFound("webhook")
	}
	if usage, _ := s.usage(webhook).([]any); len(usage) > 0 {
		return rejection(http.StatusMethodNotAllowed, "webhook_in_use", "The webhook is in use and cannot be deleted")
	}
	s.webhooks = slices.DeleteFunc(s.webhooks, func(w map[string]any) bool { return w["webhook_id"] == id })
	return success(map[string]any{"status": "ok"})
}
