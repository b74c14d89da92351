package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/elevenlabs"
)

func webhooksListCommand(env cmdutil.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "Lists the workspace's webhooks, how they fare, and what uses them",
		Long: `Lists all that ElevenLabs tells of the workspace's webhooks: how each fares and
how it failed last, then its settings, and what uses it.

A webhook is
  ok             it did not fail lately; says so if nothing points at it
  failing        a delivery failed within the last 7 days: ElevenLabs tells of the
                 last failure, but not whether there was a success since
  disabled       somebody disabled it
  auto-disabled  ElevenLabs disabled it, since its deliveries failed

What uses it, ElevenLabs tells only to administrators, and not which agents: name
those that you want to know about by --agent.

Signing secrets are not in the list: ElevenLabs shows one only when its webhook
is created. Of the headers that go with deliveries, the list has only the names.`,
		Example: `  caddy elevenlabs webhooks list
  caddy elevenlabs webhooks list --agent agent_0123 --agent agent_4567
  caddy elevenlabs webhooks list --json | jq -r 'select(.status != "ok") | .url'`,
		Args: cobra.NoArgs,
	}
	w := workspaceFlags(cmd, env)
	w.agentFlags(cmd, "also look whether this agent has a webhook of its own, by `id`")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return w.show(cmd) }
	return cmd
}

// use is something that points at a webhook.
type use struct {
	Where   string   `json:"where"` // as in --help
	Agent   string   `json:"agent_id,omitempty"`
	Events  []string `json:"events,omitempty"`
	Format  string   `json:"transcript_format,omitempty"`
	NoTurns bool     `json:"exclude_transcript,omitempty"`
	Other   extras   `json:"other,omitempty"`
}

// extras are settings that ElevenLabs has beside those known here.
type extras map[string]json.RawMessage

// words returns those that have a value as key=value.
func (e extras) words() []string {
	var words []string
	for _, key := range slices.Sorted(maps.Keys(e)) {
		value := new(bytes.Buffer)
		_ = json.Compact(value, e[key]) // it has been read as JSON before
		if value.String() != "null" {
			words = append(words, cmdutil.Printable(key+"="+value.String()))
		}
	}
	return words
}

func (u use) String() string {
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
	return strings.Join(append([]string{text}, u.Other.words()...), "; ")
}

// uses returns what points at each webhook, by its id, in the settings that can
// be read: the webhooks' own, the workspace's, and those of the agents named.
func (w *workspace) uses(cmd *cobra.Command) (map[string][]use, error) {
	uses := map[string][]use{}
	for _, webhook := range w.webhooks {
		if len(webhook.Events) > 0 {
			uses[webhook.ID] = append(uses[webhook.ID], use{Where: "events of the workspace", Events: webhook.Events})
		}
	}
	for _, s := range slotsOf(true, w.agents) {
		settings, err := w.read(cmd, s)
		if err != nil {
			return uses, err
		}
		if id := settings.WebhookID; id != "" {
			uses[id] = append(uses[id], use{
				Where: s.String(), Agent: s.agent, Events: settings.Events, Format: settings.TranscriptFormat,
				NoTurns: settings.ExcludeTranscript != nil && *settings.ExcludeTranscript, Other: settings.Extra,
			})
		}
	}
	return uses, nil
}

// webhookReport is a webhook as the list shows it.
type webhookReport struct {
	Status      string       `json:"status"`
	LastFailure *lastFailure `json:"last_failure"`
	Unused      bool         `json:"unused"`
	Name        string       `json:"name"`
	ID          string       `json:"webhook_id"`
	URL         string       `json:"url"`
	Events      []string     `json:"events"` // null if ElevenLabs does not tell
	Usages      []string     `json:"usages"` // likewise
	CreatedAt   time.Time    `json:"created_at"`
	Auth        string       `json:"auth_type"`
	UsedBy      []use        `json:"used_by"`
	Other       extras       `json:"other,omitempty"`
}

type lastFailure struct {
	Code    int        `json:"code,omitempty"`
	At      *time.Time `json:"at,omitempty"`
	Meaning string     `json:"meaning"`
}

const (
	webhookOK           = "ok"
	webhookFailing      = "failing"
	webhookDisabled     = "disabled"
	webhookAutoDisabled = "auto-disabled"
)

// failingFor is how long a webhook counts as failing after a failure: as long as
// ElevenLabs looks back for a success before it disables one.
const failingFor = 7 * 24 * time.Hour

// healthOf returns how a webhook fares, and its last failure, if it had any.
func healthOf(webhook elevenlabs.Webhook, now time.Time) (string, *lastFailure) {
	var failure *lastFailure
	if webhook.LastFailureCode != nil || webhook.LastFailure != nil {
		failure = new(lastFailure)
		if webhook.LastFailureCode != nil {
			failure.Code = *webhook.LastFailureCode
		}
		failure.Meaning = failureMeaning(failure.Code)
		if webhook.LastFailure != nil {
			at := time.Unix(*webhook.LastFailure, 0).UTC()
			failure.At = &at
		}
	}
	switch {
	case webhook.IsAutoDisabled:
		return webhookAutoDisabled, failure
	case webhook.IsDisabled:
		return webhookDisabled, failure
	case failure != nil && (failure.At == nil || now.Sub(*failure.At) <= failingFor):
		return webhookFailing, failure
	}
	return webhookOK, failure
}

func (f lastFailure) String() string {
	var text string
	if f.Code != 0 {
		text = fmt.Sprintf("%d, ", f.Code)
	}
	if f.At != nil {
		text += f.At.Format(time.RFC3339) + ", "
	}
	return text + f.Meaning
}

func (w *workspace) show(cmd *cobra.Command) error {
	if err := w.connect(cmd); err != nil {
		return err
	}
	if err := w.list(cmd); err != nil {
		return err
	}
	uses, unknown := w.uses(cmd)
	if len(w.webhooks) == 0 && !cmdutil.WantsJSON(cmd) {
		if _, err := fmt.Fprintln(cmd.OutOrStdout(), "There is no webhook in this workspace."); err != nil {
			return err
		}
	}
	for i, webhook := range w.webhooks {
		report := webhookReport{
			Name: webhook.Name, ID: webhook.ID, URL: webhook.URL, Auth: webhook.AuthType,
			Events: webhook.Events, Usages: webhook.Usage, CreatedAt: time.Unix(webhook.CreatedAt, 0).UTC(),
			UsedBy: uses[webhook.ID], Other: withHeaderNames(webhook.Extra),
		}
		report.Status, report.LastFailure = healthOf(webhook, w.env.Now())
		report.Unused = len(webhook.Usage) == 0 && len(report.UsedBy) == 0 && unknown == nil
		if cmdutil.WantsJSON(cmd) {
			if err := cmdutil.PrintJSON(cmd, report); err != nil {
				return err
			}
			continue
		}
		if i > 0 {
			if _, err := fmt.Fprintln(cmd.OutOrStdout()); err != nil {
				return err
			}
		}
		if err := report.print(cmd); err != nil {
			return err
		}
	}
	if unknown != nil {
		return fmt.Errorf("what uses the webhooks is not known to the end: %w", unknown)
	}
	return nil
}

func (r webhookReport) print(cmd *cobra.Command) error {
	status := r.Status
	if r.Unused {
		status += ", but nothing points at it"
		if r.Usages == nil {
			status += ", as far as this API key can see"
		}
		status += ": it is not called before it is attached"
	}
	failure := "none"
	if r.LastFailure != nil {
		failure = r.LastFailure.String()
	}
	table := cmdutil.NewTable(cmd.OutOrStdout())
	row := func(name, value string) { fmt.Fprintf(table, "%s\t%s\n", name, cmdutil.Printable(value)) }
	row("status", status)
	row("last failure", failure)
	row("name", r.Name)
	row("id", r.ID)
	row("url", r.URL)
	row("events", told(r.Events))
	row("usages", told(r.Usages))
	row("created", r.CreatedAt.Format(time.RFC3339))
	row("auth", r.Auth)
	for i, by := range r.usedBy() {
		row([]string{"used by", ""}[min(i, 1)], by)
	}
	for _, word := range r.Other.words() {
		row("other", word)
	}
	return table.Flush()
}

// usedBy says what uses the webhook, and how to see what does not show.
func (r webhookReport) usedBy() []string {
	var all []string
	agents := slices.Contains(r.Usages, agentUsage)
	for _, u := range r.UsedBy {
		all = append(all, u.String())
		agents = agents && u.Agent == ""
	}
	if agents {
		all = append(all, "agents: name those that may by --agent, to see which")
	}
	if all == nil {
		return []string{"-"}
	}
	return all
}

// told lists what ElevenLabs may not tell.
func told(values []string) string {
	if values == nil {
		return "not told: the API key's owner is to be an administrator"
	}
	return listed(values)
}

func listed(values []string) string {
	if len(values) == 0 {
		return "-"
	}
	return strings.Join(values, ", ")
}
