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

If an inbox has several destinations, each event goes to its own one again. With --to,
what is stored goes to the destination with that name, such as a new one. What it has
already is left out, and so is what has no body any more. What waits or is dead for a
destination that this Caddy does not have is then discarded there, and a line says how
much. With --to, any of the flags selects events, and --state may be any state.

The exit code is 2 if some of the events that are named cannot be delivered again,
because they are not there, their body is deleted, or an attempt is under way. With
--to, it is also 2 if the destination has some of them already.`,
		Example: `  caddy elevenlabs inbox redeliver 42 43
  caddy elevenlabs inbox redeliver --state dead --since 2h
  caddy elevenlabs inbox redeliver --state dead --destination crm --type audio --yes
  caddy elevenlabs inbox redeliver --to archive --since 48h`,
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	o := &actOptions{
		states: []inbox.State{inbox.Dead, inbox.Delivered, inbox.Waiting, inbox.Discarded}, verb: "redeliver", doing: "redelivering",
		ask: "Deliver %s again?", done: "%s will be delivered again",
		cannot: "cannot be delivered again: not there, without a body, or an attempt is under way",
	}
	o.register(cmd, env)
	cmd.Flags().StringVar(&o.to, "to", "", "deliver what is stored to the destination with this `name`, unless it has it already")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := cmdutil.RejectEmpty(cmd, "to"); err != nil {
			return err
		}
		if to := cmdutil.Printable(o.to); to != "" {
			o.ask = "Deliver %s to " + to + ", unless it has them already?"
			o.done = "%s will be delivered to " + to
			o.cannot = "cannot be delivered to " + to + ": not there, without a body, or it has them already"
		}
		return o.run(cmd, args)
	}
	return cmd
}
