package doctor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/backfill"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/source"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/elevenlabs"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"
)

// missingSpan is of which calls doctor looks for the transcripts, unless the inbox forgets
// sooner.
const missingSpan = 24 * time.Hour

// checkMissing compares the calls that ElevenLabs knows with those that came.
func (e *examination) checkMissing(ctx context.Context) []finding {
	address := e.adminAddress()
	switch {
	case !e.hasInbox():
		return only(statusSkip, "there is no inbox in the configuration, so nothing says of which calls an event came")
	case e.workspace.Client == nil:
		return only(statusSkip, "there is no API key to ask ElevenLabs for its calls; see --api-key-file")
	case address == "":
		return only(statusSkip, "nothing says where Caddy's admin endpoint is, which knows what the inbox has")
	}
	silent := new(cobra.Command) // the check has a progress bar of its own
	silent.SetContext(ctx)
	silent.SetErr(io.Discard)
	inboxes, err := backfill.OpenInboxes(silent, source.OfAdmin(e.env, address))
	if err != nil {
		return only(statusSkip, "the inbox cannot be asked: %s", cmdutil.Brief(err.Error(), cmdutil.Longest))
	}
	now := e.env.Now()
	span := min(missingSpan, inboxes.Remembered)
	since := now.Add(-span)
	conversations, known, err := inboxes.Known(silent, now, since, func() ([]elevenlabs.Conversation, error) {
		return backfill.List(ctx, e.workspace.Client, e.workspace.Agents, since, now)
	})
	if err != nil {
		f := found(statusSkip, "the calls cannot be compared: %s", cmdutil.Brief(err.Error(), cmdutil.Longest))
		if answered, ok := errors.AsType[*elevenlabs.Error](err); ok && answered.Permission != "" {
			return []finding{f.withRemedy("Give the API key the permission %s.", answered.Permission)}
		}
		return []finding{f}
	}
	of := fmt.Sprintf("%d calls of the last %s", len(conversations), cmdutil.Span(span))
	compared := backfill.Compare(conversations, known, false, now.Add(-facts.RetriedFor))
	if n := len(compared.Missing); n > 0 {
		url := "<url>"
		if e.url != nil {
			url = e.url.String()
		}
		agents, more := "", " If other agents' calls go elsewhere, name this one's by --agent."
		if len(e.workspace.Agents) > 0 {
			agents, more = " --agent "+strings.Join(e.workspace.Agents, ","), ""
		}
		return []finding{found(statusWarn, "the inbox has no transcript of %d of the %s", n, of).
			withRemedy("If this webhook should have got them: caddy elevenlabs inbox backfill %s --since %s%s --dry-run lists them, and without --dry-run it sends them.%s", url, shortest(span), agents, more)}
	}
	return only(statusOK, "no transcript is missing of the %s", of)
}

// shortest writes a duration as --since takes it.
func shortest(d time.Duration) string {
	if d%time.Hour == 0 {
		return fmt.Sprintf("%dh", d/time.Hour)
	}
	return d.String()
}

// hasInbox reports whether a handler has an inbox.
func (e *examination) hasInbox() bool {
	for _, h := range e.handlers() {
		if h.Inbox != nil {
			return true
		}
	}
	return false
}

// adminAddress returns where the running Caddy's admin endpoint is, or nothing.
func (e *examination) adminAddress() string {
	if e.address == "" && e.config != nil {
		return e.config.Admin
	}
	return e.address
}
