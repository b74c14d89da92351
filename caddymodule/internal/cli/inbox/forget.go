package inbox

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"

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
way is broken off.

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

// deletion is what the admin endpoint is asked.
type deletion struct {
	Inbox          string  `json:"inbox,omitempty"`
	Events         []int64 `json:"events,omitempty"`
	ConversationID string  `json:"conversation_id,omitempty"`
}

func (o *forgetOptions) run(cmd *cobra.Command, args []string) error {
	if len(args) > 1 || (len(args) == 1) == (len(o.events) > 0) || len(args) == 1 && args[0] == "" {
		return errors.New("give the id of a conversation, or --events with numbers, and not both")
	}
	if err := cmdutil.RejectEmpty(cmd, "inbox"); err != nil {
		return err
	}
	ask := deletion{Inbox: o.inbox}
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
	var done count
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
func (o *forgetOptions) question(cmd *cobra.Command, ask deletion) (string, error) {
	if len(ask.Events) > 0 {
		return fmt.Sprintf("Delete %s and what is stored of them?", plural(len(ask.Events))), nil
	}
	query := url.Values{"conversation": {ask.ConversationID}, "limit": {strconv.Itoa(maxEvents)}}
	if o.inbox != "" {
		query.Set("inbox", o.inbox)
	}
	var found []stored.Event
	if err := o.endpoint.GetJSON(cmd, events+"?"+query.Encode(), &found); err != nil {
		return "", err
	}
	many := plural(len(found))
	if len(found) == maxEvents {
		many += " or more"
	}
	return fmt.Sprintf("Delete %s of the conversation %s and what is stored of them?", many, cmdutil.Printable(ask.ConversationID)), nil
}
