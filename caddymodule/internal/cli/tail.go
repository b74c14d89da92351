package cli

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/fatih/color"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/deliveries"
)

// tail is the command, with its flags.
type tail struct {
	endpoint    *endpoint
	result, typ string
	lines       int
	once        bool
	connected   bool          // once: what is shown later came since
	lastID      string        // of what was printed
	pause       time.Duration // before Caddy is tried again
}

// reconnects is how often in a row Caddy is tried again.
const reconnects = 15

func tailCommand(env cmdutil.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "tail",
		Short: "Prints each delivery as it comes",
		Long: `Prints the last deliveries to a running Caddy, and then each one as it comes,
until it is interrupted: the time, what became of it and why, its type, size, the
application's answer, how long that took, its ids, and the handler. There are no
bodies and no secrets in it.

Caddy keeps the last 256 deliveries that ElevenLabs signed and the last 256
requests that it did not, also over reloads.`,
		Example: `  caddy elevenlabs tail
  caddy elevenlabs tail --result failed
  caddy elevenlabs tail --once --lines 256 --json`,
		Args: cobra.NoArgs,
	}
	t := &tail{endpoint: endpointFlags(cmd, env), pause: time.Second}
	flags := cmd.Flags()
	flags.StringVar(&t.result, "result", "", "only these: accepted, rejected, ignored or failed")
	flags.StringVar(&t.typ, "type", "", "only events of this type")
	flags.IntVarP(&t.lines, "lines", "n", 10, "how many of the last ones to print")
	flags.BoolVar(&t.once, "once", false, "print the last ones and end")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return t.run(cmd) }
	return cmd
}

func (t *tail) run(cmd *cobra.Command) error {
	if t.lines < 1 {
		return fmt.Errorf("--lines is to be a number above 0, not %d", t.lines)
	}
	if t.once {
		return t.printLast(cmd)
	}
	ctx := cmd.Context()
	for failed := 0; ; {
		stream, err := t.endpoint.get(ctx, t.uri(), http.Header{"Accept": {"text/event-stream"}, "Last-Event-Id": t.last()})
		if err != nil {
			if failed++; !t.connected || failed > reconnects {
				return err
			}
		} else {
			t.connected, failed = true, 0
			err = t.print(cmd, stream)
			_ = stream.Close()
			if err != nil {
				return err
			}
		}
		// Caddy reloads, or is being restarted
		select {
		case <-time.After(t.pause):
		case <-ctx.Done():
			return nil // which is how this ends
		}
	}
}

// uri asks for the last ones, or, later, for all that came since.
func (t *tail) uri() string {
	query := url.Values{}
	for name, value := range map[string]string{"result": t.result, "type": t.typ} {
		if value != "" {
			query.Set(name, value)
		}
	}
	if !t.connected {
		query.Set("limit", strconv.Itoa(t.lines))
	}
	return "/elevenlabs/deliveries?" + query.Encode()
}

// zone is that of this machine's clock.
func (t *tail) zone() *time.Location { return t.endpoint.env.Now().Location() }

func (t *tail) last() []string {
	if t.lastID == "" {
		return nil
	}
	return []string{t.lastID}
}

func (t *tail) printLast(cmd *cobra.Command) error {
	body, err := t.endpoint.get(cmd.Context(), t.uri(), http.Header{})
	if err != nil {
		return err
	}
	defer body.Close()
	var last []json.RawMessage
	if err := json.NewDecoder(body).Decode(&last); err != nil {
		return fmt.Errorf("reading the admin endpoint's answer: %w", err)
	}
	slices.Reverse(last)
	for _, text := range last {
		if err := printDelivery(cmd, t.zone(), text); err != nil {
			return err
		}
	}
	return nil
}

// print prints what a stream of server-sent events brings, until it ends.
func (t *tail) print(cmd *cobra.Command, stream io.Reader) error {
	lines := bufio.NewScanner(stream)
	for lines.Scan() {
		field, value, _ := strings.Cut(lines.Text(), ": ")
		switch field {
		case "id":
			t.lastID = value
		case "data":
			if err := printDelivery(cmd, t.zone(), []byte(value)); err != nil {
				return err
			}
		}
	}
	return nil // why it ended, the next try tells
}

var resultColors = map[deliveries.Result]*color.Color{
	deliveries.Accepted: color.New(color.FgGreen),
	deliveries.Rejected: color.New(color.FgYellow),
	deliveries.Ignored:  color.New(color.Faint),
	deliveries.Failed:   color.New(color.FgRed, color.Bold),
}

// printDelivery prints a line. Its columns are wide enough for what is usual,
// since the lines before cannot be widened.
func printDelivery(cmd *cobra.Command, zone *time.Location, text json.RawMessage) error {
	if cmdutil.WantsJSON(cmd) {
		return cmdutil.PrintJSON(cmd, text)
	}
	var d deliveries.Delivery
	if err := json.Unmarshal(text, &d); err != nil {
		return fmt.Errorf("reading the admin endpoint's answer: %w", err)
	}
	result := paint(cmd.OutOrStdout(), resultColors[d.Result], fmt.Sprintf("%-8s", d.Result))
	size, status, test := "-", "-", ""
	if d.Test {
		test = "true"
	}
	if d.Size >= 0 {
		size = humanize.IBytes(uint64(d.Size))
	}
	if d.UpstreamStatus != 0 {
		status = strconv.Itoa(d.UpstreamStatus)
	}
	line := new(strings.Builder)
	fmt.Fprintf(line, "%s  %s  %-19s  %-29s  %9s  %3s  %7s", d.Time.In(zone).Format("2006-01-02 15:04:05"), result, cmp.Or(d.Reason, "-"),
		cmp.Or(d.EventType, "-"), size, status, fmt.Sprintf("%.3fs", d.ReceiveSeconds+d.VerifySeconds+d.UpstreamSeconds))
	for _, id := range []struct{ name, value string }{
		{"would_reject", d.WouldReject},
		{"test", test},
		{"conversation", d.ConversationID},
		{"request", d.RequestID},
		{"voice", d.VoiceID},
		{"from", d.ClientIP},
		{"handler", d.Handler},
	} {
		if id.value != "" {
			fmt.Fprintf(line, "  %s=%s", id.name, id.value)
		}
	}
	_, err := fmt.Fprintln(cmd.OutOrStdout(), line)
	return err
}

// paint colours a text on a terminal, but not with NO_COLOR
// (https://no-color.org). No colour is none.
func paint(out io.Writer, c *color.Color, text string) string {
	file, ok := out.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) || os.Getenv("NO_COLOR") != "" || c == nil {
		return text
	}
	c.EnableColor()
	return c.Sprint(text)
}
