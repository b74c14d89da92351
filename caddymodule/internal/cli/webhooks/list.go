package webhooks

import (
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/workspace"
)

// listOptions are the options of `list`.
type listOptions struct {
	env cmdutil.Env
	w   *workspace.Workspace
}

func newCmdList(env cmdutil.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "Lists the workspace's webhooks, their health, and what uses them",
		Long: `Lists the workspace's webhooks, with all that ElevenLabs shows of them: their health
and last failure first, then their settings, and what uses them.

A webhook is
  ok             it did not fail lately; the list says so if nothing points at it
  failing        a delivery failed within the last 7 days: ElevenLabs shows the last
                 failure, but not whether a delivery succeeded since
  disabled       somebody disabled it
  auto-disabled  ElevenLabs disabled it, since its deliveries failed

Only an administrator's API key sees what uses a webhook, and not which agents. Name
the agents that you want to see by --agent.

The list has no signing secrets: ElevenLabs shows one only when its webhook is
created. Of the headers that go with deliveries, the list has only the names.`,
		Example: `  caddy elevenlabs webhooks list
  caddy elevenlabs webhooks list --agent agent_0123 --agent agent_4567
  caddy elevenlabs webhooks list --json | jq -r 'select(.status != "ok") | .url'`,
		Args: cobra.NoArgs,
	}
	o := &listOptions{env: env, w: workspace.Flags(cmd, env)}
	o.w.AgentFlag(cmd, "also check whether the agent with this `id` has a webhook of its own")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return o.run(cmd) }
	return cmd
}

func (o *listOptions) run(cmd *cobra.Command) error {
	if err := o.w.Connect(cmd); err != nil {
		return err
	}
	if err := o.w.List(cmd); err != nil {
		return err
	}
	uses, unknown := o.w.Uses(cmd)
	if len(o.w.Webhooks) == 0 && !cmdutil.WantsJSON(cmd) {
		if _, err := fmt.Fprintln(cmd.OutOrStdout(), "There is no webhook in this workspace."); err != nil {
			return err
		}
	}
	for i, webhook := range o.w.Webhooks {
		report := webhookReport{
			Name: webhook.Name, ID: webhook.ID, URL: webhook.URL, Auth: webhook.AuthType,
			Events: webhook.Events, Usages: webhook.Usage, CreatedAt: time.Unix(webhook.CreatedAt, 0).UTC(),
			UsedBy: uses[webhook.ID], Other: hideHeaderValues(webhook.Extra),
		}
		report.Health, report.LastFailure = workspace.HealthOf(webhook, o.env.Now())
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
		return fmt.Errorf("not everything that uses the webhooks is known: %w", unknown)
	}
	return nil
}

// webhookReport is a webhook as the list shows it.
type webhookReport struct {
	Health      workspace.Health   `json:"status"`
	LastFailure *workspace.Failure `json:"last_failure"`
	Unused      bool               `json:"unused"`
	Name        string             `json:"name"`
	ID          string             `json:"webhook_id"`
	URL         string             `json:"url"`
	Events      []string           `json:"events"` // null if ElevenLabs does not show them
	Usages      []string           `json:"usages"` // likewise
	CreatedAt   time.Time          `json:"created_at"`
	Auth        string             `json:"auth_type"`
	UsedBy      []workspace.Use    `json:"used_by"`
	Other       workspace.Extras   `json:"other,omitempty"`
}

func (r webhookReport) print(cmd *cobra.Command) error {
	status := string(r.Health)
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
	row("events", orUnknown(r.Events))
	row("usages", orUnknown(r.Usages))
	row("created", r.CreatedAt.Format(time.RFC3339))
	row("auth", r.Auth)
	for i, by := range r.usedBy() {
		row([]string{"used by", ""}[min(i, 1)], by)
	}
	for _, word := range r.Other.Words() {
		row("other", word)
	}
	return table.Flush()
}

// usedBy says what uses the webhook, and how to see the rest.
func (r webhookReport) usedBy() []string {
	var all []string
	agents := slices.Contains(r.Usages, workspace.AgentUsage)
	for _, u := range r.UsedBy {
		all = append(all, u.String())
		agents = agents && u.Agent == ""
	}
	if agents {
		all = append(all, "agents: name those that may use it by --agent, to see which")
	}
	if all == nil {
		return []string{"-"}
	}
	return all
}
