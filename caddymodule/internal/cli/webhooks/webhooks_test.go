package webhooks

import (
	"bytes"
	"context"
	"io"
	"net/http"
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

// forMember makes the API key that of a member who is no administrator.
func forMember(e *elevenLabs) { e.faults["GET /v1/workspace/webhooks?include_usages=true"] = 403 }

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
