package inbox

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"

	"github.com/spf13/cobra"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/stored"
)

// forgetOptions are the options of `forget`.
type forgetOptions struct {
	endpoint *cmdutil.Endpoint
	inbox    string
	events   []string
	yes      bool
}

func newCmdForget(env cmdutil.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "forget <conversation id> | --events <number>,...",
		Short: "Deletes stored events and their bodies for good",
		Long: `Deletes stored events for good: all of a conversation, or those that --events names.
Their bodies, attempts and ids go too, whatever their state. A delivery that is under
way is broken off. An event goes for all destinations of its inbox, and counts once.

In a SQLite database the bodies are overwritten. A Postgres overwrites them when it
needs the space. Backups, your application and ElevenLabs still have theirs.

The command asks before it deletes. Without a terminal to ask at, it needs --yes.`,
		Example: `  caddy elevenlabs inbox forget conv_3701kb2s
  caddy elevenlabs inbox forget --events 42,43 --yes`,
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	o := &forgetOptions{endpoint: cmdutil.EndpointFlags(cmd, env)}
	inboxFlag(cmd, &o.inbox)
	cmd.Flags().Var(cmdutil.Words{Values: &o.events}, "events", "the event with this `number`, or several with commas between them")
	cmdutil.YesFlag(cmd, &o.yes)
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return o.run(cmd, args) }
	return cmd
}

func (o *forgetOptions) run(cmd *cobra.Command, args []string) error {
	if len(args) > 1 || (len(args) == 1) == (len(o.events) > 0) || len(args) == 1 && args[0] == "" {
		return errors.New("give the id of a conversation, or --events with numbers, and not both")
	}
	if err := cmdutil.RejectEmpty(cmd, "inbox"); err != nil {
		return err
	}
	ask := stored.Act{Inbox: o.inbox}
	if len(args) == 1 {
		ask.ConversationID = args[0]
	}
	var err error
	if ask.Events, err = parseSeqs(o.events); err != nil {
		return err
	}
	if !o.yes {
		question, err := o.question(cmd, ask)
		if err != nil {
			return err
		}
		if err := cmdutil.Confirm(cmd, question); err != nil {
			return err
		}
	}
	var done stored.Changed
	if err := cmdutil.Wait(cmd, "deleting", func(context.Context) error {
		return o.endpoint.PostJSON(cmd, "/elevenlabs/inbox/forget", ask, &done)
	}); err != nil {
		return err
	}
	if cmdutil.WantsJSON(cmd) {
		return cmdutil.PrintJSON(cmd, done)
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s deleted\n", plural(done.Events))
	return err
}

// question says what would be deleted.
func (o *forgetOptions) question(cmd *cobra.Command, ask stored.Act) (string, error) {
	if len(ask.Events) > 0 {
		return fmt.Sprintf("Delete %s and what is stored of them?", plural(len(ask.Events))), nil
	}
	query := url.Values{"conversation": {ask.ConversationID}}
	if o.inbox != "" {
		query.Set("inbox", o.inbox)
	}
	found, err := selectedEvents(cmd, o.endpoint, query)
	if err != nil {
		return "", err
	}
	everywhere := ""
	if slices.ContainsFunc(found, func(e stored.Event) bool { return e.Destination != "" }) {
		everywhere = ", for all destinations,"
	}
	return fmt.Sprintf("Delete %s of the conversation %s%s and what is stored of them?", atLeast(distinct(found), found), cmdutil.Printable(ask.ConversationID), everywhere), nil
}
