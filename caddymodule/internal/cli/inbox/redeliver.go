package inbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/inbox"
)

// redeliverOptions are the options of `redeliver`.
type redeliverOptions struct {
	endpoint  *cmdutil.Endpoint
	selection *selection
	dead      bool
}

func newCmdRedeliver(env cmdutil.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "redeliver <number>... | --dead",
		Short: "Delivers stored events again",
		Long: `Delivers stored events again: those that are named by their numbers, or with --dead
all that were given up. Their attempts begin anew, at once. Your application gets
each with the same Idempotency-Key as before.

Flags such as --since restrict --dead. The command does not wait for the deliveries:
"inbox list" and "tail" show them.

The exit code is 2 if some of the events that are named cannot be delivered again,
because they are not there, their body is deleted, or an attempt is under way.`,
		Example: `  caddy elevenlabs inbox redeliver 42 43
  caddy elevenlabs inbox redeliver --dead --since 2h
  caddy elevenlabs inbox redeliver --dead --inbox sales --type audio`,
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	o := &redeliverOptions{endpoint: cmdutil.EndpointFlags(cmd, env), selection: selectionFlags(cmd, env)}
	cmd.Flags().BoolVar(&o.dead, "dead", false, "all events that were given up")
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return o.run(cmd, args) }
	return cmd
}

// redelivery is what the admin endpoint is asked.
type redelivery struct {
	Inbox          string      `json:"inbox,omitempty"`
	Events         []int64     `json:"events,omitempty"`
	State          inbox.State `json:"state,omitempty"`
	Types          []string    `json:"type,omitempty"`
	ConversationID string      `json:"conversation_id,omitempty"`
	Since          time.Time   `json:"since,omitzero"`
	Until          time.Time   `json:"until,omitzero"`
}

// count is what the admin endpoint answers.
type count struct {
	Events int `json:"events"`
}

func (o *redeliverOptions) run(cmd *cobra.Command, args []string) error {
	switch {
	case o.dead && len(args) > 0:
		return errors.New("give numbers of events, or --dead, not both")
	case !o.dead && len(args) == 0:
		return errors.New("give numbers of events, or --dead for all that were given up")
	case !o.dead && selected(cmd):
		return errors.New("--type, --conversation, --since and --until need --dead")
	}
	if err := o.selection.read(cmd); err != nil {
		return err
	}
	ask := redelivery{Inbox: o.selection.inbox}
	if o.dead {
		ask.State, ask.Types, ask.ConversationID = inbox.Dead, o.selection.types, o.selection.conversation
		ask.Since, ask.Until = o.selection.since.UTC(), o.selection.until.UTC()
	} else {
		var err error
		if ask.Events, err = parseSeqs(args); err != nil {
			return err
		}
	}
	var done count
	if err := cmdutil.Wait(cmd, "redelivering", func(context.Context) error {
		return o.endpoint.PostJSON(cmd, "/elevenlabs/inbox/redeliver", ask, &done)
	}); err != nil {
		return err
	}
	if cmdutil.WantsJSON(cmd) {
		if err := cmdutil.PrintJSON(cmd, done); err != nil {
			return err
		}
	} else if _, err := fmt.Fprintf(cmd.OutOrStdout(), "%s will be delivered again\n", plural(done.Events)); err != nil {
		return err
	}
	if missing := len(ask.Events) - done.Events; missing > 0 {
		return fmt.Errorf("%w: %d of %d cannot be delivered again: not there, without a body, or an attempt is under way", cmdutil.ErrCheckFailed, missing, len(ask.Events))
	}
	return nil
}
