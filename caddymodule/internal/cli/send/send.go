// Package send has the commands that sign: `send`, which posts sample events to a
// URL, and `sign`, which prints a signature header.
package send

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/delivery"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/envelope"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/sample"
)

// sendOptions are the options of `send`.
type sendOptions struct {
	env        cmdutil.Env
	secret     *cmdutil.Credential
	connection *delivery.Connection
	headers    *delivery.Headers

	event, file, forge string
	all                bool
	turns              int
	minutes            float64
	count, concurrency int
}

// NewCmdSend returns the command `send`.
func NewCmdSend(env cmdutil.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "send <url>",
		Short: "Signs sample events and posts them to a URL: the test button",
		Long:  sendHelp(),
		Example: `  caddy elevenlabs send https://hooks.example.com/webhooks/elevenlabs
  caddy elevenlabs send https://hooks.example.com/webhooks/elevenlabs --all --secret-file /etc/caddy/secret
  caddy elevenlabs send https://hooks.example.com/webhooks/elevenlabs --event post_call_audio --minutes 30
  caddy elevenlabs send https://hooks.example.com/webhooks/elevenlabs --forge stale
  caddy elevenlabs send https://hooks.example.com/webhooks/elevenlabs --file captured.json --json
  caddy elevenlabs send https://hooks.example.com/webhooks/elevenlabs --resolve hooks.example.com:192.0.2.1`,
		Args: cmdutil.OneArgument,
	}
	o := &sendOptions{env: env, secret: cmdutil.SecretFlags(cmd), connection: delivery.ConnectionFlags(cmd, time.Minute), headers: delivery.HeaderFlag(cmd)}
	flags := cmd.Flags()
	flags.StringVar(&o.event, "event", "post_call_transcription", "the `type` of the event")
	flags.StringVar(&o.file, "file", "", "send the body in this `file` instead of a sample; - for standard input")
	flags.StringVar(&o.forge, "forge", "", "forge the delivery in this `way`, and expect a rejection")
	flags.BoolVar(&o.all, "all", false, "send every type of event, and every forgery")
	flags.IntVar(&o.turns, "turns", 10, "the `number` of turns in a transcript")
	flags.Float64Var(&o.minutes, "minutes", 1, "the `length` of audio, which takes 1.28 MB a minute")
	flags.IntVar(&o.count, "count", 1, "send this `number` of times, with new events each time")
	flags.IntVar(&o.concurrency, "concurrency", 1, "the `number` of deliveries in flight at once")
	cmd.MarkFlagsMutuallyExclusive("event", "file", "all")
	cmd.MarkFlagsMutuallyExclusive("forge", "all")
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return o.run(cmd, args[0]) }
	return cmd
}

func sendHelp() string {
	help := new(strings.Builder)
	help.WriteString(`Signs sample events as ElevenLabs does, posts them to a URL, and prints a line
for each: event, bytes, status, reason of rejection, milliseconds, TLS version.

The events reach your application, as real ones do. Your application can tell
them apart: their ids contain "test_", as in conv_test_… and agent_test_….
elevenlabs_webhook knows them by the header ` + facts.HeaderTest + `, and deletes it.
Their User-Agent is that of the HTTP client that ElevenLabs uses.

An event must be answered with exactly 200. A forgery must be rejected as listed
below. A rejection without the header X-ElevenLabs-Rejection comes from something
other than this module. It counts if its status is 400, 401 or 403, and it may
have another cause: send genuine events too, as --all does.

Redirects are not followed. The exit code is 2 if any answer is not as expected.

Types of events, for --event:
`)
	for _, name := range facts.EventTypeNames {
		mark := ""
		if !sample.Documented(name) {
			mark = " *"
		}
		fmt.Fprintf(help, "  %s%s\n", name, mark)
	}
	help.WriteString(`* ElevenLabs documents the name and not the shape: the sample has only the envelope
  and ids.

Forgeries, for --forge:
`)
	table := cmdutil.NewTable(help)
	for _, f := range delivery.Forgeries {
		fmt.Fprintf(table, "  %s\t%s\texpects %d %s\n", f.Name, f.What, f.Rejection.Status, f.Rejection.Code)
	}
	_ = table.Flush() // into memory
	return strings.TrimSuffix(help.String(), "\n")
}

func (o *sendOptions) run(cmd *cobra.Command, target string) error {
	if o.file == "-" && o.secret.FromStdin() {
		return cmdutil.ErrStdinTwice
	}
	if err := o.check(cmd); err != nil {
		return err
	}
	plan, err := o.plan(cmd)
	if err != nil {
		return err
	}
	key, err := o.secret.Read(cmd)
	if err != nil {
		return err
	}
	client, err := delivery.NewClient(target, o.env.Now, o.connection)
	if err != nil {
		return err
	}
	client.Key = []byte(key)
	if client.Header, err = o.headers.Read(); err != nil {
		return err
	}
	return o.deliver(cmd, client, plan)
}

// check returns an error if the flags have values that they cannot have.
func (o *sendOptions) check(cmd *cobra.Command) error {
	if err := cmdutil.RejectEmpty(cmd, "event", "file", "forge"); err != nil {
		return err
	}
	for _, flag := range []struct {
		name       string
		value, max int
	}{
		{"turns", o.turns, 100_000}, // some 40 MB
		{"count", o.count, 1_000_000},
		{"concurrency", o.concurrency, 1000},
	} {
		if flag.value < 1 || flag.value > flag.max {
			return fmt.Errorf("--%s must be from 1 to %d, not %d", flag.name, flag.max, flag.value)
		}
	}
	if !(o.minutes > 0 && o.minutes <= 24*60) { // rejects NaN too
		return fmt.Errorf("--minutes must be above 0 and at most 1440, which is a day, not %v", o.minutes)
	}
	return o.connection.Check(cmd)
}

// planned is a delivery to make.
type planned struct {
	// event makes the event. A sample is a new one each time.
	event   func() (sample.Event, error)
	forgery delivery.Forgery
}

// plan lists the deliveries to make, --count times.
func (o *sendOptions) plan(cmd *cobra.Command) ([]planned, error) {
	forgery, ok := delivery.ForgeryByName(o.forge)
	if !ok {
		return nil, fmt.Errorf("there is no forgery %q: --help lists them", o.forge)
	}
	var plan []planned
	switch {
	case o.file != "":
		body, err := cmdutil.ReadFile(cmd, o.file)
		if err != nil {
			return nil, fmt.Errorf("reading the body: %w", err)
		}
		event := sample.FromBody(typeOf(body), body)
		plan = append(plan, planned{func() (sample.Event, error) { return event, nil }, forgery})
	case o.all:
		for _, eventType := range facts.EventTypeNames {
			plan = append(plan, planned{o.sample(eventType), delivery.Genuine})
		}
		for _, f := range delivery.Forgeries {
			plan = append(plan, planned{o.sample(facts.EventTypeNames[0]), f})
		}
	case !slices.Contains(facts.EventTypeNames, o.event):
		return nil, fmt.Errorf("there is no event %q: --help lists them", o.event)
	default:
		plan = append(plan, planned{o.sample(o.event), forgery})
	}
	return plan, nil
}

// sample returns a function that makes events of a type.
func (o *sendOptions) sample(eventType string) func() (sample.Event, error) {
	return func() (sample.Event, error) {
		return sample.New(eventType, sample.Options{Now: o.env.Now(), Turns: o.turns, Minutes: o.minutes})
	}
}

// typeOf returns the type of an event, for the output.
func typeOf(body []byte) string {
	var scanner envelope.Scanner
	_, _ = scanner.Write(body) // never fails
	return cmp.Or(scanner.Fields().EventType, "(unknown)")
}

// deliver makes the deliveries, until the command is interrupted.
func (o *sendOptions) deliver(cmd *cobra.Command, client *delivery.Client, plan []planned) error {
	var bytes int64
	var width int
	for _, p := range plan { // these events only show their size, which all of a type share
		event, err := p.event()
		if err != nil {
			return err
		}
		bytes += event.Size()
		width = max(width, len(event.Type))
	}
	ctx := cmd.Context()
	report := newReport(cmd, len(plan)*o.count, bytes*int64(o.count), width)
	waiting := make(chan planned)
	var workers sync.WaitGroup
	for range o.concurrency {
		workers.Go(func() {
			for p := range waiting {
				if ctx.Err() != nil {
					return
				}
				event, err := p.event()
				if err != nil {
					report.fail(err)
					continue
				}
				if r := client.Deliver(ctx, event, p.forgery, report.progress); !r.Interrupted {
					report.add(r)
				}
			}
		})
	}
	for i := 0; i < len(plan)*o.count && ctx.Err() == nil; i++ {
		select {
		case waiting <- plan[i%len(plan)]:
		case <-ctx.Done():
		}
	}
	close(waiting)
	workers.Wait()
	return report.end(ctx)
}
