package backfill

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/fatih/color"
	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/delivery"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"
)

// What became of a missing event.
const (
	missing = "missing" // with --dry-run
	sent    = "sent"
	skipped = "skipped" // there is nothing to send
	failed  = "FAILED"
)

var resultColors = map[string]*color.Color{sent: cmdutil.Good, skipped: cmdutil.Faint, failed: cmdutil.Bad}

// line is what became of one event.
type line struct {
	Result       string    `json:"result"`
	Conversation string    `json:"conversation_id"`
	Agent        string    `json:"agent_id"`
	Call         string    `json:"call"` // done or failed
	StartedAt    time.Time `json:"started_at"`
	Event        string    `json:"event"`
	EventID      string    `json:"event_id,omitempty"`
	Bytes        int64     `json:"bytes,omitempty"`
	Status       int       `json:"status,omitempty"`
	Reason       string    `json:"reason,omitempty"`
	Inbox        string    `json:"inbox,omitempty"`
	Milliseconds int64     `json:"ms,omitempty"`
	Problem      string    `json:"problem,omitempty"`
	// Answer is the first lines of an answer that is not as expected.
	Answer []string `json:"answer,omitempty"`
}

func newLine(m Missing, eventType, result string) line {
	return line{Result: result, Conversation: m.ID, Agent: m.AgentID, Call: m.Status, StartedAt: m.Start.UTC(), Event: eventType}
}

// take fills in the result of a delivery.
func (l *line) take(r delivery.Result) {
	l.EventID, l.Bytes, l.Status, l.Reason, l.Inbox, l.Milliseconds = r.EventID, r.Bytes, r.Status, r.Reason, r.Inbox, r.Milliseconds
	l.Problem, l.Answer = r.Problem, r.Lines
}

// summary is the last line of the output.
type summary struct {
	Conversations int `json:"conversations"`
	Here          int `json:"here"`
	Missing       int `json:"missing"` // conversations of which events are missing
	Unfinished    int `json:"unfinished"`
	Recent        int `json:"recent"`
	NeverStarted  int `json:"never_started"`
	// Events is how many are missing. Sent, Failed and Skipped are what became of them.
	Events  int `json:"events"`
	Sent    int `json:"sent"`
	Failed  int `json:"failed"`
	Skipped int `json:"skipped"`
	// WithoutRecording counts conversations that have none. Nothing is missing of these
	// but perhaps the transcript.
	WithoutRecording int `json:"without_recording"`
}

// report prints lines, each as soon as it is known.
type report struct {
	cmd   *cobra.Command
	zone  *time.Location
	bar   *progressbar.ProgressBar
	width int // of the column of conversations
	// headed reports whether the head of the table is printed.
	headed bool
	summary
}

// newReport begins the report of a comparison.
func newReport(cmd *cobra.Command, zone *time.Location, found Comparison, doing string) *report {
	r := &report{cmd: cmd, zone: zone, width: len("CONVERSATION"), summary: summary{
		Conversations: found.All(), Here: found.Here, Missing: len(found.Missing),
		Unfinished: found.Unfinished, Recent: found.Recent, NeverStarted: found.NeverStarted,
	}}
	for _, m := range found.Missing {
		r.Events += len(m.Types)
		r.width = max(r.width, len(cmdutil.Printable(m.ID)))
	}
	r.bar = cmdutil.NewProgress(cmd, int64(r.Events), doing, progressbar.OptionShowCount())
	return r
}

// withoutRecording notes that there is no recording that could be missing.
func (r *report) withoutRecording(m Missing) {
	r.WithoutRecording++
	r.Events--
	if len(m.Types) == 1 {
		r.Missing--
		r.Here++
	}
	_ = r.bar.Add(1) // a bar that cannot be drawn does no harm
}

// add prints what became of an event.
func (r *report) add(l line) error {
	switch l.Result {
	case sent:
		r.Sent++
	case skipped:
		r.Skipped++
	case failed:
		r.Failed++
	}
	_ = r.bar.Clear()                   // a bar that cannot be drawn does no harm
	defer func() { _ = r.bar.Add(1) }() // which draws it below the line
	if cmdutil.WantsJSON(r.cmd) {
		l.Result = strings.ToLower(l.Result)
		return cmdutil.PrintJSON(r.cmd, l)
	}
	if !r.headed {
		r.headed = true
		if err := r.print("RESULT", "STARTED", "CONVERSATION", "CALL", "EVENT", "BYTES", "STATUS", ""); err != nil {
			return err
		}
	}
	bytes, status := "-", "-"
	if l.Bytes > 0 {
		bytes = strconv.FormatInt(l.Bytes, 10)
	}
	if l.Status > 0 {
		status = strconv.Itoa(l.Status)
	}
	note := l.Problem
	if note == "" && l.Inbox != "" {
		note = "inbox: " + l.Inbox
	}
	if l.Reason != "" {
		note = strings.TrimSuffix(l.Reason+": "+note, ": ")
	}
	err := r.print(l.Result, l.StartedAt.In(r.zone).Format("2006-01-02 15:04:05"), cmdutil.Printable(l.Conversation), cmdutil.Printable(cmp.Or(l.Call, "-")), l.Event, bytes, status, note)
	for _, answer := range l.Answer {
		if err == nil {
			_, err = fmt.Fprintf(r.cmd.OutOrStdout(), "         | %s\n", answer)
		}
	}
	return err
}

// print prints a line of the table. Its columns are wide enough for the usual values, since
// earlier lines cannot be widened.
func (r *report) print(result, started, conversation, call, event, bytes, status, note string) error {
	text := fmt.Sprintf("  %-19s  %-*s  %-6s  %-23s  %9s  %6s  %s", started, r.width, conversation, call, event, bytes, status, note)
	out, first := r.cmd.OutOrStdout(), fmt.Sprintf("%-7s", result)
	if c, known := resultColors[result]; known {
		first = cmdutil.Paint(out, c, first)
	}
	_, err := fmt.Fprintln(out, first+strings.TrimRight(text, " "))
	return err
}

// end prints the summary, and what its words mean where that is not plain.
func (r *report) end() error {
	_ = r.bar.Finish()
	if cmdutil.WantsJSON(r.cmd) {
		return cmdutil.PrintJSON(r.cmd, struct {
			Summary summary `json:"summary"`
		}{r.summary})
	}
	if r.headed {
		fmt.Fprintln(r.cmd.OutOrStdout())
	}
	text := fmt.Sprintf("%d conversations: %d here, %d missing, %d unfinished, %d recent, %d never started",
		r.Conversations, r.Here, r.Missing, r.Unfinished, r.Recent, r.NeverStarted)
	if r.WithoutRecording > 0 {
		text += fmt.Sprintf(" (%d without a recording)", r.WithoutRecording)
	}
	if r.Sent+r.Failed+r.Skipped > 0 {
		text += fmt.Sprintf("; %d events: %d sent, %d skipped, %d failed", r.Events, r.Sent, r.Skipped, r.Failed)
	}
	if _, err := fmt.Fprintln(r.cmd.OutOrStdout(), text); err != nil {
		return err
	}
	for _, note := range []struct {
		count int
		text  string
	}{
		{r.Unfinished, "unfinished: under way, or still processed by ElevenLabs; run the command again later"},
		{r.Recent, "recent: ended in the last " + cmdutil.Span(facts.RetriedFor) + ", so ElevenLabs may still send them; --until takes these too"},
		{r.NeverStarted, "never started: outbound calls that failed before they began; the API has not what their event call_initiation_failure says"},
	} {
		if note.count > 0 {
			r.cmd.PrintErrln(note.text)
		}
	}
	return nil
}
