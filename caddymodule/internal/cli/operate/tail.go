package operate

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/deliveries"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"
)

// tailOptions are the options of `tail`.
type tailOptions struct {
	env         cmdutil.Env
	endpoint    *endpoint
	result, typ string
	types       []string // that typ stands for
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
body and no secret. What tail waits for, and whether Caddy is gone, is on standard
error.

Caddy keeps the last 256 deliveries that ElevenLabs signed, the last 256 others from
its addresses, and the last 256 other requests. Reloads keep them.`,
		Example: `  caddy elevenlabs tail
  caddy elevenlabs tail --result failed
  caddy elevenlabs tail --type audio
  caddy elevenlabs tail --once --lines 256 --json`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	o := &tailOptions{env: env, endpoint: endpointFlags(cmd, env)}
	flags := cmd.Flags()
	flags.StringVar(&o.result, "result", "", "only deliveries with this `result`: "+strings.Join(results(), ", "))
	flags.StringVar(&o.typ, "type", "", "only events of this `type`, or of those that a subscription of this name brings")
	flags.IntVarP(&o.lines, "lines", "n", 10, "the `number` of past deliveries to print")
	flags.BoolVar(&o.once, "once", false, "print the past deliveries, and end")
	cmdutil.Complete(cmd, "result", results())
	cmdutil.Complete(cmd, "type", facts.EventNames)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return o.run(cmd) }
	return cmd
}

func results() []string {
	names := make([]string, 0, len(deliveries.Results))
	for _, result := range deliveries.Results {
		names = append(names, string(result))
	}
	return names
}

func (o *tailOptions) run(cmd *cobra.Command) error {
	if o.lines < 1 {
		return fmt.Errorf("--lines must be above 0, not %d", o.lines)
	}
	if err := cmdutil.CheckChoice(cmd, "result", results()); err != nil {
		return err
	}
	if err := cmdutil.CheckChoice(cmd, "type", facts.EventNames); err != nil {
		return err
	}
	o.types = facts.EventTypesNamed(o.typ)
	if o.once {
		return o.printPast(cmd)
	}
	if err := o.announce(cmd); err != nil {
		return err
	}
	return (&follower{tailOptions: o, pause: time.Second}).run(cmd)
}

// uri asks for past deliveries, or, without a limit, for all that came since.
func (o *tailOptions) uri(limit bool) string {
	query := url.Values{}
	if o.result != "" {
		query.Set("result", o.result)
	}
	for _, typ := range o.types {
		query.Add("type", typ)
	}
	if limit {
		query.Set("limit", strconv.Itoa(o.lines))
	}
	return "/elevenlabs/deliveries?" + query.Encode()
}

// zone is the time zone of this machine's clock.
func (o *tailOptions) zone() *time.Location { return o.env.Now().Location() }

// selected says which deliveries the flags select, if not all.
func (o *tailOptions) selected() string {
	var by []string
	if o.result != "" {
		by = append(by, "with the result "+o.result)
	}
	if len(o.types) > 0 {
		by = append(by, "of the type "+strings.Join(o.types, " or "))
	}
	if len(by) == 0 {
		return ""
	}
	return " " + strings.Join(by, " and ")
}

// printPast prints past deliveries, oldest first.
func (o *tailOptions) printPast(cmd *cobra.Command) error {
	past, err := o.endpoint.list(cmd, o.uri(true))
	if err != nil {
		return err
	}
	if len(past) == 0 {
		note(cmd, "no deliveries%s since Caddy started", o.selected())
	}
	slices.Reverse(past)
	for _, text := range past {
		if err := printDelivery(cmd, o.zone(), text); err != nil {
			return err
		}
	}
	return nil
}

// announce says what tail waits for, since there may be nothing to print for hours.
func (o *tailOptions) announce(cmd *cobra.Command) error {
	all, err := o.endpoint.statuses(cmd)
	if err != nil {
		return err
	}
	if len(all) == 0 {
		note(cmd, "this Caddy has no elevenlabs_webhook handler in its configuration: waiting until it has one; Ctrl-C ends")
		return nil
	}
	names := make([]string, 0, len(all))
	for _, s := range all {
		names = append(names, s.Handler)
	}
	note(cmd, "waiting for deliveries%s to %s; Ctrl-C ends", o.selected(), strings.Join(names, "; "))
	return nil
}

// note tells the user something about the command itself, and not of deliveries.
func note(cmd *cobra.Command, format string, args ...any) {
	cmd.PrintErrf(format+"\n", args...)
}
