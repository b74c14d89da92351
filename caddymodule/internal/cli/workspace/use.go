package workspace

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
)

// AgentUsage is ElevenLabs's word for agents that a webhook is attached to.
const AgentUsage = "ConvAI Agent Settings"

// Use is something that points at a webhook.
type Use struct {
	Where   string   `json:"where"` // as in --help
	Agent   string   `json:"agent_id,omitempty"`
	Events  []string `json:"events,omitempty"`
	Format  string   `json:"transcript_format,omitempty"`
	NoTurns bool     `json:"exclude_transcript,omitempty"`
	Other   Extras   `json:"other,omitempty"`
}

// String describes the use in one line.
func (u Use) String() string {
	text := u.Where
	if len(u.Events) > 0 {
		text += ": " + strings.Join(u.Events, ", ")
	}
	if u.Format != "" {
		text += "; transcripts as " + u.Format
	}
	if u.NoTurns {
		text += "; transcripts without turns"
	}
	return strings.Join(append([]string{text}, u.Other.Words()...), "; ")
}

// Extras are settings at ElevenLabs that this program does not know.
type Extras map[string]json.RawMessage

// Words returns those that have a value, as key=value.
func (e Extras) Words() []string {
	var words []string
	for _, key := range slices.Sorted(maps.Keys(e)) {
		value := new(bytes.Buffer)
		_ = json.Compact(value, e[key]) // it was read as JSON before
		if value.String() != "null" {
			words = append(words, cmdutil.Printable(key+"="+value.String()))
		}
	}
	return words
}

// Uses returns what points at each webhook, by its id. It reads the webhooks' own
// settings, the workspace's, and those of the agents that --agent names.
func (w *Workspace) Uses(cmd *cobra.Command) (map[string][]Use, error) {
	uses := map[string][]Use{}
	for _, webhook := range w.Webhooks {
		if len(webhook.Events) > 0 {
			uses[webhook.ID] = append(uses[webhook.ID], Use{Where: "events of the workspace", Events: webhook.Events})
		}
	}
	for _, s := range Slots(true, w.Agents) {
		settings, err := w.Read(cmd, s)
		if err != nil {
			return uses, err
		}
		if id := settings.WebhookID; id != "" {
			uses[id] = append(uses[id], Use{
				Where: s.String(), Agent: s.Agent, Events: settings.Events, Format: settings.TranscriptFormat,
				NoTurns: settings.ExcludeTranscript != nil && *settings.ExcludeTranscript, Other: settings.Extra,
			})
		}
	}
	return uses, nil
}
