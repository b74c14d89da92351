package inbox

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/fatih/color"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/inbox"
)

// events is the route of the admin endpoint for stored events.
const events = "/elevenlabs/inbox/events"

var stateColors = map[inbox.State]*color.Color{
	inbox.Waiting: cmdutil.Warning, inbox.Delivering: cmdutil.Warning, inbox.Delivered: cmdutil.Good, inbox.Dead: cmdutil.Bad,
}

// names returns states as texts.
func names(states []inbox.State) []string {
	all := make([]string, len(states))
	for i, state := range states {
		all[i] = string(state)
	}
	return all
}

// clock writes a time as the clock of this machine shows it.
func clock(env cmdutil.Env, t time.Time) string {
	return t.In(env.Now().Location()).Format("2006-01-02 15:04:05")
}

func size(bytes int64) string { return humanize.IBytes(uint64(max(bytes, 0))) }

// path returns the route of one event. The inbox is needed if several databases are open.
func path(seq int64, inbox, rest string) string {
	uri := events + "/" + strconv.FormatInt(seq, 10) + rest
	if inbox != "" {
		uri += "?inbox=" + url.QueryEscape(inbox)
	}
	return uri
}

// parseSeq reads the number of an event.
func parseSeq(text string) (int64, error) {
	seq, err := strconv.ParseInt(text, 10, 64)
	if err != nil || seq < 1 {
		return 0, fmt.Errorf("%q is no number of an event: the first column of `inbox list` has it", text)
	}
	return seq, nil
}

func parseSeqs(texts []string) ([]int64, error) {
	seqs := make([]int64, len(texts))
	for i, text := range texts {
		var err error
		if seqs[i], err = parseSeq(text); err != nil {
			return nil, err
		}
	}
	slices.Sort(seqs)
	return slices.Compact(seqs), nil
}

// plural writes a number of events.
func plural(n int) string {
	if n == 1 {
		return "1 event"
	}
	return fmt.Sprintf("%d events", n)
}
