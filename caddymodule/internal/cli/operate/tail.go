package operate

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
)

// tailOptions are the options of `tail`.
type tailOptions struct {
	env         cmdutil.Env
	endpoint    *endpoint
	result, typ string
	lines       int
	once        bool
}

// NewCmdTail returns the command `tail`.
func NewCmdTail(env cmdutil.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "tail",
		Short: "Prints each delivery as it comes",
		Long: `Prints the last deliveries to a running Caddy, and then each new one, until it is
interrupted. A line has the time, the result and its reason, the event's type and
size, the application's answer, the duration, the ids, and the handler. It has no
body and no secret.

Caddy keeps the last 256 deliveries that ElevenLabs signed, and the last 256
requests that ElevenLabs did not sign. Reloads keep them.`,
		Example: `  caddy elevenlabs tail
  caddy elevenlabs tail --result failed
  caddy elevenlabs tail --once --lines 256 --json`,
		Args: cobra.NoArgs,
	}
	o := &tailOptions{env: env, endpoint: endpointFlags(cmd, env)}
	flags := cmd.Flags()
	flags.StringVar(&o.result, "result", "", "only deliveries with this `result`: accepted, rejected, ignored or failed")
	flags.StringVar(&o.typ, "type", "", "only events of this `type`")
	flags.IntVarP(&o.lines, "lines", "n", 10, "the `number` of past deliveries to print")
	flags.BoolVar(&o.once, "once", false, "print the past deliveries, and end")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return o.run(cmd) }
	return cmd
}

func (o *tailOptions) run(cmd *cobra.Command) error {
	if o.lines < 1 {
		return fmt.Errorf("--lines must be above 0, not %d", o.lines)
	}
	if o.once {
		return o.printPast(cmd)
	}
	return (&follower{tailOptions: o, pause: time.Second}).run(cmd)
}

// uri asks for past deliveries, or, without a limit, for all that came since.
func (o *tailOptions) uri(limit bool) string {
	query := url.Values{}
	for name, value := range map[string]string{"result": o.result, "type": o.typ} {
		if value != "" {
			query.Set(name, value)
		}
	}
	if limit {
		query.Set("limit", strconv.Itoa(o.lines))
	}
	return "/elevenlabs/deliveries?" + query.Encode()
}

// zone is the time zone of this machine's clock.
func (o *tailOptions) zone() *time.Location { return o.env.Now().Location() }

// printPast prints past deliveries, oldest first.
func (o *tailOptions) printPast(cmd *cobra.Command) error {
	past, err := o.endpoint.list(cmd, o.uri(true))
	if err != nil {
		return err
	}
	slices.Reverse(past)
	for _, text := range past {
		if err := printDelivery(cmd, o.zone(), text); err != nil {
			return err
		}
	}
	return nil
}

// maxReconnects is how many times in a row tail reconnects to Caddy.
const maxReconnects = 15

// follower prints deliveries as they come, also after Caddy restarts.
type follower struct {
	*tailOptions
	pause time.Duration // before tail reconnects

	connected bool   // at least once, so that only later deliveries are asked for
	lastID    string // of the delivery that was printed last
}

func (f *follower) run(cmd *cobra.Command) error {
	ctx := cmd.Context()
	for failed := 0; ; {
		header := http.Header{"Accept": {"text/event-stream"}}
		if f.lastID != "" {
			header.Set("Last-Event-ID", f.lastID)
		}
		stream, err := f.endpoint.get(cmd, f.uri(!f.connected), header)
		if err != nil {
			if failed++; !f.connected || failed > maxReconnects {
				return err
			}
		} else {
			f.connected, failed = true, 0
			err = f.print(cmd, stream)
			_ = stream.Close()
			if err != nil {
				return err
			}
		}
		// Caddy reloads, or is being restarted
		select {
		case <-time.After(f.pause):
		case <-ctx.Done():
			return nil // an interrupt is the usual end
		}
	}
}

// print prints the deliveries of a stream of server-sent events, until it ends.
func (f *follower) print(cmd *cobra.Command, stream io.Reader) error {
	lines := bufio.NewScanner(stream)
	for lines.Scan() {
		field, value, _ := strings.Cut(lines.Text(), ": ")
		switch field {
		case "id":
			f.lastID = value
		case "data":
			if err := printDelivery(cmd, f.zone(), []byte(value)); err != nil {
				return err
			}
		}
	}
	return nil // the next connection shows why the stream ended
}
