package inbox

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/inbox"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/stored"
)

// actOptions are the options of a command that changes events, by their numbers or all
// that are in a state.
type actOptions struct {
	endpoint  *cmdutil.Endpoint
	selection *selection
	state     string
	yes       bool
	to        string // the destination that gets the events; empty for their own

	states []inbox.State // that --state takes
	verb   string        // in the route, and in the name of the command
	doing  string
	ask    string // with %s for a number of events
	done   string // the same
	cannot string // why events stay as they are that are named
}

func (o *actOptions) register(cmd *cobra.Command, env cmdutil.Env) {
	o.endpoint, o.selection = cmdutil.EndpointFlags(cmd, env), selectionFlags(cmd, env)
	cmd.Flags().StringVar(&o.state, "state", "", "all events in this `state`: "+strings.Join(names(o.states), ", "))
	cmdutil.Complete(cmd, "state", names(o.states))
	cmdutil.YesFlag(cmd, &o.yes)
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return o.run(cmd, args) }
}

func (o *actOptions) run(cmd *cobra.Command, args []string) error {
	bySelection := cmd.Flags().Changed("state") || o.to != "" && selected(cmd)
	switch {
	case bySelection && len(args) > 0 && o.to != "":
		return errors.New("give numbers of events, or flags that select them, not both")
	case bySelection && len(args) > 0:
		return errors.New("give numbers of events, or --state, not both")
	case o.to != "" && !bySelection && len(args) == 0:
		return errors.New("give numbers of events, or flags that select them, such as --since 48h")
	case !bySelection && len(args) == 0:
		return fmt.Errorf("give numbers of events, or --state for all that are %s", strings.Join(names(o.states), " or "))
	case !bySelection && selected(cmd):
		return errors.New("--destination, --type, --conversation, --agent, --since and --until need --state")
	}
	if err := o.selection.read(cmd); err != nil {
		return err
	}
	if bySelection {
		states := o.states
		if o.to != "" {
			states = inbox.States
		}
		if err := errors.Join(cmdutil.RejectEmpty(cmd, "state"), cmdutil.CheckChoice(cmd, "state", names(states))); err != nil {
			return err
		}
		return o.runSelection(cmd)
	}
	seqs, err := parseSeqs(args)
	if err != nil {
		return err
	}
	var done stored.Changed
	if err := cmdutil.Wait(cmd, o.doing, func(context.Context) error {
		return o.endpoint.PostJSON(cmd, o.route(), stored.Act{Inbox: o.selection.inbox, Events: seqs, To: o.to}, &done)
	}); err != nil {
		return err
	}
	if err := o.print(cmd, done); err != nil {
		return err
	}
	if missing := len(seqs) - done.Events; missing > 0 {
		return fmt.Errorf("%w: %d of %d %s", cmdutil.ErrCheckFailed, missing, len(seqs), o.cannot)
	}
	return nil
}

func (o *actOptions) route() string { return "/elevenlabs/inbox/" + o.verb }

// perRequest is how many events one request looks at. It takes a second or so.
const perRequest = 1000

// runSelection changes all events that the flags select, some at a time.
func (o *actOptions) runSelection(cmd *cobra.Command) error {
	if o.to != "" {
		if err := o.findTarget(cmd); err != nil {
			return err
		}
		o.done += "; what it has already is left out"
	}
	if !o.yes {
		some, err := o.confirm(cmd)
		if err != nil {
			return err
		}
		if !some {
			return o.print(cmd, stored.Changed{})
		}
	}
	names, err := o.inboxes(cmd)
	if err != nil {
		return err
	}
	bar := cmdutil.NewProgress(cmd, -1, o.doing, progressbar.OptionSetPredictTime(false), progressbar.OptionShowCount())
	var all stored.Changed
	for _, name := range names {
		ask := stored.Act{
			Inbox: name, Destination: o.selection.destination, State: inbox.State(o.state), To: o.to, Types: o.selection.types, ConversationID: o.selection.conversation, AgentID: o.selection.agent,
			Since: o.selection.since.UTC(), Until: o.selection.until.UTC(), Limit: perRequest,
		}
		for more := true; more; {
			var done stored.Changed
			if err := o.endpoint.PostJSON(cmd, o.route(), ask, &done); err != nil {
				_ = bar.Finish() // a bar that cannot be drawn does no harm
				if all.Events > 0 {
					return fmt.Errorf("%w; before that, %s were changed", err, plural(all.Events))
				}
				return err
			}
			all.Events, all.Discarded = all.Events+done.Events, all.Discarded+done.Discarded
			_ = bar.Add(done.Events)
			ask.After, more = done.Last, done.Last > 0
		}
	}
	_ = bar.Finish()
	return o.print(cmd, all)
}

// inboxes returns the inboxes that are named, or all of them. Each database counts its
// events by itself, so a request that goes on after an event needs an inbox.
func (o *actOptions) inboxes(cmd *cobra.Command) ([]string, error) {
	if o.selection.inbox != "" {
		return []string{o.selection.inbox}, nil
	}
	var all []stored.Inbox
	if err := o.endpoint.GetJSON(cmd, "/elevenlabs/inbox", &all); err != nil {
		return nil, err
	}
	names := make([]string, len(all))
	for i, one := range all {
		names[i] = one.Name
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// confirm asks the user before the command changes events. It reports whether the flags
// select any.
func (o *actOptions) confirm(cmd *cobra.Command) (some bool, err error) {
	query := o.selection.query()
	if o.state != "" {
		query.Set("state", o.state)
	}
	found, err := selectedEvents(cmd, o.endpoint, query)
	if err != nil || len(found) == 0 {
		return false, err
	}
	many := len(found)
	if o.to != "" {
		many = distinct(found)
	}
	return true, cmdutil.Confirm(cmd, fmt.Sprintf(o.ask, atLeast(many, found)))
}

// selectedEvents returns the events that a list has, at most maxEvents.
func selectedEvents(cmd *cobra.Command, endpoint *cmdutil.Endpoint, query url.Values) (found []stored.Event, err error) {
	query.Set("limit", strconv.Itoa(maxEvents))
	return found, endpoint.GetJSON(cmd, events+"?"+query.Encode(), &found)
}

// atLeast writes how many events a list has, which may have more than were asked for.
func atLeast(many int, list []stored.Event) string {
	if len(list) == maxEvents {
		return plural(many) + " or more"
	}
	return plural(many)
}

// distinct counts events, each once for all its destinations.
func distinct(all []stored.Event) (count int) {
	type identity struct{ inbox, id string }
	shared := map[identity]bool{}
	for _, e := range all {
		if e.Destination != "" {
			shared[identity{e.Inbox, e.EventID}] = true
		}
	}
	for _, e := range all {
		if e.Destination == "" && !shared[identity{e.Inbox, e.EventID}] {
			count++
		}
	}
	return count + len(shared)
}

func (o *actOptions) print(cmd *cobra.Command, done stored.Changed) error {
	if cmdutil.WantsJSON(cmd) {
		done.Last = 0
		return cmdutil.PrintJSON(cmd, done)
	}
	text := fmt.Sprintf(o.done+"\n", plural(done.Events))
	if done.Discarded > 0 {
		text += fmt.Sprintf("discarded, since this Caddy does not have their destination: %s\n", plural(done.Discarded))
	}
	_, err := fmt.Fprint(cmd.OutOrStdout(), text)
	return err
}

// query returns the parameters of a list that selects alike.
func (s *selection) query() url.Values {
	query := url.Values{}
	for name, value := range map[string]string{"inbox": s.inbox, "destination": s.destination, "conversation": s.conversation, "agent": s.agent} {
		if value != "" {
			query.Set(name, value)
		}
	}
	for _, typ := range s.types {
		query.Add("type", typ)
	}
	for name, t := range map[string]time.Time{"since": s.since, "until": s.until} {
		if !t.IsZero() {
			query.Set(name, t.UTC().Format(time.RFC3339))
		}
	}
	return query
}
