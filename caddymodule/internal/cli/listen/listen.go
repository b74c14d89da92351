// Package listen has the command `listen`, which brings copies of real events from a
// server's inbox to an application on this machine.
package listen

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/delivery"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/source"
)

// listenOptions are the options of `listen`.
type listenOptions struct {
	env  cmdutil.Env
	from *source.Flags

	forwardTo, save, sinceText string
	destination                string
	agent, conversation        string
	insecure                   bool
	timeout                    time.Duration

	types []string
	since time.Time
}

// NewCmdListen returns the command `listen`.
func NewCmdListen(env cmdutil.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "listen",
		Short: "Brings copies of real events from a server's inbox to your machine",
		Long: `Brings a copy of each event in a server's inbox to an application on your machine, as
the events come, until it is interrupted. The server delivers each event to its own
application as before: listen only reads.

A line has the time, the result, the event's type and size, the answer of your local
application, how long that took, the event's number, and its ids. The result is
  received  without --forward-to and --save: the event is only printed
  saved     its body is in the folder --save
  taken     your local application answered 2xx
  failed    it did not: the line says why, and listen goes on with the next event

Your local application gets a POST with the same bytes and headers as behind a plain
reverse_proxy. The signature and other credentials are missing, since the server does
not show them. It gets one event after another, each once, also if the inbox has
several destinations. With --destination, it gets only what that destination gets.

The events come from Caddy's admin endpoint, such as through "ssh -L", or with
--server from the inspector of the server. The server needs an inbox.

If the connection is lost, listen waits for the server and goes on where it was.`,
		Example: `  caddy elevenlabs listen --forward-to http://localhost:3000/hook
  caddy elevenlabs listen --forward-to http://localhost:3000/hook --since 2h --type audio
  caddy elevenlabs listen --save events --agent agent_0123
  caddy elevenlabs listen --destination archive
  caddy elevenlabs listen --server https://inspect.example.com --user admin --forward-to http://localhost:3000/hook`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	o := &listenOptions{env: env, from: source.AddFlags(cmd, env)}
	flags := cmd.Flags()
	flags.StringVar(&o.forwardTo, "forward-to", "", "post each event to this `url`")
	flags.StringVar(&o.save, "save", "", "save the body of each event as a file in this `folder`, for \"send --file\"")
	cmdutil.TypeFlag(cmd)
	flags.StringVar(&o.destination, "destination", "", "only events for the destination with this `name`")
	flags.StringVar(&o.agent, "agent", "", "only events of the agent with this `id`")
	flags.StringVar(&o.conversation, "conversation", "", "only events of the conversation with this `id`")
	flags.StringVar(&o.sinceText, "since", "", "first the stored events that came since this `time`: RFC 3339, or a duration before now such as 2h or 3d")
	flags.DurationVar(&o.timeout, "timeout", time.Minute, "the longest that your local application may take for an event")
	flags.BoolVar(&o.insecure, "insecure", false, "do not verify the certificate of --forward-to")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return o.run(cmd) }
	return cmd
}

func (o *listenOptions) run(cmd *cobra.Command) error {
	if err := o.read(cmd); err != nil {
		return err
	}
	h := &handler{env: o.env, told: map[string]bool{}}
	var err error
	if o.forwardTo != "" {
		if h.application, err = newApplication(o.forwardTo, o.env, o.insecure, o.timeout); err != nil {
			return err
		}
	}
	if h.source, err = o.from.Source(cmd); err != nil {
		return err
	}
	f := newFollower(h.source, o.query(), h.handle)
	f.announce = func() error {
		if o.save != "" {
			if h.folder, err = newFolder(o.save); err != nil {
				return err
			}
		}
		note(cmd, "%s", o.announcement(h))
		return nil
	}
	err = f.run(cmd)
	if answer, ok := errors.AsType[*cmdutil.AdminError](err); ok && answer.Status == http.StatusNotFound && h.source.Inbox == "" {
		return fmt.Errorf("%w; listen needs a server whose elevenlabs_webhook has the option inbox", err)
	}
	return err
}

// read reads and checks the flags.
func (o *listenOptions) read(cmd *cobra.Command) (err error) {
	if err := cmdutil.RejectEmpty(cmd, "forward-to", "save", "destination", "agent", "conversation", "since"); err != nil {
		return err
	}
	for _, name := range []string{"timeout", "insecure"} {
		if cmd.Flags().Changed(name) && o.forwardTo == "" {
			return fmt.Errorf("--%s is for your local application: it needs --forward-to", name)
		}
	}
	if o.timeout <= 0 {
		return fmt.Errorf("--timeout must be above 0, not %s", o.timeout)
	}
	if o.types, err = cmdutil.EventTypes(cmd); err != nil {
		return err
	}
	o.since, err = cmdutil.ParseTime(o.env.Now(), "since", o.sinceText)
	return err
}

// query selects the events.
func (o *listenOptions) query() url.Values {
	query := url.Values{}
	if o.destination == "" {
		query.Set("once", "true") // for all the destinations of its inbox
	}
	for name, value := range map[string]string{"destination": o.destination, "agent": o.agent, "conversation": o.conversation} {
		if value != "" {
			query.Set(name, value)
		}
	}
	if len(o.types) > 0 {
		query["type"] = o.types
	}
	if !o.since.IsZero() {
		query.Set("since", o.since.UTC().Format(time.RFC3339))
	}
	return query
}

// announcement says what listen waits for, since there may be nothing to print for hours.
func (o *listenOptions) announcement(h *handler) string {
	text := new(strings.Builder)
	text.WriteString("waiting for events")
	for _, by := range []struct{ what, value string }{
		{"in the inbox", h.source.Inbox},
		{"for the destination", o.destination},
		{"of the type", strings.Join(o.types, " or ")},
		{"of the agent", o.agent},
		{"of the conversation", o.conversation},
	} {
		if by.value != "" {
			fmt.Fprintf(text, " %s %s", by.what, cmdutil.Printable(by.value))
		}
	}
	if !o.since.IsZero() {
		fmt.Fprintf(text, ", and first those since %s", o.since.In(o.env.Now().Location()).Format("2006-01-02 15:04:05"))
	}
	var to []string
	if h.application != nil {
		to = append(to, "goes to "+h.application.url.Redacted())
	}
	if h.folder != "" {
		to = append(to, "is saved in "+string(h.folder))
	}
	if len(to) == 0 {
		to = []string{"is only printed"}
	}
	return text.String() + "; each " + strings.Join(to, " and ") + "; Ctrl-C ends"
}

// note tells the user something about the command itself, and not of events.
func note(cmd *cobra.Command, format string, args ...any) { cmd.PrintErrf(format+"\n", args...) }

// newApplication returns the local application. Nothing is sent yet.
func newApplication(target string, env cmdutil.Env, insecure bool, timeout time.Duration) (*application, error) {
	parsed, err := delivery.ParseURL(target)
	if err != nil {
		return nil, fmt.Errorf("--forward-to: %w", err)
	}
	client, err := delivery.NewConnection("", insecure, timeout).Client(parsed, env.Now)
	if err != nil {
		return nil, err
	}
	return &application{url: parsed, http: client, now: env.Now}, nil
}
