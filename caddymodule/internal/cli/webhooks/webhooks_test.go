package webhooks

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/clitest"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/elevenlabs/elevenlabstest"
)

const testURL = "https://hooks.example.com/webhooks/elevenlabs"

// elevenLabs is ElevenLabs's API as the commands reach it in tests.
type elevenLabs struct {
	*elevenlabstest.Server
	address string

	mu      sync.Mutex
	changes []string // those that came, with their bodies
	faults  map[string]int
	arrived func(change string)
}

func newElevenLabs(t *testing.T) *elevenLabs {
	t.Helper()
	t.Setenv("ELEVENLABS_API_KEY", elevenlabstest.Key)
	server := elevenlabstest.New(t)
	return &elevenLabs{Server: server, address: strings.TrimPrefix(server.URL, "http://"), faults: map[string]int{}}
}

// RoundTrip takes a request for ElevenLabs to the fake, notes it if it changes
// something, and answers it with a fault if there is one for it.
func (e *elevenLabs) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.URL.Scheme, r.URL.Host = "http", e.address
	change := r.Method + " " + r.URL.RequestURI()
	status, failing := e.faults[change]
	if r.Method != http.MethodGet {
		body := []byte{}
		if r.Body != nil {
			var err error
			if body, err = io.ReadAll(r.Body); err != nil {
				return nil, err
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
		}
		e.mu.Lock()
		e.changes = append(e.changes, strings.TrimSpace(change+" "+string(body)))
		e.mu.Unlock()
		if e.arrived != nil {
			e.arrived(change)
		}
	}
	if failing {
		return &http.Response{
			StatusCode: status, Header: http.Header{"Content-Type": {"application/json"}}, Request: r,
			Body: io.NopCloser(strings.NewReader(`{"detail":{"status":"refused","message":"No."}}`)),
		}, nil
	}
	return http.DefaultTransport.RoundTrip(r)
}

func (e *elevenLabs) env() cmdutil.Env { return cmdutil.Env{Now: clitest.Stopped.Now, API: e} }

// run runs `caddy elevenlabs webhooks`.
func (e *elevenLabs) run(args ...string) clitest.Outcome {
	return clitest.Run(NewCmdWebhooks, e.env(), "", append([]string{"webhooks"}, args...)...)
}

// runWith runs it with a context and standard input and output of a test's own.
func (e *elevenLabs) runWith(ctx context.Context, stdin io.Reader, stdout io.Writer, args ...string) (stderr string, err error) {
	outcome := clitest.RunWith(ctx, NewCmdWebhooks, e.env(), stdin, stdout, append([]string{"webhooks"}, args...)...)
	return outcome.Stderr, outcome.Err
}

// usages are what ElevenLabs says that a webhook is used by.
func usages(names ...string) []any {
	all := make([]any, 0, len(names))
	for _, name := range names {
		all = append(all, map[string]any{"usage_type": name})
	}
	return all
}

// attached is a webhooks object with a webhook.
func attached(id any, events ...any) map[string]any {
	return map[string]any{"post_call_webhook_id": id, "events": events, "transcript_format": "json", "send_audio": nil}
}

// addOne adds a webhook that nothing points at.
func addOne(e *elevenLabs) { e.Add(map[string]any{"webhook_id": "wh_1"}) }

// two adds another, which the workspace's settings and an agent's point at.
func two(e *elevenLabs) {
	addOne(e)
	e.Add(map[string]any{"webhook_id": "wh_2", "name": "other", "webhook_url": "https://other.example.com/"})
	settings := attached("wh_2", "transcript", "audio")
	settings["exclude_transcript"] = true
	e.SetSettings(settings)
	e.SetAgent("agent_1", attached("wh_2", "transcript"))
	e.SetAgent("agent_2", nil)
}

// used adds a webhook that is used wherever it can be.
func used(e *elevenLabs) {
	e.Add(map[string]any{"webhook_id": "wh_old", "events": []any{"speech_to_text", "flows"}})
	e.SetSettings(attached("wh_old", "transcript", "audio"))
	e.SetAgent("agent_1", attached("wh_old", "call_initiation_failure"))
	e.SetAgent("agent_2", attached("wh_other", "transcript"))
}

// rotating adds a new one like it.
func rotating(e *elevenLabs) {
	used(e)
	e.Add(map[string]any{"webhook_id": "wh_new_1"})
}

// switched has the new one in its place.
func switched(e *elevenLabs) {
	e.Add(map[string]any{"webhook_id": "wh_old"})
	e.Add(map[string]any{"webhook_id": "wh_new_1", "events": []any{"speech_to_text", "flows"}})
	e.SetSettings(attached("wh_new_1", "transcript", "audio"))
	e.SetAgent("agent_1", attached("wh_new_1", "call_initiation_failure"))
	e.SetAgent("agent_2", nil)
}

// forMember makes the key that of somebody who is no administrator.
func forMember(e *elevenLabs) { e.faults["GET /v1/workspace/webhooks?include_usages=true"] = 403 }

// TestWebhooksPrints holds what the commands print, as text and as JSON, and
// what they change at ElevenLabs.
func TestWebhooksPrints(t *testing.T) {
	for name, test := range map[string]struct {
		setUp func(*elevenLabs)
		args  string
		code  int
	}{
		"list": {func(e *elevenLabs) {
			e.Add(map[string]any{
				"webhook_id": "wh_1", "usage": usages("Speech to Text"), "events": []any{"speech_to_text"}, "retry_enabled": true,
				"most_recent_failure_error_code": 502, "most_recent_failure_timestamp": clitest.Now.Unix() - 8*24*60*60,
			})
			e.Add(map[string]any{
				"webhook_id": "wh_2", "name": "sales", "webhook_url": "https://sales.example.com/",
				"most_recent_failure_error_code": 401, "most_recent_failure_timestamp": clitest.Now.Unix() - 60,
			})
			e.Add(map[string]any{"webhook_id": "wh_3", "name": "spare", "of_next_year": map[string]any{"a": 1}, "nothing": nil})
			e.Add(map[string]any{"webhook_id": "wh_4", "name": "off", "is_disabled": true})
			e.Add(map[string]any{
				"webhook_id": "wh_5", "name": "steers\x1b[2J", "is_auto_disabled": true, "auth_type": "oauth2", "usage": usages("Dubbing"),
				"most_recent_failure_error_code": nil, "most_recent_failure_timestamp": clitest.Now.Unix() - 60,
			})
			settings := attached("wh_1", "transcript", "audio")
			settings["exclude_transcript"], settings["send_audio"] = true, true
			e.SetSettings(settings)
			e.SetAgent("agent_1", attached("wh_2", "transcript"))
			e.SetAgent("agent_2", nil)
		}, "list --agent agent_1,agent_2", 0},
		"list_empty": {func(*elevenLabs) {}, "list", 0},
		"list_not_an_administrator": {func(e *elevenLabs) {
			e.Add(map[string]any{"webhook_id": "wh_1", "usage": nil})
		}, "list", 0},
		"list_member":           {func(e *elevenLabs) { rotating(e); forMember(e) }, "list", 0},
		"list_agents_not_named": {used, "list --agent agent_2", 0},
		"list_without_settings": {func(e *elevenLabs) {
			addOne(e)
			e.faults["GET /v1/convai/settings"] = 401
		}, "list", 1},

		"list_headers": {func(e *elevenLabs) {
			e.Add(map[string]any{"webhook_id": "wh_1", "request_headers": map[string]any{"X-Tenant": "sales", "Authorization": "Bearer hidden"}})
			e.Add(map[string]any{"webhook_id": "wh_2", "request_headers": []any{"hidden"}})
			e.Add(map[string]any{"webhook_id": "wh_3", "request_headers": nil})
		}, "list", 0},

		"create_print":    {func(*elevenLabs) {}, "create --name gateway --url " + testURL + " --print-secret", 0},
		"create":          {two, "create --name gateway --url " + testURL + " --secret-out SECRET --retries --header X-Env=prod --events speech_to_text,transcript,audio --agent agent_2 --transcript-format opentelemetry", 0},
		"create_attached": {func(*elevenLabs) {}, "create --name gateway --url " + testURL + " --secret-out SECRET --attach", 0},
		"create_taken":    {two, "create --name gateway --url " + testURL + " --secret-out SECRET --attach --agent agent_1", 2},
		"create_left_all": {func(e *elevenLabs) { e.faults["PATCH /v1/workspace/webhooks/wh_new_1"] = 400 }, "create --name gateway --url " + testURL + " --secret-out SECRET --retries --events flows,audio --attach --transcript-format json", 1},
		"create_left_flags": {func(e *elevenLabs) {
			e.faults["PATCH /v1/convai/settings"] = 400
			t.Setenv("KEY", elevenlabstest.Key)
		}, "create --name gateway --url " + testURL + " --secret-out SECRET --retries --attach --region eu --api-key-env KEY", 1},
		"create_left_last":    {func(e *elevenLabs) { e.faults["PATCH /v1/convai/settings"] = 403 }, "create --name gateway --url " + testURL + " --print-secret --retries --attach", 1},
		"create_not_created":  {func(e *elevenLabs) { e.faults["POST /v1/workspace/webhooks"] = 422 }, "create --name gateway --url " + testURL + " --secret-out SECRET", 1},
		"create_no_such_user": {func(*elevenLabs) {}, "create --name gateway --url " + testURL + " --secret-out SECRET --agent agent_0", 1},

		"update":               {addOne, "update gateway --name renamed --retries --header X-Env=prod --header X-Tenant=a=b --events flows,agent_qa,flows", 0},
		"update_some":          {addOne, "update gateway --retries --header X-Env=prod --events speech_to_text,flows", 0},
		"update_left":          {func(e *elevenLabs) { addOne(e); e.faults["PATCH /v1/workspace/webhooks/wh_1"] = 400 }, "update gateway --retries", 1},
		"update_header_file":   {addOne, "update gateway --header-file HEADERS --header X-Env=prod", 0},
		"update_no_headers":    {addOne, "update gateway --no-headers", 0},
		"update_off":           {func(e *elevenLabs) { e.Add(map[string]any{"webhook_id": "wh_1", "is_disabled": true}) }, "update wh_1 --retries=false --events=", 0},
		"enable":               {func(e *elevenLabs) { e.Add(map[string]any{"webhook_id": "wh_1", "is_disabled": true}) }, "enable gateway", 0},
		"enable_not_taken":     {func(e *elevenLabs) { e.Add(map[string]any{"webhook_id": "wh_1", "is_auto_disabled": true}) }, "enable gateway", 2},
		"disable":              {addOne, "disable gateway", 0},
		"delete":               {two, "delete gateway --yes", 0},
		"delete_in_use":        {two, "delete other --agent agent_1,agent_2", 2},
		"delete_in_use_member": {func(e *elevenLabs) { rotating(e); forMember(e); e.SetSettings(attached(nil)) }, "delete wh_old --yes", 2},
		"delete_left":          {func(e *elevenLabs) { addOne(e); e.faults["DELETE /v1/workspace/webhooks/wh_1"] = 403 }, "delete wh_1 --yes", 1},
		"delete_used_events":   {func(e *elevenLabs) { e.Add(map[string]any{"webhook_id": "wh_1", "events": []any{"flows"}}) }, "delete wh_1 --yes", 2},

		"attach":              {addOne, "attach gateway", 0},
		"attach_again":        {two, "attach other", 0},
		"attach_events":       {addOne, "attach gateway --events transcript,audio,transcript --transcript-format opentelemetry", 0},
		"attach_to_agents":    {two, "attach gateway --agent agent_1 --agent agent_2 --replace --events audio", 0},
		"attach_to_workspace": {func(e *elevenLabs) { e.Add(map[string]any{"webhook_id": "wh_1", "events": []any{"flows"}}) }, "attach gateway --events speech_to_text", 0},
		"attach_to_both":      {addOne, "attach gateway --events speech_to_text,audio", 0},
		"attach_taken":        {two, "attach gateway --events speech_to_text,audio", 2},
		"attach_replacing":    {two, "attach gateway --replace", 0},
		"attach_disabled": {func(e *elevenLabs) {
			two(e)
			e.Add(map[string]any{"webhook_id": "wh_3", "name": "off", "is_auto_disabled": true})
		}, "attach off --replace --events flows,transcript", 2},
		"attach_left": {func(e *elevenLabs) {
			two(e)
			e.SetAgent("agent_1", attached("wh_2", "transcript", "of_next_year"))
			e.faults["PATCH /v1/convai/agents/agent_1"] = 403
		}, "attach gateway --agent agent_1 --replace", 1},
		"attach_no_events_told": {func(e *elevenLabs) { e.Add(map[string]any{"webhook_id": "wh_1", "events": nil}) }, "attach gateway --events flows", 0},
		"attach_no_usages_told": {func(e *elevenLabs) { e.Add(map[string]any{"webhook_id": "wh_1", "usage": nil}) }, "attach gateway --events flows", 2},
		"attach_unlisted":       {func(e *elevenLabs) { addOne(e); e.SetSettings(attached("wh_0")) }, "attach gateway", 2},

		"attach_events_unknown": {func(e *elevenLabs) { rotating(e); forMember(e) }, "attach wh_old --events agent_qa", 2},
		"attach_member":         {func(e *elevenLabs) { addOne(e); forMember(e) }, "attach gateway", 0},

		"detach":                {two, "detach other", 0},
		"detach_agent":          {two, "detach other --agent agent_1", 0},
		"detach_events":         {func(e *elevenLabs) { e.Add(map[string]any{"webhook_id": "wh_1", "events": []any{"flows"}}) }, "detach gateway --events flows", 0},
		"detach_events_unknown": {func(e *elevenLabs) { rotating(e); forMember(e) }, "detach wh_old --events flows", 2},
		"detach_not_attached":   {two, "detach gateway --agent agent_1,agent_2 --events flows", 2},

		"rotate": {func(e *elevenLabs) {
			used(e)
			e.Add(map[string]any{"webhook_id": "wh_1", "name": "knows", "retry_enabled": true, "request_headers": map[string]any{"X-Env": "prod"}, "events": []any{"flows"}})
		}, "rotate knows --secret-out SECRET", 0},
		"rotate_agents":       {used, "rotate wh_old --secret-out SECRET --name gateway-2 --retries --header X-Env=prod", 0},
		"rotate_agents_named": {used, "rotate wh_old --secret-out SECRET --agent agent_1,agent_2", 0},
		"rotate_print":        {addOne, "rotate gateway --print-secret", 0},
		"rotate_headers_half_told": {func(e *elevenLabs) {
			e.Add(map[string]any{"webhook_id": "wh_1", "request_headers": map[string]any{"X-Env": "prod", "X-Token": map[string]any{"secret_id": "1"}}})
		}, "rotate gateway --secret-out SECRET", 0},
		"rotate_left":        {func(e *elevenLabs) { addOne(e); e.faults["PATCH /v1/workspace/webhooks/wh_new_1"] = 400 }, "rotate gateway --secret-out SECRET --retries", 1},
		"rotate_switch":      {rotating, "rotate wh_old --switch-to wh_new_1 --agent agent_1 --agent agent_2", 0},
		"rotate_switch_rest": {rotating, "rotate wh_old --switch-to wh_new_1", 2},
		"rotate_switch_left": {func(e *elevenLabs) { rotating(e); e.faults["PATCH /v1/workspace/webhooks/wh_new_1"] = 400 }, "rotate wh_old --switch-to wh_new_1 --agent agent_1", 1},
		"rotate_switch_left_flags": {func(e *elevenLabs) {
			rotating(e)
			e.faults["PATCH /v1/workspace/webhooks/wh_new_1"] = 400
		}, "rotate wh_old --switch-to wh_new_1 --api-key-file KEY --region us", 1},
		"rotate_region": {used, "rotate wh_old --secret-out SECRET --region eu --agent agent_1", 0},
		"rotate_switch_again": {func(e *elevenLabs) {
			addOne(e)
			e.Add(map[string]any{"webhook_id": "wh_2"})
			e.SetSettings(attached("wh_2"))
		}, "rotate wh_1 --switch-to wh_2", 0},
		"rotate_switch_no_events_told": {func(e *elevenLabs) {
			e.Add(map[string]any{"webhook_id": "wh_1", "events": nil})
			e.Add(map[string]any{"webhook_id": "wh_2", "events": nil})
			e.SetSettings(attached("wh_1"))
		}, "rotate wh_1 --switch-to wh_2", 0},
		"rotate_switch_dubbing": {func(e *elevenLabs) {
			e.Add(map[string]any{"webhook_id": "wh_1", "usage": usages("Dubbing")})
			e.Add(map[string]any{"webhook_id": "wh_2"})
		}, "rotate wh_1 --switch-to wh_2", 2},
		"rotate_switch_unknown": {func(e *elevenLabs) { rotating(e); forMember(e) }, "rotate wh_old --switch-to wh_new_1", 2},
		"rotate_switch_off":     {func(e *elevenLabs) { addOne(e); e.Add(map[string]any{"webhook_id": "wh_2", "is_disabled": true}) }, "rotate wh_1 --switch-to wh_2", 2},
		"rotate_switch_other":   {two, "rotate wh_2 --switch-to wh_1", 2},
		"rotate_switch_itself":  {two, "rotate wh_2 --switch-to wh_2", 2},
		"rotate_finish":         {switched, "rotate wh_old --finish --agent agent_1 --agent agent_2 --yes", 0},
		"rotate_finish_unknown": {func(e *elevenLabs) { addOne(e); e.Add(map[string]any{"webhook_id": "wh_2"}); forMember(e) }, "rotate wh_1 --finish --yes", 2},
		"rotate_finish_in_use":  {rotating, "rotate wh_old --finish --yes --agent agent_1", 2},
	} {
		t.Run(name, func(t *testing.T) {
			for _, form := range []string{"txt", "json"} {
				e := newElevenLabs(t)
				test.setUp(e)
				file := filepath.Join(t.TempDir(), "secret")
				key := filepath.Join(t.TempDir(), "key")
				require.NoError(t, os.WriteFile(key, []byte(elevenlabstest.Key), 0o600))
				headers := filepath.Join(t.TempDir(), "headers")
				require.NoError(t, os.WriteFile(headers, []byte("X-Tenant: hidden: a=b \r\n\nAuthorization:Bearer hidden\nX-Env: test\n"), 0o600))
				args := strings.Fields(strings.NewReplacer("SECRET", file, "HEADERS", headers, "--api-key-file KEY", "--api-key-file "+key).Replace(test.args))
				if form == "json" {
					args = append(args, "--json")
				}
				got := e.run(args...)
				assert.Equal(t, test.code, got.Code, got.Err)
				assert.Empty(t, got.Stderr)
				printed := got.Stdout
				if got.Err != nil {
					printed += "Error: " + got.Err.Error() + "\n"
				}
				printed = strings.NewReplacer(file, "/etc/caddy/secret", key, "key.txt").Replace(printed)
				clitest.Golden(t, filepath.Join("webhooks", name+"."+form), printed)
				clitest.Golden(t, filepath.Join("webhooks", name+".requests"), strings.Join(append(e.changes, ""), "\n"))
				assert.NotContains(t, printed, elevenlabstest.Key)
				assert.NotContains(t, printed, "hidden", "it is the value of a header")
				if !strings.Contains(test.args, "--print-secret") {
					assert.NotContains(t, printed, "wsec_")
				}
				if secret, err := os.ReadFile(file); err == nil {
					assert.Equal(t, "wsec_new_1", string(secret))
				} else {
					assert.NotContains(t, printed, file)
				}
			}
		})
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestAWebhookIsFoundByItsIDAndByANameOrURLThatNoOtherHas(t *testing.T) {
	e := newElevenLabs(t)
	e.Add(map[string]any{"webhook_id": "wh_1", "name": "twin"})
	e.Add(map[string]any{"webhook_id": "wh_2", "name": "twin", "webhook_url": "https://a.example.com/"})
	e.Add(map[string]any{"webhook_id": "wh_3", "name": "wh_1"})
	e.Add(map[string]any{"webhook_id": "wh_4", "name": "", "webhook_url": "https://b.example.com/"})
	for argument, want := range map[string]string{
		"wh_1":                   "wh_1", // though another has this for its name
		"https://a.example.com/": "wh_2",
		"wh_3":                   "wh_3",
	} {
		got := e.run("disable", argument)
		require.NoError(t, got.Err)
		assert.Contains(t, got.Stdout, "("+want+")")
	}
	for argument, want := range map[string]string{
		"twin":  `"twin" is the name or URL of 2 webhooks: give one of the ids wh_1, wh_2`,
		testURL: "ids wh_1, wh_3",
		"nope":  `there is no webhook "nope" in this workspace`,
		"":      `there is no webhook "" in this workspace`,
	} {
		got := e.run("disable", argument)
		require.ErrorContains(t, got.Err, want)
		assert.Equal(t, 1, got.Code)
	}
	assert.Len(t, e.changes, 3)
}
