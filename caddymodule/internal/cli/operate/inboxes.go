package operate

import (
	"fmt"
	"strconv"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/inbox"
)

// inboxes asks for the state of each inbox. An older Caddy has none.
func inboxes(cmd *cobra.Command, e *cmdutil.Endpoint) (all []cmdutil.InboxStatus, err error) {
	err = e.GetJSON(cmd, cmdutil.InboxesURI, &all)
	if cmdutil.WithoutInboxes(err) {
		return nil, nil
	}
	return all, err
}

func printInbox(cmd *cobra.Command, now time.Time, s cmdutil.InboxStatus) error {
	out := cmd.OutOrStdout()
	bad := func(yes bool, text string) string {
		if yes {
			return cmdutil.Paint(out, cmdutil.Bad, text)
		}
		return text
	}
	table := cmdutil.NewTable(out)
	row := func(name, value string) { fmt.Fprintf(table, "  %s\t%s\n", name, value) }
	fmt.Fprintf(table, "inbox %s\n", s.Name)
	if !s.Up {
		row("database", bad(true, "does not answer: "+cmdutil.Brief(s.Problem, cmdutil.Longest)))
	}
	if s.Up {
		waiting := strconv.FormatInt(s.Events[inbox.Waiting], 10)
		if s.OldestWaitingSeconds > 0 {
			oldest := fmt.Sprintf(", the oldest event for %s", cmdutil.Span(s.OldestWaiting()))
			waiting += bad(s.OldestWaiting() > facts.InboxLongWait, oldest)
		}
		row("waiting", waiting)
		row("being delivered", strconv.FormatInt(s.Events[inbox.Delivering], 10))
		row("dead", bad(s.Events[inbox.Dead] > 0, strconv.FormatInt(s.Events[inbox.Dead], 10)))
		bodies := humanize.IBytes(uint64(max(s.Bytes, 0)))
		if s.LimitBytes > 0 {
			bodies += fmt.Sprintf(" of %s, %.0f %%", humanize.IBytes(uint64(s.LimitBytes)), 100*float64(s.Bytes)/float64(s.LimitBytes))
		}
		row("bodies", bodies)
	}
	if !s.BackendDownSince.IsZero() {
		row("application", bad(true, "unreachable for "+cmdutil.Span(now.Sub(s.BackendDownSince))))
	}
	if s.Bypassed > 0 {
		row("bypassed", bad(true, fmt.Sprintf("%d since Caddy started: forwarded at once, since they could not be stored", s.Bypassed)))
	}
	row("stored in", s.Database)
	if n := s.Orphans(); n > 0 {
		row("handler", bad(true, fmt.Sprintf("none: inbox %s has %d events and no handler", s.Name, n)))
	}
	return table.Flush()
}
