package inbox

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/stored"
)

// findTarget finds the inbox that has the destination of --to, so that only its events are
// selected.
func (o *actOptions) findTarget(cmd *cobra.Command) error {
	var all []stored.Inbox
	if err := o.endpoint.GetJSON(cmd, cmdutil.InboxesURI, &all); err != nil {
		return err
	}
	var having, known []string
	for _, i := range all {
		if i.Destination == "" || i.Handlers == 0 || o.selection.inbox != "" && i.Name != o.selection.inbox {
			continue
		}
		known = append(known, i.Destination)
		if i.Destination == o.to {
			having = append(having, i.Name)
		}
	}
	slices.Sort(known)
	known = slices.Compact(known)
	switch {
	case len(known) == 0:
		return errors.New("--to needs an inbox whose destinations have names, and there is none")
	case len(having) == 0:
		return fmt.Errorf("there is no destination %q%s: give --to one of %s", o.to, cmdutil.DidYouMean(o.to, known), strings.Join(known, ", "))
	case len(having) > 1:
		return fmt.Errorf("several inboxes have a destination %s: give --inbox one of %s", o.to, strings.Join(having, ", "))
	}
	o.selection.inbox = having[0]
	return nil
}
