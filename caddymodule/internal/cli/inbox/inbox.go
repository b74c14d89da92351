// Package inbox has the commands `inbox …`, which show what is in the inboxes of a
// running Caddy, deliver events again, give them up, delete them, and send those that are
// missing.
package inbox

import (
	"github.com/spf13/cobra"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/backfill"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
)

// NewCmdInbox returns the command `inbox` with those below it.
func NewCmdInbox(env cmdutil.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "inbox <command>",
		Short: "Shows stored events, delivers them again, and gives them up",
		Long: `Shows the events in the inboxes of a running Caddy, delivers them again, gives them
up, deletes them, and sends what calls are missing.

The commands ask Caddy's admin endpoint, so they work while Caddy runs. With several
Caddies on one Postgres, any of them answers for all.`,
		Example: `  caddy elevenlabs inbox list --state dead
  caddy elevenlabs inbox show 42
  caddy elevenlabs inbox redeliver --state dead --since 2h
  caddy elevenlabs inbox discard 42 43
  caddy elevenlabs inbox stats
  caddy elevenlabs inbox forget conv_3701kb2s
  caddy elevenlabs inbox backfill https://hooks.example.com/webhooks/elevenlabs --since 24h --dry-run`,
	}
	cmdutil.Group(cmd,
		newCmdList(env),
		newCmdShow(env),
		newCmdRedeliver(env),
		newCmdDiscard(env),
		newCmdForget(env),
		newCmdStats(env),
		backfill.NewCmdBackfill(env),
		newCmdSchema(),
	)
	return cmd
}
