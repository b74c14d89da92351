package doctor

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/elevenlabs/elevenlabstest"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/stored"
)

func TestDoctorSaysHowManyCallsAreMissing(t *testing.T) {
	const remembering = `[{"inbox":"default","database":"HERE","handlers":1,"up":true,"events":{},"remember_seconds":259200}]`
	call := func(id string, ago time.Duration, seconds int) elevenlabstest.Conversation {
		return elevenlabstest.Conversation{
			ID: id, Agent: "agent_" + id, Start: time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC).Add(-ago).Unix(), Duration: seconds, Messages: 2,
		}
	}
	for _, test := range []struct {
		name   string
		status status
		says   string
		spoil  func(*patient, *elevenlabstest.Server)
	}{
		{"none", statusOK, "no transcript is missing of the 2 calls of the last 24h0m0s\n", nil},
		{"some", statusWarn, "the inbox has no transcript of 1 of the 3 calls of the last 24h0m0s\n      Remedy: If this webhook should have got them: caddy elevenlabs inbox backfill https://hooks.example.com/webhooks/elevenlabs --since 24h --dry-run lists them", func(_ *patient, s *elevenlabstest.Server) {
			s.AddConversation(call("3", 5*time.Hour, 60))
		}},
		{"one that ended lately", statusOK, "of the 3 calls", func(_ *patient, s *elevenlabstest.Server) {
			s.AddConversation(call("3", 2*time.Hour, 3700))
		}},
		{"one of the day before", statusOK, "of the 2 calls", func(_ *patient, s *elevenlabstest.Server) {
			s.AddConversation(call("3", 25*time.Hour, 60))
		}},
		{"those of an agent", statusOK, "of the 1 calls", func(p *patient, s *elevenlabstest.Server) {
			s.SetAgent("agent_1", nil)
			s.AddConversation(call("3", 5*time.Hour, 60))
			p.args = append(p.args, "--agent", "agent_1")
		}},
		// Without --agent, the command would send the calls of all agents.
		{"those of two agents", statusWarn, "--since 24h --agent agent_1,agent_3 --dry-run lists them, and without --dry-run it sends them.\n", func(p *patient, s *elevenlabstest.Server) {
			s.SetAgent("agent_1", nil)
			s.SetAgent("agent_3", nil)
			s.AddConversation(call("3", 5*time.Hour, 60))
			p.args = append(p.args, "--agent", "agent_1,agent_3")
		}},
		{"an inbox that forgets sooner", statusOK, "of the 0 calls of the last 1h0m0s", func(p *patient, _ *elevenlabstest.Server) {
			p.inboxes = strings.ReplaceAll(p.inboxes, "259200", "3600")
		}},
		{"no inbox", statusSkip, "there is no inbox in the configuration, so nothing says of which calls an event came", func(p *patient, _ *elevenlabstest.Server) {
			p.first().Inbox = nil
		}},
		{"no API key", statusSkip, "there is no API key to ask ElevenLabs for its calls; see --api-key-file", func(p *patient, _ *elevenlabstest.Server) {
			p.t.Setenv("ELEVENLABS_API_KEY", "")
		}},
		{"no admin endpoint", statusSkip, "nothing says where Caddy's admin endpoint is", func(p *patient, _ *elevenlabstest.Server) {
			p.config.Admin = ""
		}},
		{"no answer", statusSkip, "the inbox cannot be asked: connection refused", func(p *patient, _ *elevenlabstest.Server) {
			p.adminErr = errors.New("connection refused")
		}},
		{"an older Caddy", statusSkip, "it is older than this command", func(p *patient, _ *elevenlabstest.Server) {
			p.inboxes = strings.ReplaceAll(p.inboxes, `,"remember_seconds":259200`, "")
		}},
		{"a key that may not", statusSkip, "the calls cannot be compared: listing conversations: ElevenLabs answered 401", func(_ *patient, s *elevenlabstest.Server) {
			s.Lacks("convai_read")
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			p, workspace := newMember(t)
			workspace.Add(hook())
			p.withInbox(cmdutil.ConfigInbox{Database: "postgres://db.example.com/events"}, remembering)
			workspace.AddConversation(call("1", 23*time.Hour, 60))
			workspace.AddConversation(call("2", 4*time.Hour, 60))
			for _, id := range []string{"1", "2"} {
				p.stored = append(p.stored, stored.Event{Seq: 1, Inbox: "default", EventType: "post_call_transcription", ConversationID: id})
			}
			if test.spoil != nil {
				test.spoil(p, workspace)
			}
			got := p.run("--no-send")
			lines := line(got, "missing")
			assert.Regexp(t, `^`+string(test.status)+`\s`, lines, got.Stdout)
			assert.Contains(t, lines, test.says)
			assert.NotEqual(t, 1, got.Code)
		})
	}
}

// listed is what the admin endpoint says of stored events.
func (p *patient) listed() string {
	text, err := json.Marshal(append([]stored.Event{}, p.stored...))
	require.NoError(p.t, err)
	return string(text)
}
