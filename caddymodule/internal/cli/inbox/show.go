package inbox

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/inbox"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/stored"
)

// showOptions are the options of `show`.
type showOptions struct {
	env         cmdutil.Env
	endpoint    *cmdutil.Endpoint
	inbox       string
	destination string
	body        bool
}

func newCmdShow(env cmdutil.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show <number | event id>",
		Short: "Shows a stored event, its attempts and its request",
		Long: `Shows a stored event: what it is, its state, each attempt to deliver it with the
answer's first characters, and the headers with which it came. Values of headers that
may hold a signature or a credential are not shown.

Name the event by the number that "inbox list" shows, or by its event id, as in the
header X-ElevenLabs-Event-Id. The first 8 characters of the id suffice.

If an inbox has several destinations, each has an event of its own, with a number. An
event id then shows that of the first one, or of --destination, and the others with
their states.

With --body, the command prints only the event's body, byte for byte as it came.`,
		Example: `  caddy elevenlabs inbox show 42
  caddy elevenlabs inbox show 5b1cdaee --json
  caddy elevenlabs inbox show 42 --body | jq .data.transcript
  caddy elevenlabs inbox show 42 --body >event.json`,
		Args:              cmdutil.OneArgument,
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	o := &showOptions{env: env, endpoint: cmdutil.EndpointFlags(cmd, env)}
	inboxFlag(cmd, &o.inbox)
	cmd.Flags().StringVar(&o.destination, "destination", "", "of the events with this id, that for the destination with this `name`")
	cmd.Flags().BoolVar(&o.body, "body", false, "print only the body")
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return o.run(cmd, args[0]) }
	return cmd
}

func (o *showOptions) run(cmd *cobra.Command, name string) error {
	if err := cmdutil.RejectEmpty(cmd, "inbox", "destination"); err != nil {
		return err
	}
	if o.body && cmdutil.WantsJSON(cmd) {
		return errors.New("--body prints the body as it is: leave --json out")
	}
	seq, err := o.find(cmd, name)
	if err != nil {
		return err
	}
	if o.body {
		body, err := o.endpoint.Get(cmd, path(seq, o.inbox, "/body"), http.Header{"Accept": {"application/octet-stream"}})
		if err != nil {
			return err
		}
		defer body.Close()
		if _, err := io.Copy(cmd.OutOrStdout(), body); err != nil {
			return fmt.Errorf("reading the body: %w", err)
		}
		return nil
	}
	var text json.RawMessage
	if err := o.endpoint.GetJSON(cmd, path(seq, o.inbox, ""), &text); err != nil {
		return err
	}
	var e stored.Detail
	if err := json.Unmarshal(text, &e); err != nil {
		return fmt.Errorf("reading the admin endpoint's answer: %w", err)
	}
	others, err := o.others(cmd, e.Event)
	switch {
	case err != nil:
		return err
	case cmdutil.WantsJSON(cmd) && e.Destination == "":
		return cmdutil.PrintJSON(cmd, text)
	case cmdutil.WantsJSON(cmd):
		return printWithOthers(cmd, text, others)
	}
	return o.print(cmd, e, others)
}

// others returns the same event for the other destinations of its inbox.
func (o *showOptions) others(cmd *cobra.Command, e stored.Event) (others []stored.Event, err error) {
	if e.Destination == "" {
		return nil, nil
	}
	query := url.Values{"event": {e.EventID}, "inbox": {e.Inbox}, "limit": {mostAlike}}
	if err := o.endpoint.GetJSON(cmd, events+"?"+query.Encode(), &others); err != nil {
		return nil, err
	}
	others = slices.DeleteFunc(others, func(other stored.Event) bool { return other.Seq == e.Seq })
	slices.SortFunc(others, func(a, b stored.Event) int { return cmp.Compare(a.Seq, b.Seq) })
	return others, nil
}

// printWithOthers adds the others to the JSON of an event.
func printWithOthers(cmd *cobra.Command, text json.RawMessage, others []stored.Event) error {
	var fields map[string]json.RawMessage
	err := json.Unmarshal(text, &fields)
	if err == nil {
		fields["other_destinations"], err = json.Marshal(append([]stored.Event{}, others...)) //nolint:gosec // its field secret has the name of a secret
	}
	if err != nil {
		return fmt.Errorf("reading the admin endpoint's answer: %w", err)
	}
	return cmdutil.PrintJSON(cmd, fields)
}

// eventID matches an event's id, or enough of its beginning.
var eventID = regexp.MustCompile(`^[0-9a-f]{8,64}$`)

// find returns the number of the event that a number or an id names.
func (o *showOptions) find(cmd *cobra.Command, name string) (int64, error) {
	if seq, err := strconv.ParseInt(name, 10, 64); err == nil && seq > 0 {
		if o.destination != "" {
			return 0, errors.New("a number names the event for one destination: leave --destination out, or give the event id")
		}
		return seq, nil
	}
	if !eventID.MatchString(name) {
		return 0, fmt.Errorf("%q names no event: give its number, or at least 8 characters of its id", name)
	}
	query := url.Values{"event": {name}, "limit": {mostAlike}}
	for name, value := range map[string]string{"inbox": o.inbox, "destination": o.destination} {
		if value != "" {
			query.Set(name, value)
		}
	}
	var found []stored.Event
	if err := o.endpoint.GetJSON(cmd, events+"?"+query.Encode(), &found); err != nil {
		return 0, err
	}
	if len(found) == 0 {
		return 0, fmt.Errorf("no stored event has an id that begins with %s", name)
	}
	first := found[len(found)-1] // the list begins with the newest, and with the last destination
	other := slices.IndexFunc(found, func(e stored.Event) bool { return e.EventID != first.EventID || e.Inbox != first.Inbox })
	if other >= 0 {
		return 0, fmt.Errorf("several stored events have an id that begins with %s, such as %d and %d: give more of it, or --inbox, or a number", name, found[other].Seq, first.Seq)
	}
	o.inbox = first.Inbox
	return first.Seq, nil
}

// mostAlike is how many events are looked at that have an id, or its beginning, in common:
// more than an inbox has destinations.
const mostAlike = "100"

func (o *showOptions) print(cmd *cobra.Command, e stored.Detail, others []stored.Event) error {
	out := cmd.OutOrStdout()
	table := cmdutil.NewTable(out)
	o.printIdentity(cmd, table, e.Event)
	if err := table.Flush(); err != nil {
		return err
	}
	if len(others) > 0 {
		fmt.Fprintln(out, "\nother destinations")
		for _, other := range others {
			fmt.Fprintf(table, "  %s\tnumber %d\t%s\n", cell(other.Destination), other.Seq, o.state(cmd, other))
		}
		if err := table.Flush(); err != nil {
			return err
		}
	}
	if len(e.Timeline) > 0 {
		fmt.Fprintln(out, "\nattempts")
		for _, a := range e.Timeline {
			status := "-"
			if a.UpstreamStatus != 0 {
				status = strconv.Itoa(a.UpstreamStatus)
			}
			result := cmp.Or(a.Reason, "taken")
			if answer := strings.TrimSpace(a.Answer); answer != "" {
				result += "\t" + cmdutil.Brief(answer, cmdutil.Longest)
			}
			fmt.Fprintf(table, "  %d\t%s\t%.3fs\t%s\t%s\n", a.Attempt, clock(o.env, a.EndedAt), a.Seconds, status, result)
		}
		if err := table.Flush(); err != nil {
			return err
		}
	}
	fmt.Fprintf(out, "\nrequest\n  POST %s%s from %s\n", cmdutil.Printable(e.Request.Host), cmdutil.Printable(e.Request.URI), e.Request.ClientIP)
	for _, name := range slices.Sorted(maps.Keys(e.Request.Header)) {
		for _, value := range e.Request.Header[name] {
			if _, err := fmt.Fprintf(out, "  %s: %s\n", cmdutil.Printable(name), cmdutil.Printable(value)); err != nil {
				return err
			}
		}
	}
	return nil
}

// printIdentity prints what the event is, and its state.
func (o *showOptions) printIdentity(cmd *cobra.Command, table *tabwriter.Writer, e stored.Event) {
	row := func(name, value string) {
		if value != "" {
			fmt.Fprintf(table, "%s\t%s\n", name, value)
		}
	}
	body := size(e.Size)
	if !e.HasBody {
		body += ", deleted"
	}
	row("number", strconv.FormatInt(e.Seq, 10))
	row("state", o.state(cmd, e))
	row("type", cell(e.EventType))
	row("event id", e.EventID)
	row("conversation", cell(e.ConversationID))
	row("agent", cell(e.AgentID))
	row("request id", cmdutil.Printable(e.RequestID))
	row("voice", cmdutil.Printable(e.VoiceID))
	row("inbox", e.Inbox)
	row("destination", cmdutil.Printable(e.Destination))
	row("received", o.relative(e.ReceivedAt))
	if seconds, err := strconv.ParseInt(e.SignedAt, 10, 64); err == nil {
		row("signed", o.relative(time.Unix(seconds, 0))+", by "+cell(e.Secret))
	}
	if e.Test {
		row("test", "a command of caddy elevenlabs sent it")
	}
	if e.Backfill {
		row("backfill", "inbox backfill made it from ElevenLabs' API")
	}
	if e.Repeats > 0 {
		row("repeats", fmt.Sprintf("ElevenLabs sent it %d times more", e.Repeats))
	}
	row("body", body)
}

// state writes the state of an event, and since when or until when.
func (o *showOptions) state(cmd *cobra.Command, e stored.Event) string {
	state := string(e.State)
	if c := stateColors[e.State]; c != nil {
		state = cmdutil.Paint(cmd.OutOrStdout(), c, state)
	}
	switch {
	case e.State == inbox.Waiting:
		state += ", next attempt " + o.relative(e.NextAt)
	case !e.DoneAt.IsZero():
		state += " " + o.relative(e.DoneAt)
	}
	return state
}

// relative writes a time, and how long before or after now it is.
func (o *showOptions) relative(t time.Time) string {
	return fmt.Sprintf("%s (%s)", clock(o.env, t), humanize.RelTime(t, o.env.Now(), "ago", "from now"))
}
