package send

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/fatih/color"
	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/delivery"
)

// report prints the results of deliveries, each as soon as it is known. It is safe
// for concurrent use, and keeps lines whole.
type report struct {
	cmd     *cobra.Command
	planned int
	width   int // of the column of events

	mu       sync.Mutex
	bar      *progressbar.ProgressBar
	drawing  *time.Ticker
	ended    chan struct{}
	done     int
	problems int
	err      error // the first that is not about a delivery
}

// newReport starts the report of a number of deliveries, with their bytes in all.
func newReport(cmd *cobra.Command, deliveries int, bytes int64, width int) *report {
	r := &report{
		cmd: cmd, planned: deliveries, width: max(width, len("EVENT")),
		drawing: time.NewTicker(time.Second / 4), ended: make(chan struct{}),
	}
	// an answer counts as a byte, so that the bar fills up only with the last answer
	r.bar = cmdutil.NewProgress(cmd, bytes+int64(deliveries), sending, progressbar.OptionShowBytes(true))
	go r.draw()
	if !cmdutil.WantsJSON(cmd) {
		r.line("RESULT", "EVENT", "FORGED", "BYTES", "STATUS", "REASON", "MS", "TLS", "")
	}
	return r
}

const sending = "sending"

// draw redraws the bar even while no bytes go out, such as when an answer is slow.
func (r *report) draw() {
	for {
		select {
		case <-r.drawing.C:
			r.mu.Lock()
			r.bar.Describe(sending)
			r.mu.Unlock()
		case <-r.ended:
			return
		}
	}
}

// paint colours the first column of a line.
var paint = map[string]*color.Color{
	"ok":     cmdutil.Good,
	"FAILED": cmdutil.Bad,
}

// line prints a line of the table. Its columns are wide enough for every reason,
// since earlier lines cannot be widened.
func (r *report) line(verdict, event, forged, bytes, status, reason, milliseconds, tls, problem string) {
	line := fmt.Sprintf("  %-*s  %-9s  %9s  %6s  %-19s  %6s  %-7s  %s",
		r.width, event, forged, bytes, status, reason, milliseconds, tls, problem)
	out, first := r.cmd.OutOrStdout(), fmt.Sprintf("%-6s", verdict)
	if c, known := paint[verdict]; known {
		first = cmdutil.Paint(out, c, first)
	}
	_, err := fmt.Fprintln(out, first+strings.TrimRight(line, " "))
	r.note(err)
}

func (r *report) note(err error) {
	if r.err == nil {
		r.err = err
	}
}

// fail notes an error of this program.
func (r *report) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.note(err)
}

// progress counts bytes that went out.
func (r *report) progress(bytes int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	_ = r.bar.Add(bytes) // a bar that cannot be drawn does no harm
}

// add prints a result.
func (r *report) add(result delivery.Result) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.done++
	_ = r.bar.Add(1)
	verdict := "ok"
	if !result.OK {
		r.problems++
		verdict = "FAILED"
	}
	_ = r.bar.Clear()
	if cmdutil.WantsJSON(r.cmd) {
		r.note(cmdutil.PrintJSON(r.cmd, result))
		return
	}
	status := "-"
	if result.Status != 0 {
		status = strconv.Itoa(result.Status)
	}
	problem := result.Problem
	switch {
	case !result.OK || result.Forged != "":
	case result.Page:
		problem = "an HTML page: is it a page to log in?"
	case result.Inbox != "":
		problem = "inbox: " + result.Inbox
	}
	r.line(verdict, result.Event, cmp.Or(result.Forged, "-"), strconv.FormatInt(result.Bytes, 10), status,
		cmp.Or(result.Reason, "-"), strconv.FormatInt(result.Milliseconds, 10), cmp.Or(result.TLS, "-"), problem)
	for _, answer := range result.Lines {
		_, err := fmt.Fprintf(r.cmd.OutOrStdout(), "        | %s\n", answer)
		r.note(err)
	}
}

// end prints the summary of several deliveries, or returns it in the command's error.
// The program prints the error, so that the user sees the summary once.
func (r *report) end(ctx context.Context) error {
	r.drawing.Stop()
	close(r.ended)
	r.mu.Lock()
	defer r.mu.Unlock()
	_ = r.bar.Finish()
	switch {
	case r.err != nil:
		return r.err
	case ctx.Err() != nil && r.done < r.planned:
		problems := ""
		if r.problems > 0 {
			problems = fmt.Sprintf(", %d not as expected", r.problems)
		}
		return fmt.Errorf("%w: %d of %d deliveries made%s", cmdutil.ErrInterrupted, r.done, r.planned, problems)
	case r.problems > 0:
		return fmt.Errorf("%w: %d of %d deliveries not as expected", cmdutil.ErrCheckFailed, r.problems, r.done)
	case r.planned == 1 || cmdutil.WantsJSON(r.cmd):
		return nil
	}
	_, err := fmt.Fprintf(r.cmd.OutOrStdout(), "\n%d deliveries, all as expected\n", r.done)
	return err
}
