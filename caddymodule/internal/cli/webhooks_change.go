package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/elevenlabs"
)

func webhooksUpdateCommand(env cmdutil.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "update <webhook>",
		Short: "Changes a webhook's name, retries, headers or events",
		Long: `Changes a webhook's name, retries, headers or events of the workspace. What is not
given stays as it is. --header and --header-file set all headers anew, --no-headers
takes them off; --events sets all events anew, --events= sends it none. For events
after calls, see "attach".

ElevenLabs can change neither the URL nor the secret of a webhook: for another
URL, "create" a webhook and "attach" it with --replace; for another secret, see
"rotate".

Events of the workspace: ` + strings.Join(workspaceEvents, ", ") + `.
` + webhookArgument,
		Example: `  caddy elevenlabs webhooks update gateway --retries
  caddy elevenlabs webhooks update gateway --retries=false --name gateway-old
  caddy elevenlabs webhooks update gateway --header X-Env=prod --header-file secret-headers.txt
  caddy elevenlabs webhooks update gateway --events speech_to_text,flows`,
		Args: cmdutil.OneArgument,
	}
	w := workspaceFlags(cmd, env)
	flags := cmd.Flags()
	name := flags.String("name", "", "the new `name`")
	retries := flags.Bool("retries", false, "have transcripts sent again after failures, or not")
	header := w.headerFlags(cmd, "")
	noHeaders := flags.Bool("no-headers", false, "send no more headers of your own with deliveries")
	cmd.MarkFlagsMutuallyExclusive("header", "no-headers")
	cmd.MarkFlagsMutuallyExclusive("header-file", "no-headers")
	var events []string
	flags.Var(cmdutil.Words{Values: &events, None: true}, "events", "send it these `events` of the workspace and no others, with commas between them")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var what []string
		var change elevenlabs.WebhookUpdate
		postCall, ofWorkspace, err := splitEvents(events)
		switch {
		case err != nil:
			return err
		case len(postCall) > 0:
			return errors.New("--events is to have only events of the workspace here: set those after calls by `attach --events`")
		}
		if err := cmdutil.RejectEmpty(cmd, "name"); err != nil {
			return err
		}
		if flags.Changed("name") {
			change.Name = *name
			what = append(what, fmt.Sprintf("name it %q", *name))
		}
		if flags.Changed("retries") {
			change.RetryEnabled = retries
			what = append(what, "switch its retries "+map[bool]string{true: "on", false: "off"}[*retries])
		}
		if change.RequestHeaders, err = header.read(cmd); err != nil {
			return err
		}
		if change.RequestHeaders != nil {
			what = append(what, "send it these headers: "+strings.Join(slices.Sorted(maps.Keys(change.RequestHeaders)), ", "))
		}
		if *noHeaders {
			change.RequestHeaders = map[string]string{} // nil would leave them
			what = append(what, "send it no headers of your own")
		}
		if flags.Changed("events") {
			change.Events = append([]string{}, ofWorkspace...) // nil would leave them
			what = append(what, "send it these events of the workspace: "+listed(ofWorkspace))
		}
		if len(what) == 0 {
			return errors.New("what is to be changed? Give --name, --retries, --header, --header-file, --no-headers or --events")
		}
		_, err = w.change(cmd, args[0], "update", strings.Join(what, "; "), change)
		return err
	}
	return cmd
}

func webhooksEnableCommand(env cmdutil.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "enable <webhook>",
		Short: "Enables a webhook that is disabled",
		Long: `Enables a webhook that somebody disabled, or ElevenLabs did since its deliveries
failed. Mend the cause first: "list" shows the last failure, and
"caddy elevenlabs doctor" looks for it.

It is then looked up whether ElevenLabs took it: if it does not take back its own
disabling, the exit code is 2.
` + webhookArgument,
		Example: `  caddy elevenlabs webhooks enable gateway
  caddy elevenlabs webhooks enable https://hooks.example.com/webhooks/elevenlabs`,
		Args: cmdutil.OneArgument,
	}
	w := workspaceFlags(cmd, env)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		enabled, err := w.change(cmd, args[0], "enable", "enable it", elevenlabs.WebhookUpdate{IsDisabled: false})
		if err != nil {
			return err
		}
		if err := w.list(cmd); err != nil {
			return err
		}
		webhook, err := w.find(enabled)
		if err != nil {
			return err
		}
		if !webhook.IsDisabled && !webhook.IsAutoDisabled {
			return nil
		}
		status, _ := healthOf(webhook, w.env.Now())
		line := stepLine{Step: "enable", Status: "left", WebhookID: enabled, Detail: "ElevenLabs still has it " + status + ": enable it in the dashboard, at Settings, Webhooks"}
		if err := line.print(cmd); err != nil {
			return err
		}
		return fmt.Errorf("%w: webhook %s was enabled, but is still %s", cmdutil.ErrCheckFailed, enabled, status)
	}
	return cmd
}

func webhooksDisableCommand(env cmdutil.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "disable <webhook>",
		Short: "Disables a webhook: it is not called any more",
		Long: `Disables a webhook: it is not called until it is enabled again. Events that occur
meanwhile are lost. What points at it goes on to do so.
` + webhookArgument,
		Example: `  caddy elevenlabs webhooks disable gateway`,
		Args:    cmdutil.OneArgument,
	}
	w := workspaceFlags(cmd, env)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		_, err := w.change(cmd, args[0], "disable", "disable it", elevenlabs.WebhookUpdate{IsDisabled: true})
		return err
	}
	return cmd
}

// change makes one change to a webhook, and returns its id. ElevenLabs wants the
// name and whether it is disabled with each: what is not to change is sent as it is.
func (w *workspace) change(cmd *cobra.Command, argument, name, what string, change elevenlabs.WebhookUpdate) (id string, err error) {
	webhook, err := w.open(cmd, argument)
	if err != nil {
		return "", err
	}
	if change.Name == "" {
		change.Name = webhook.Name
	}
	if name == "update" {
		change.IsDisabled = webhook.IsDisabled
	}
	return webhook.ID, runSteps(cmd, webhook.ID, []step{{
		name: name, what: label(webhook) + ": " + what,
		run: func(ctx context.Context) error { return w.client.UpdateWebhook(ctx, webhook.ID, change) },
	}})
}

func webhooksDeleteCommand(env cmdutil.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "delete <webhook>",
		Short: "Deletes a webhook that nothing uses",
		Long: `Deletes a webhook that nothing uses, and with it its secret, for good. While
something uses it, it is refused, with exit code 2, and says what does: detach it
there first, or attach another webhook in its place.

What uses it, ElevenLabs tells only to administrators, and not which agents: name
those that may by --agent, to have them named here.

It asks before it deletes. Without a terminal to ask at, --yes is needed.
` + webhookArgument,
		Example: `  caddy elevenlabs webhooks delete gateway-old
  caddy elevenlabs webhooks delete gateway-old --agent agent_0123 --yes`,
		Args: cmdutil.OneArgument,
	}
	w := workspaceFlags(cmd, env)
	w.agentFlags(cmd, "also look whether the agent of this `id` uses it")
	yes := yesFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		webhook, err := w.open(cmd, args[0])
		if err != nil {
			return err
		}
		return w.delete(cmd, webhook, *yes)
	}
	return cmd
}

func yesFlag(cmd *cobra.Command) *bool {
	return cmd.Flags().Bool("yes", false, "do not ask before deleting")
}

// delete deletes a webhook that nothing uses.
func (w *workspace) delete(cmd *cobra.Command, webhook elevenlabs.Webhook, yes bool) error {
	uses, err := w.uses(cmd)
	if err != nil {
		return fmt.Errorf("it is not known whether anything uses webhook %s: %w", webhook.ID, err)
	}
	var refused []string
	for _, u := range uses[webhook.ID] {
		refused = append(refused, "in use for "+u.String())
	}
	if len(webhook.Usage) > 0 {
		refused = append(refused, "in use, as ElevenLabs says, by "+strings.Join(webhook.Usage, ", "))
	}
	if err := refuse(cmd, webhook.ID, "delete", refused); err != nil {
		return err
	}
	if !yes {
		if err := confirm(cmd, fmt.Sprintf("Delete the webhook %s for %s? Its secret goes with it.", label(webhook), webhook.URL)); err != nil {
			return err
		}
	}
	err = cmdutil.Wait(cmd, "deleting", func(ctx context.Context) error { return w.client.DeleteWebhook(ctx, webhook.ID) })
	if answer, ok := errors.AsType[*elevenlabs.Error](err); ok && answer.Code == "webhook_in_use" {
		return refuse(cmd, webhook.ID, "delete", []string{"in use, as ElevenLabs says, but it tells only administrators by what: name the agents that may use it by --agent"})
	}
	if err != nil {
		return err
	}
	return stepLine{Step: "delete", Status: "done", Detail: "delete the webhook " + label(webhook), WebhookID: webhook.ID}.print(cmd)
}
