package backfill

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/source"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/elevenlabs"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/stored"
)

// Inboxes are the inboxes of a running Caddy.
type Inboxes struct {
	source *source.Source
	names  []string
	// Remembered is how long each of them knows an event at least, after it came.
	Remembered time.Duration
}

// errNoInbox is the error of a Caddy without an inbox.
var errNoInbox = errors.New("no elevenlabs_webhook handler of this Caddy has an inbox to compare with")

// OpenInboxes asks a Caddy for its inboxes.
func OpenInboxes(cmd *cobra.Command, from *source.Source) (*Inboxes, error) {
	all, err := from.Inboxes(cmd)
	if err != nil {
		return nil, err
	}
	i := &Inboxes{source: from}
	for _, one := range all {
		switch {
		case from.Inbox != "" && one.Name != from.Inbox:
			continue
		case !one.Up:
			return nil, fmt.Errorf("the database of inbox %s does not answer, so nothing says which events it has: %s", one.Name, cmdutil.Brief(one.Problem, cmdutil.Longest))
		}
		if !slices.Contains(i.names, one.Name) { // a name may be there for each destination
			i.names = append(i.names, one.Name)
		}
		if one.Handlers == 0 { // what is left in it still counts
			continue
		}
		if one.RememberSeconds <= 0 {
			return nil, errors.New("the running Caddy does not say how long its inbox remembers events: it is older than this command")
		}
		if kept := time.Duration(one.RememberSeconds * float64(time.Second)); i.Remembered == 0 || kept < i.Remembered {
			i.Remembered = kept
		}
	}
	if i.Remembered == 0 {
		return nil, errNoInbox
	}
	return i, nil
}

// CheckSince returns an error if an inbox may have forgotten events of calls that began at
// a time: they would look missing.
func (i *Inboxes) CheckSince(now, since time.Time) error {
	if since.Before(now.Add(-i.Remembered)) {
		return fmt.Errorf("--since reaches back %s, and the inbox remembers a delivered event for %s only (retention): events before that look missing, though your application has them. Give a later --since, or compare with a list of your own by --ids",
			cmdutil.Span(now.Sub(since)), cmdutil.Span(i.Remembered))
	}
	return nil
}

// slack is how far the clocks of ElevenLabs and of the database may differ.
const slack = 10 * time.Minute

// Known reads which events are there. It looks before and after the list of conversations
// is read, so that it sees those that come or that are forgotten meanwhile.
func (i *Inboxes) Known(cmd *cobra.Command, now, since time.Time, list func() ([]elevenlabs.Conversation, error)) ([]elevenlabs.Conversation, Known, error) {
	known := Known{}
	if err := i.read(cmd, known, since.Add(-slack)); err != nil {
		return nil, nil, err
	}
	conversations, err := list()
	if err != nil {
		return nil, nil, err
	}
	return conversations, known, i.read(cmd, known, now.Add(-slack))
}

func (i *Inboxes) read(cmd *cobra.Command, known Known, since time.Time) error {
	for _, name := range i.names {
		query := url.Values{"type": types, "since": {since.UTC().Format(time.RFC3339)}}
		err := i.source.Each(cmd, name, query, func(e stored.Event) { known.add(e.ConversationID, e.EventType) })
		if err != nil {
			return err
		}
	}
	return nil
}
