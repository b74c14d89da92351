package inbox

import (
	"github.com/spf13/cobra"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/inbox"
)

func newCmdRedeliver(env cmdutil.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "redeliver <number>... | --state <state>",
		Short: "Delivers stored events again",
		Long: `Delivers stored events again: those that are named by their numbers, or with --state
all that are in this state. Their attempts begin anew, at once. Your application gets
each with the same Idempotency-Key as before.

Flags such as --since restrict --state. With --state, the command asks first. Without
a terminal to ask at, it then needs --yes. It does not wait for the deliveries: "inbox
list" and "tail" show them.

The exit code is 2 if some of the events that are named cannot be delivered again,
because they are not there, their body is deleted, or an attempt is under way.`,
		Example: `  caddy elevenlabs inbox redeliver 42 43
  caddy elevenlabs inbox redeliver --state dead --since 2h
  caddy elevenlabs inbox redeliver --state dead --inbox sales --type audio --yes`,
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	o := &actOptions{
		states: []inbox.State{inbox.Dead, inbox.Delivered, inbox.Waiting, inbox.Discarded}, verb: "redeliver", doing: "redelivering",
		ask: "Deliver %s again?", done: "%s will be delivered again",
		cannot: "cannot be delivered again: not there, without a body, or an attempt is under way",
	}
	o.register(cmd, env)
	return cmd
}
