package webhooks

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/workspace"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/elevenlabs"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"
)

// updateOptions are the options of `update`.
type updateOptions struct {
	w                  *workspace.Workspace
	name               string
	retries, noHeaders bool
	headers            *headerFlags
	events             []string
}

func newCmdUpdate(env cmdutil.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "update <webhook>",
		Short: "Changes a webhook's name, retries, headers or events",
		Long: `Changes a webhook's name, retries, headers or events of the workspace. Settings
that no flag names stay as they are. --header and --header-file replace all headers,
and --no-headers removes them. --events replaces all events, and --events= removes
them. For events after calls, see "attach".

ElevenLabs can change neither the URL nor the secret of a webhook. For another URL,
"create" a webhook and "attach" it with --replace. For another secret, see "rotate".

Events of the workspace: ` + workspaceEvents + `
` + webhookArgument,
		Example: `  caddy elevenlabs webhooks update gateway --retries
  caddy elevenlabs webhooks update gateway --retries=false --name gateway-old
  caddy elevenlabs webhooks update gateway --header X-Env=prod --header-file secret-headers.txt
  caddy elevenlabs webhooks update gateway --events speech_to_text,flows`,
		Args: cmdutil.OneArgument,
	}
	o := &updateOptions{w: workspace.Flags(cmd, env)}
	flags := cmd.Flags()
	flags.StringVar(&o.name, "name", "", "the new `name`")
	flags.BoolVar(&o.retries, "retries", false, "let ElevenLabs retry transcripts after failures, or not")
	o.headers = addHeaderFlags(cmd, o.w, "")
	flags.BoolVar(&o.noHeaders, "no-headers", false, "send no more headers of your own with deliveries")
	cmd.MarkFlagsMutuallyExclusive("header", "no-headers")
	cmd.MarkFlagsMutuallyExclusive("header-file", "no-headers")
	flags.Var(cmdutil.Words{Values: &o.events, None: true}, "events", "send it only these `events` of the workspace, with commas between them")
	cmdutil.Complete(cmd, "events", facts.WorkspaceSubscriptions)
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return o.run(cmd, args[0]) }
	return cmd
}

func (o *updateOptions) run(cmd *cobra.Command, argument string) error {
	postCall, ofWorkspace, err := splitEvents(o.events)
	switch {
	case err != nil:
		return err
	case len(postCall) > 0:
		return errors.New("--events takes only events of the workspace here: set those after calls by `attach --events`")
	}
	if err := cmdutil.RejectEmpty(cmd, "name"); err != nil {
		return err
	}
	flags := cmd.Flags()
	var what []string
	var change elevenlabs.WebhookUpdate
	if flags.Changed("name") {
		change.Name = o.name
		what = append(what, fmt.Sprintf("name it %q", o.name))
	}
	if flags.Changed("retries") {
		change.RetryEnabled = &o.retries
		what = append(what, "switch its retries "+map[bool]string{true: "on", false: "off"}[o.retries])
	}
	if change.RequestHeaders, err = o.headers.read(cmd); err != nil {
		return err
	}
	if change.RequestHeaders != nil {
		what = append(what, "send it these headers: "+strings.Join(slices.Sorted(maps.Keys(change.RequestHeaders)), ", "))
	}
	if o.noHeaders {
		change.RequestHeaders = map[string]string{} // nil would leave them
		what = append(what, "send it no headers of your own")
	}
	if flags.Changed("events") {
		change.Events = append([]string{}, ofWorkspace...) // nil would leave them
		what = append(what, "send it these events of the workspace: "+orDash(ofWorkspace))
	}
	if len(what) == 0 {
		return errors.New("there is nothing to change: give --name, --retries, --header, --header-file, --no-headers or --events")
	}
	webhook, err := o.w.Open(cmd, argument)
	if err != nil {
		return err
	}
	change.IsDisabled = webhook.IsDisabled
	return makeChange(cmd, o.w, webhook, "update", strings.Join(what, "; "), change)
}
