package listen

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/fatih/color"
	"github.com/spf13/cobra"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/stored"
)

// What became of a copy.
const (
	received = "received"
	saved    = "saved"
	taken    = "taken"
	failed   = "failed"
)

var resultColors = map[string]*color.Color{
	saved:  cmdutil.Good,
	taken:  cmdutil.Good,
	failed: cmdutil.Bad,
}

// result is what became of the copy of an event.
type result struct {
	stored.Event
	Result  string  `json:"result"`
	Status  int     `json:"status,omitempty"` // of the local application
	Seconds float64 `json:"seconds,omitempty"`
	File    string  `json:"file,omitempty"`
	Problem string  `json:"problem,omitempty"`
	// Answer are the first lines of an answer that is not 2xx.
	Answer []string `json:"answer,omitempty"`
}

func (r *result) fail(problem string) { r.Result, r.Problem = failed, problem }

// print prints a line. Its columns are those of `tail`.
func (h *handler) print(cmd *cobra.Command, r result) error {
	if cmdutil.WantsJSON(cmd) {
		return cmdutil.PrintJSON(cmd, r)
	}
	out := cmd.OutOrStdout()
	word := fmt.Sprintf("%-8s", r.Result)
	if c := resultColors[r.Result]; c != nil {
		word = cmdutil.Paint(out, c, word)
	}
	status, seconds, test, backfill := "-", "-", "", ""
	if r.Status != 0 {
		status = strconv.Itoa(r.Status)
	}
	if r.Result == taken || r.Result == failed && h.application != nil && r.Seconds+float64(r.Status) > 0 {
		seconds = fmt.Sprintf("%.3fs", r.Seconds)
	}
	if r.Test {
		test = "true"
	}
	if r.Backfill {
		backfill = facts.BackfillMark
	}
	line := new(strings.Builder)
	fmt.Fprintf(line, "%s  %s  %-29s  %9s  %3s  %7s", r.ReceivedAt.In(h.env.Now().Location()).Format("2006-01-02 15:04:05"), word,
		cmdutil.Printable(cmp.Or(r.EventType, "-")), humanize.IBytes(uint64(max(r.Size, 0))), status, seconds)
	for _, id := range []struct{ name, value string }{
		{"number", strconv.FormatInt(r.Seq, 10)},
		{"test", test},
		{"backfill", backfill},
		{"conversation", r.ConversationID},
		{"request", r.RequestID},
		{"voice", r.VoiceID},
		{"file", r.File},
	} {
		if id.value != "" {
			fmt.Fprintf(line, "  %s=%s", id.name, cmdutil.Printable(id.value))
		}
	}
	if r.Problem != "" {
		fmt.Fprintf(line, "  (%s)", r.Problem)
	}
	for _, answer := range r.Answer {
		fmt.Fprintf(line, "\n        | %s", answer)
	}
	_, err := fmt.Fprintln(out, line)
	return err
}
