package inbox

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/inbox"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/stored"
)

// maxEvents is how many events the admin endpoint lists at most.
const maxEvents = 1000

// listOptions are the options of `list`.
type listOptions struct {
	env             cmdutil.Env
	endpoint        *cmdutil.Endpoint
	selection       *selection
	state, event    string
	webhook         string
	request, search string
	limit           int
	before          int64
}

func newCmdList(env cmdutil.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "Lists stored events, newest first",
		Long: `Lists stored events, newest first, without their bodies. The first column is the
number by which the other commands name an event.

An event is
  waiting     for its first attempt, or for the next one after a failure
  delivering  an attempt is under way
  delivered   your application took it
  dead        all attempts failed, and no more are made
  discarded   you gave it up, and no attempts are made

If an inbox has several destinations, each has an event of its own.
A type with (backfill) behind it is of an event that "inbox backfill" made.

Times are those of this machine's clock. If there may be more events than --limit, a
line on standard error says how to see them.`,
		Example: `  caddy elevenlabs inbox list
  caddy elevenlabs inbox list --state dead --since 24h
  caddy elevenlabs inbox list --conversation conv_3701kb2s --json
  caddy elevenlabs inbox list --search 5b1cdaee
  caddy elevenlabs inbox list --destination archive --state waiting
  caddy elevenlabs inbox list --type audio --before 1000 --limit 50`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	o := &listOptions{env: env, endpoint: cmdutil.EndpointFlags(cmd, env), selection: selectionFlags(cmd, env)}
	flags := cmd.Flags()
	flags.StringVar(&o.state, "state", "", "only events in this `state`: "+strings.Join(names(inbox.States), ", "))
	flags.StringVar(&o.event, "event", "", "only events whose `id` is this, or begins so")
	flags.StringVar(&o.webhook, "webhook", "", "only events that the secret of this `name` signed, as in metrics")
	flags.StringVar(&o.request, "request", "", "only events of the request with this `id`")
	flags.StringVar(&o.search, "search", "", "only events of the conversation, agent or request with this `id`, or whose own id begins so")
	flags.IntVarP(&o.limit, "limit", "n", 100, "the highest `number` of events to list, at most 1000")
	flags.Int64Var(&o.before, "before", 0, "only events before the one with this `number`, for the next page")
	cmdutil.Complete(cmd, "state", names(inbox.States))
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return o.run(cmd) }
	return cmd
}

func (o *listOptions) run(cmd *cobra.Command) error {
	if err := o.selection.read(cmd); err != nil {
		return err
	}
	if err := cmdutil.RejectEmpty(cmd, "event", "webhook", "request", "search"); err != nil {
		return err
	}
	if err := cmdutil.CheckChoice(cmd, "state", names(inbox.States)); err != nil {
		return err
	}
	if o.limit < 1 || o.limit > maxEvents {
		return fmt.Errorf("--limit must be from 1 to %d, not %d", maxEvents, o.limit)
	}
	if cmd.Flags().Changed("before") && o.before < 1 {
		return fmt.Errorf("--before must be above 0, not %d", o.before)
	}
	var texts []json.RawMessage
	if err := o.endpoint.GetJSON(cmd, o.uri(), &texts); err != nil {
		return err
	}
	all := make([]stored.Event, len(texts))
	for i, text := range texts {
		if err := json.Unmarshal(text, &all[i]); err != nil {
			return fmt.Errorf("reading the admin endpoint's answer: %w", err)
		}
	}
	if err := o.print(cmd, texts, all); err != nil {
		return err
	}
	switch {
	case len(all) == 0:
		cmd.PrintErrln("no stored event is like that")
	case len(all) == o.limit:
		cmd.PrintErrf("there may be more: --before %d lists those before\n", all[len(all)-1].Seq)
	}
	return nil
}

// uri asks for the events that the flags select.
func (o *listOptions) uri() string {
	query := o.selection.query()
	set := func(name, value string) {
		if value != "" {
			query.Set(name, value)
		}
	}
	set("state", o.state)
	set("event", o.event)
	set("webhook", o.webhook)
	set("request", o.request)
	set("search", o.search)
	set("limit", strconv.Itoa(o.limit))
	if o.before > 0 {
		set("before", strconv.FormatInt(o.before, 10))
	}
	return events + "?" + query.Encode()
}

func (o *listOptions) print(cmd *cobra.Command, texts []json.RawMessage, all []stored.Event) error {
	if cmdutil.WantsJSON(cmd) {
		for _, text := range texts {
			if err := cmdutil.PrintJSON(cmd, text); err != nil {
				return err
			}
		}
		return nil
	}
	if len(all) == 0 {
		return nil
	}
	table := cmdutil.NewTable(cmd.OutOrStdout())
	named := slices.ContainsFunc(all, func(e stored.Event) bool { return e.Destination != "" })
	fmt.Fprint(table, "NUMBER\tRECEIVED\tSTATE\tATTEMPTS\tTYPE\tSIZE\tCONVERSATION\tINBOX"+destinationCell(named, "DESTINATION")+"\n")
	for _, e := range all {
		eventType := cell(e.EventType)
		if e.Backfill {
			eventType += " (backfill)"
		}
		fmt.Fprintf(table, "%d\t%s\t%s\t%d\t%s\t%s\t%s\t%s%s\n", e.Seq, clock(o.env, e.ReceivedAt), e.State, e.Attempts,
			eventType, size(e.Size), cell(e.ConversationID), e.Inbox, destinationCell(named, e.Destination))
	}
	return table.Flush()
}

// destinationCell returns the column for destinations, if there is one.
func destinationCell(there bool, value string) string {
	if !there {
		return ""
	}
	return "\t" + cell(value)
}

// cell makes a value fit for a column.
func cell(value string) string { return cmdutil.Printable(cmp.Or(value, "-")) }
