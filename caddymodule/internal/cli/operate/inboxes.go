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
func inboxes(cmd *cobra.Command, e *cmdutil.Endpoint) (all cmdutil.InboxStatuses, err error) {
	err = e.GetJSON(cmd, cmdutil.InboxesURI, &all)
	if cmdutil.WithoutInboxes(err) {
		return nil, nil
	}
	return all, err
}

// printInbox prints the state of an inbox or of a destination. What concerns the whole
// inbox has a block of its own, before those of its destinations.
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
	away := func() {
		if !s.Up {
			row("database", bad(true, "does not answer: "+cmdutil.Brief(s.Problem, cmdutil.Longest)))
		}
	}
	bodies := func() {
		if !s.Up {
			return
		}
		text := humanize.IBytes(uint64(max(s.Bytes, 0)))
		if s.LimitBytes > 0 {
			text += fmt.Sprintf(" of %s, %.0f %%", humanize.IBytes(uint64(s.LimitBytes)), 100*float64(s.Bytes)/float64(s.LimitBytes))
		}
		row("bodies", text)
	}
	whole := s.Destination == "" && !s.Further
	if !whole && !s.Further {
		fmt.Fprintf(table, "inbox %s\n", s.Name)
		away()
		bodies()
		row("stored in", s.Database)
		fmt.Fprintln(table)
	}
	fmt.Fprintf(table, "inbox %s\n", s.Title())
	switch {
	case whole:
		away()
	case !s.Up:
		row("database", "does not answer")
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
	}
	if whole {
		bodies()
	}
	if !s.BackendDownSince.IsZero() {
		row("application", bad(true, "unreachable for "+cmdutil.Span(now.Sub(s.BackendDownSince))))
	}
	if s.Bypassed > 0 {
		row("bypassed", bad(true, fmt.Sprintf("%d since Caddy started: forwarded at once, since they could not be stored", s.Bypassed)))
	}
	if whole {
		row("stored in", s.Database)
	}
	undelivered, leftover := s.Leftover()
	switch n := s.Orphans(); {
	case leftover && undelivered == 0:
		row("handler", "none: no handler has this destination, and none of its events waits or is dead")
	case leftover:
		send, giveUp := s.LeftoverCommands()
		row("handler", bad(true, fmt.Sprintf("none: no handler has this destination, for which %d events wait or are dead", undelivered)))
		if send != "" {
			row("send elsewhere", send)
		}
		if giveUp != "" {
			row("give up", giveUp)
		}
	case n > 0:
		row("handler", bad(true, fmt.Sprintf("none: inbox %s has %d events and no handler", s.Name, n)))
	}
	return table.Flush()
}
