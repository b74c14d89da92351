package inbox

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/inbox"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/stored"
)

// statsOptions are the options of `stats`.
type statsOptions struct {
	env       cmdutil.Env
	endpoint  *cmdutil.Endpoint
	selection *selection
}

func newCmdStats(env cmdutil.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "stats",
		Short: "Adds up what the inboxes received",
		Long: `Adds up the events that came since a time, for each inbox and type: how many are in
each state, attempts to deliver them, repeats by ElevenLabs, and the size of the
bodies. MEDIAN, 95% and LONGEST are times from receipt to delivery: half of the
delivered events took no longer than the first, and 95 of 100 no longer than the
second.

Each destination of an inbox is counted by itself, with the size of the bodies that it
got.

With --json, "hours" has the number of events for each of the last 24 hours.`,
		Example: `  caddy elevenlabs inbox stats
  caddy elevenlabs inbox stats --since 7d --inbox sales
  caddy elevenlabs inbox stats --since 1h --type audio --json`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	o := &statsOptions{env: env, endpoint: cmdutil.EndpointFlags(cmd, env), selection: &selection{env: env}}
	inboxFlag(cmd, &o.selection.inbox)
	destinationFlag(cmd, &o.selection.destination)
	cmdutil.TypeFlag(cmd)
	cmd.Flags().StringVar(&o.selection.sinceText, "since", "24h", "only events that came since this `time`: RFC 3339, or a duration before now such as 2h or 3d")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return o.run(cmd) }
	return cmd
}

func (o *statsOptions) run(cmd *cobra.Command) (err error) {
	if err := cmdutil.RejectEmpty(cmd, "inbox", "destination", "since"); err != nil {
		return err
	}
	if o.selection.types, err = cmdutil.EventTypes(cmd); err != nil {
		return err
	}
	if o.selection.since, err = cmdutil.ParseTime(o.env.Now(), "since", o.selection.sinceText); err != nil {
		return err
	}
	var text json.RawMessage
	if err := o.endpoint.GetJSON(cmd, "/elevenlabs/inbox/stats?"+o.selection.query().Encode(), &text); err != nil {
		return err
	}
	if cmdutil.WantsJSON(cmd) {
		return cmdutil.PrintJSON(cmd, text)
	}
	var stats stored.Stats
	if err := json.Unmarshal(text, &stats); err != nil {
		return fmt.Errorf("reading the admin endpoint's answer: %w", err)
	}
	if len(stats.Types) == 0 {
		cmd.PrintErrf("no event came since %s\n", clock(o.env, o.selection.since))
		return nil
	}
	table := cmdutil.NewTable(cmd.OutOrStdout())
	named := slices.ContainsFunc(stats.Types, func(t stored.TypeStats) bool { return t.Destination != "" })
	fmt.Fprintf(table, "INBOX%s\tTYPE\tRECEIVED\t%s\tATTEMPTS\tREPEATS\tSIZE\tMEDIAN\t95%%\tLONGEST\n",
		destinationCell(named, "DESTINATION"), strings.ToUpper(strings.Join(names(inbox.States), "\t")))
	for _, t := range stats.Types {
		fmt.Fprintf(table, "%s%s\t%s\t%d", t.Inbox, destinationCell(named, t.Destination), cell(t.EventType), t.Received)
		for _, state := range inbox.States {
			fmt.Fprintf(table, "\t%d", t.Events[state])
		}
		median, p95, longest := "-", "-", "-"
		if d := t.Delivery; d != nil {
			median, p95, longest = took(d.MedianSeconds), took(d.P95Seconds), took(d.LongestSeconds)
		}
		fmt.Fprintf(table, "\t%d\t%d\t%s\t%s\t%s\t%s\n", t.Attempts, t.Repeats, size(t.Bytes), median, p95, longest)
	}
	return table.Flush()
}

// took writes a duration.
func took(seconds float64) string {
	return (time.Duration(seconds*1000) * time.Millisecond).String()
}
