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
	env      cmdutil.Env
	endpoint *cmdutil.Endpoint
	inbox    string
	body     bool
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
	cmd.Flags().BoolVar(&o.body, "body", false, "print only the body")
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return o.run(cmd, args[0]) }
	return cmd
}

func (o *showOptions) run(cmd *cobra.Command, name string) error {
	if err := cmdutil.RejectEmpty(cmd, "inbox"); err != nil {
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
	if cmdutil.WantsJSON(cmd) {
		return cmdutil.PrintJSON(cmd, text)
	}
	var e stored.Detail
	if err := json.Unmarshal(text, &e); err != nil {
		return fmt.Errorf("reading the admin endpoint's answer: %w", err)
	}
	return o.print(cmd, e)
}

// eventID matches an event's id, or enough of its beginning.
var eventID = regexp.MustCompile(`^[0-9a-f]{8,64}$`)

// find returns the number of the event that a number or an id names.
func (o *showOptions) find(cmd *cobra.Command, name string) (int64, error) {
	if seq, err := strconv.ParseInt(name, 10, 64); err == nil && seq > 0 {
		return seq, nil
	}
	if !eventID.MatchString(name) {
		return 0, fmt.Errorf("%q names no event: give its number, or at least 8 characters of its id", name)
	}
	query := url.Values{"event": {name}, "limit": {"2"}}
	if o.inbox != "" {
		query.Set("inbox", o.inbox)
	}
	var found []stored.Event
	if err := o.endpoint.GetJSON(cmd, events+"?"+query.Encode(), &found); err != nil {
		return 0, err
	}
	switch len(found) {
	case 0:
		return 0, fmt.Errorf("no stored event has an id that begins with %s", name)
	case 1:
		o.inbox = found[0].Inbox
		return found[0].Seq, nil
	}
	return 0, fmt.Errorf("several stored events have an id that begins with %s, such as %d and %d: give more of it, or --inbox, or a number", name, found[0].Seq, found[1].Seq)
}

func (o *showOptions) print(cmd *cobra.Command, e stored.Detail) error {
	out := cmd.OutOrStdout()
	table := cmdutil.NewTable(out)
	o.printIdentity(cmd, table, e.Event)
	if err := table.Flush(); err != nil {
		return err
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
	relative := func(t time.Time) string {
		return fmt.Sprintf("%s (%s)", clock(o.env, t), humanize.RelTime(t, o.env.Now(), "ago", "from now"))
	}
	state := string(e.State)
	if c := stateColors[e.State]; c != nil {
		state = cmdutil.Paint(cmd.OutOrStdout(), c, state)
	}
	switch {
	case e.State == inbox.Waiting:
		state += ", next attempt " + relative(e.NextAt)
	case !e.DoneAt.IsZero():
		state += " " + relative(e.DoneAt)
	}
	body := size(e.Size)
	if !e.HasBody {
		body += ", deleted"
	}
	row("number", strconv.FormatInt(e.Seq, 10))
	row("state", state)
	row("type", cell(e.EventType))
	row("event id", e.EventID)
	row("conversation", cell(e.ConversationID))
	row("agent", cell(e.AgentID))
	row("request id", cmdutil.Printable(e.RequestID))
	row("voice", cmdutil.Printable(e.VoiceID))
	row("inbox", e.Inbox)
	row("received", relative(e.ReceivedAt))
	if seconds, err := strconv.ParseInt(e.SignedAt, 10, 64); err == nil {
		row("signed", relative(time.Unix(seconds, 0))+", by "+cell(e.Secret))
	}
	if e.Test {
		row("test", "a command of caddy elevenlabs sent it")
	}
	if e.Repeats > 0 {
		row("repeats", fmt.Sprintf("ElevenLabs sent it %d times more", e.Repeats))
	}
	row("body", body)
}
