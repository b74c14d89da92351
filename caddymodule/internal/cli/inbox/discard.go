package inbox

import (
	"github.com/spf13/cobra"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/inbox"
)

func newCmdDiscard(env cmdutil.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "discard <number>... | --state <waiting | dead>",
		Short: "Gives up events that wait or are dead",
		Long: `Gives up events that wait or are dead: those that are named by their numbers, or with
--state all that are in this state. No attempt to deliver them is made any more, and
they raise no alarm. If ElevenLabs sends one again, it stays discarded.

A discarded event stays as long as a delivered one. Until its body is deleted,
"inbox redeliver" delivers it after all.

Flags such as --since restrict --state. With --state, the command asks first. Without
a terminal to ask at, it then needs --yes.

The exit code is 2 if some of the events that are named cannot be discarded, because
they are not there, they are delivered, or an attempt is under way.`,
		Example: `  caddy elevenlabs inbox discard 42 43
  caddy elevenlabs inbox discard --state dead --until 2026-11-20T10:00:00Z
  caddy elevenlabs inbox discard --state waiting --type audio --yes`,
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	o := &actOptions{
		states: []inbox.State{inbox.Waiting, inbox.Dead}, verb: "discard", doing: "discarding",
		ask: "Discard %s?", done: "%s discarded",
		cannot: "cannot be discarded: not there, delivered or discarded already, or an attempt is under way",
	}
	o.register(cmd, env)
	return cmd
}
