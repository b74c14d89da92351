package send

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/source"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/sample"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/stored"
)

// lastFlags are the flags that say where the event of --last is.
var lastFlags = []string{"inbox", "address", "config", "adapter"}

// checkLast returns an error if flags are given that change nothing.
func (o *sendOptions) checkLast(cmd *cobra.Command) error {
	if o.last {
		return cmdutil.RejectEmpty(cmd, lastFlags...)
	}
	for _, name := range lastFlags {
		if cmd.Flags().Changed(name) {
			return fmt.Errorf("--%s says where --last finds the event: it needs --last", name)
		}
	}
	return nil
}

// lookedThrough is how many events are looked through for one whose body is there.
const lookedThrough = 100

// lastEvent reads the newest stored event whose body is there.
func (o *sendOptions) lastEvent(cmd *cobra.Command) (event sample.Event, err error) {
	var types []string
	what := "event"
	if cmd.Flags().Changed("event") {
		if types = facts.EventTypesNamed(o.event); len(types) == 0 {
			return event, fmt.Errorf("there is no event %q%s: --help lists them", o.event, cmdutil.DidYouMean(o.event, facts.EventNames))
		}
		what = "event of the type " + strings.Join(types, " or ")
	}
	from := source.OfEndpoint(o.endpoint, o.inbox)
	var newest []stored.Event
	var body []byte
	err = cmdutil.Wait(cmd, "reading the event", func(context.Context) error {
		if newest, err = from.Newest(cmd, url.Values{"type": types}, lookedThrough); err != nil {
			return err
		}
		i := slices.IndexFunc(newest, func(e stored.Event) bool { return e.HasBody })
		if i < 0 {
			return fmt.Errorf("--last: the server has stored no %s whose body is there", what)
		}
		newest = newest[i:]
		from.Inbox = newest[0].Inbox // several databases may have such a number
		reader, err := from.Body(cmd, newest[0].Seq)
		if err != nil {
			return err
		}
		defer reader.Close()
		if body, err = io.ReadAll(reader); err != nil {
			return fmt.Errorf("reading the body: %w", err)
		}
		return nil
	})
	if err != nil {
		return event, err
	}
	e := newest[0]
	cmd.PrintErrf("event %d, %s, received %s, is signed anew. Its event id stays %s: who drops repeats drops this one\n",
		e.Seq, cmdutil.Printable(e.EventType), e.ReceivedAt.In(o.env.Now().Location()).Format("2006-01-02 15:04:05"), e.EventID)
	return sample.FromBody(sample.TypeOf(body), body), nil
}
