package doctor

import (
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/clitest"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/workspace"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/elevenlabs"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/elevenlabs/elevenlabstest"
)

// newMember is a patient with a workspace at ElevenLabs. Its post-call events go
// to the first webhook.
func newMember(t *testing.T) (*patient, *elevenlabstest.Server) {
	p := newPatient(t)
	p.now = time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)
	p.from, p.to = p.now.Add(-24*time.Hour), p.now.Add(89*24*time.Hour)
	p.handler = clitest.Protected(doctorSecret, p.now, clitest.Answering(200))
	workspace := elevenlabstest.New(t)
	workspace.SetSettings(map[string]any{"post_call_webhook_id": "wh_1", "events": []any{"transcript", "audio"}, "transcript_format": "json"})
	p.api = workspace
	t.Setenv("ELEVENLABS_API_KEY", elevenlabstest.Key)
	return p, workspace
}

// hook is a webhook for the URL as the list has it. All of it is well, except for the
// changes.
func hook(changes ...any) map[string]any {
	w := map[string]any{"webhook_url": doctorURL, "retry_enabled": true}
	for i := 0; i < len(changes); i += 2 {
		w[changes[i].(string)] = changes[i+1]
	}
	return w
}

func TestDoctorLooksAtTheWebhook(t *testing.T) {
	type api = *elevenlabstest.Server
	detached := func(_ *patient, s api) { s.SetSettings(map[string]any{"post_call_webhook_id": nil}) }
	failed := func(ago time.Duration) int64 {
		return time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC).Add(-ago).Unix()
	}
	for _, test := range []struct {
		name, check string
		status      status
		says        string
		webhooks    []map[string]any
		spoil       func(*patient, api)
	}{
		{"well", "webhook", statusOK, `"gateway" (wh_1) is for this URL, and enabled`, []map[string]any{hook()}, nil},
		{"the URL in another spelling", "webhook", statusOK, "is for this URL", []map[string]any{hook("webhook_url", "https://HOOKS.example.com:443/webhooks/elevenlabs")}, nil},
		{"none", "webhook", statusFail, "none of the workspace's 0 webhooks is for " + doctorURL + "\n      Remedy: Create it", nil, nil},
		{
			"those of other URLs", "webhook", statusFail,
			"none of the workspace's 2 webhooks is for " + doctorURL + "; this host has " + doctorURL + "/\n",
			[]map[string]any{hook("webhook_url", "https://other.example.com/"), hook("webhook_url", doctorURL+"/")},
			nil,
		},
		{"disabled", "webhook", statusFail, `"gateway" (wh_1) is disabled` + "\n      Remedy: caddy elevenlabs webhooks enable wh_1.", []map[string]any{hook("is_disabled", true)}, nil},
		{
			"disabled by ElevenLabs", "webhook", statusFail,
			"ElevenLabs disabled \"gateway\" (wh_1), since its deliveries failed\n      Remedy: Fix the cause until the check \"signed\" passes, and then: caddy elevenlabs webhooks enable wh_1.",
			[]map[string]any{hook("is_disabled", true, "is_auto_disabled", true)},
			nil,
		},
		{"an old one that is disabled", "webhook", statusWarn, "(wh_2) is disabled", []map[string]any{hook(), hook("is_disabled", true)}, nil},
		{"one in use that is disabled, beside another", "webhook", statusFail, "(wh_1) is disabled", []map[string]any{hook("is_disabled", true), hook()}, nil},
		{"without a signature", "webhook", statusFail, `does not sign its events: it authenticates by "oauth2"`, []map[string]any{hook("auth_type", "oauth2")}, nil},
		{
			"more webhooks than secrets", "webhook", statusFail,
			"2 enabled webhooks are for this URL, each with a secret of its own, but the configuration has 1\n      Remedy: Give elevenlabs_webhook a `secret` for each",
			[]map[string]any{hook(), hook(), hook("is_disabled", true)},
			nil,
		},
		{"as many webhooks as secrets", "webhook", statusOK, "2 enabled webhooks are for this URL, each with a secret of its own, and the configuration has 2", []map[string]any{hook(), hook()}, func(p *patient, _ api) {
			p.first().Secrets = append(p.first().Secrets, p.first().Secrets[0])
		}},
		{"several webhooks, and secrets that are not known", "webhook", statusWarn, "2 enabled webhooks are for this URL", []map[string]any{hook(), hook()}, func(p *patient, _ api) {
			p.config.Handlers, p.args = nil, []string{"--url", doctorURL}
		}},
		{"another workspace's key", "webhook", statusFail, "Remedy: This check needs an API key of the workspace that has the webhook", []map[string]any{hook()}, func(p *patient, _ api) {
			p.t.Setenv("ELEVENLABS_API_KEY", "sk_other")
		}},
		{"a key that may not see webhooks", "webhook", statusFail, "Remedy: Give the API key the permission webhooks_read.", []map[string]any{hook()}, func(_ *patient, s api) {
			s.Lacks("webhooks_read")
		}},
		{"an empty key", "webhook", statusSkip, "there is no API key: the environment variable ELEVENLABS_API_KEY is blank; see --api-key-file\n", nil, func(p *patient, _ api) {
			p.t.Setenv("ELEVENLABS_API_KEY", "")
		}},
		{"no key", "webhook", statusSkip, "there is no API key: the environment variable ELEVENLABS_API_KEY is not set; see --api-key-file\n", nil, func(p *patient, _ api) {
			require.NoError(p.t, os.Unsetenv("ELEVENLABS_API_KEY"))
		}},

		{"the workspace's post-call events", "attached", statusOK, `"gateway" (wh_1) gets: events after calls in the workspace: transcript, audio; transcripts as json`, []map[string]any{hook()}, nil},
		{"the workspace's other events", "attached", statusOK, "gets: events of the workspace: speech_to_text, flows", []map[string]any{hook("events", []any{"speech_to_text", "flows"})}, detached},
		{"an agent's post-call events", "attached", statusOK, "gets: events after calls of agent agent_1: audio", []map[string]any{hook()}, func(p *patient, s api) {
			detached(p, s)
			s.SetAgent("agent_1", map[string]any{"post_call_webhook_id": "wh_1", "events": []any{"audio"}})
			p.args = []string{"--agent", "agent_1"}
		}},
		{"an agent that was not named", "attached", statusOK, "gets: ConvAI Agent Settings", []map[string]any{hook()}, func(p *patient, s api) {
			detached(p, s)
			s.SetAgent("agent_1", map[string]any{"post_call_webhook_id": "wh_1"})
		}},
		{
			"nothing", "attached", statusFail,
			`nothing points at "gateway" (wh_1): ElevenLabs calls it only for requests that name it` + "\n      Remedy: caddy elevenlabs webhooks attach wh_1.",
			[]map[string]any{hook()},
			detached,
		},
		{
			"nothing that is seen", "attached", statusWarn,
			`nothing that this API key sees points at "gateway" (wh_1): ElevenLabs never calls such a webhook` + "\n      Remedy: caddy elevenlabs webhooks attach wh_1. An agent may have it in settings of its own: --agent looks there.",
			[]map[string]any{hook("usage", nil)},
			detached,
		},
		{"an agent that does not exist", "attached", statusWarn, "Remedy: There is no such agent in this workspace: give its id by --agent", []map[string]any{hook()}, func(p *patient, s api) {
			detached(p, s)
			p.args = []string{"--agent", "agent_of_nobody"}
		}},
		{"settings that may not be read", "attached", statusWarn, "Remedy: Give the API key the permission to read", []map[string]any{hook()}, func(p *patient, s api) {
			detached(p, s)
			s.Lacks("convai_read")
		}},
		{"nothing, at one of two", "attached", statusWarn, `nothing that this API key sees points at "gateway" (wh_2)`, []map[string]any{hook(), hook()}, nil},
		{"what cannot be read", "attached", statusWarn, `it is unknown what points at "gateway" (wh_1): `, []map[string]any{hook()}, func(p *patient, s api) {
			detached(p, s)
			p.args = []string{"--agent", "agent_of_nobody"}
		}},

		{"on", "retries", statusOK, `they are on for "gateway" (wh_1)`, []map[string]any{hook()}, nil},
		{"off", "retries", statusWarn, "they are off for \"gateway\" (wh_1)\n      Remedy: caddy elevenlabs webhooks update wh_1 --retries", []map[string]any{hook("retry_enabled", false)}, nil},
		{"not shown by ElevenLabs", "retries", statusSkip, "ElevenLabs does not show whether they are on for \"gateway\" (wh_1)\n      Remedy: To be sure: caddy elevenlabs webhooks update wh_1 --retries", []map[string]any{{}}, nil},

		{"none known", "failures", statusOK, `none is known of "gateway" (wh_1)`, []map[string]any{hook()}, nil},
		{"lately", "failures", statusWarn, `the last of "gateway" (wh_1): 401, 2029-12-31T12:00:00Z, the server has another secret`, []map[string]any{
			hook("most_recent_failure_error_code", 401, "most_recent_failure_timestamp", failed(24*time.Hour)),
		}, nil},
		{"long ago", "failures", statusOK, "401, 2029-12-22T12:00:00Z", []map[string]any{
			hook("most_recent_failure_error_code", 401, "most_recent_failure_timestamp", failed(10*24*time.Hour)),
		}, nil},
		{"at an unknown time", "failures", statusWarn, `the last of "gateway" (wh_1): 502, `, []map[string]any{hook("most_recent_failure_error_code", 502)}, nil},
	} {
		t.Run(test.check+" "+test.name, func(t *testing.T) {
			p, workspace := newMember(t)
			for _, w := range test.webhooks {
				workspace.Add(w)
			}
			if test.spoil != nil {
				test.spoil(p, workspace)
			}
			got := p.run()
			lines := line(got, test.check)
			assert.Regexp(t, `(?m)^`+string(test.status)+`\s`, lines, got.Stdout)
			assert.Contains(t, lines, test.says)
			if test.status == statusFail {
				assert.Equal(t, 2, got.Code)
			}
			if test.status == statusFail || test.status == statusWarn {
				assert.Contains(t, lines, "      Remedy: ")
			}
			assert.NotContains(t, got.Stdout+got.Stderr, elevenlabstest.Key)
			for _, r := range workspace.Requests() {
				assert.Equal(t, http.MethodGet, r.Method, "nothing is changed")
			}
		})
	}
}

func TestDoctorNeedsTheURLToFindTheWebhook(t *testing.T) {
	got := (&examination{options: options{workspace: &workspace.Workspace{Client: new(elevenlabs.Client)}}}).checkWebhook(t.Context())
	assert.Equal(t, only(statusSkip, "there is no URL"), got)
}

func TestDoctorSaysHowAnAPIKeyIsGiven(t *testing.T) {
	p, workspace := newMember(t)
	workspace.Add(hook())
	t.Setenv("BLANK", " ")
	got := p.run("--api-key-env", "BLANK")
	assert.Equal(t, 1, got.Code)
	assert.ErrorContains(t, got.Err, "BLANK is blank")
	for _, args := range [][]string{{"--api-key-env", "NOT_SET"}, {"--api-key-file", "none"}, {"--region", "mars"}} {
		got := p.run(args...)
		assert.Equal(t, 1, got.Code, args)
		assert.Empty(t, got.Stdout)
	}
}

func TestDoctorPrintsOfTheWebhook(t *testing.T) {
	for name, test := range map[string]struct {
		setUp string
		spoil func(*elevenlabstest.Server)
	}{
		"member": {"The workspace has one webhook for the URL, and all is well.", func(s *elevenlabstest.Server) { s.Add(hook()) }},
		"disabled": {`Two webhooks are for the URL. The first gets no events, and its retries are off.
ElevenLabs disabled the second after a 401.`, func(s *elevenlabstest.Server) {
			s.Add(hook("name", "old", "retry_enabled", false))
			s.Add(hook("is_disabled", true, "is_auto_disabled", true, "most_recent_failure_error_code", 401, "most_recent_failure_timestamp", 1_893_456_000))
			s.SetSettings(map[string]any{"post_call_webhook_id": "wh_2", "events": []any{"transcript"}})
		}},
	} {
		t.Run(name, func(t *testing.T) {
			p, workspace := newMember(t)
			test.spoil(workspace)
			p.golden(name, test.setUp)
		})
	}
}
