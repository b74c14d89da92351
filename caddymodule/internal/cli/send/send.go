// Package send has the commands that sign: `send`, which posts sample events to a
// URL, and `sign`, which prints a signature header.
package send

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/delivery"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/source"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/sample"
)

// sendOptions are the options of `send`.
type sendOptions struct {
	env        cmdutil.Env
	secret     *cmdutil.Credential
	connection *delivery.Connection
	headers    *delivery.Headers
	endpoint   *cmdutil.Endpoint

	event, file, forge, inbox string
	all, print, last          bool
	turns                     int
	minutes                   float64
	failed                    bool
	set                       []string
	count, concurrency        int
}

// NewCmdSend returns the command `send`.
func NewCmdSend(env cmdutil.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "send <url>",
		Short: "Signs sample events and posts them to a URL: the test button",
		Long:  sendHelp(),
		Example: `  caddy elevenlabs send https://hooks.example.com/webhooks/elevenlabs
  caddy elevenlabs send https://hooks.example.com/webhooks/elevenlabs --all --secret-file /etc/caddy/secret
  caddy elevenlabs send https://hooks.example.com/webhooks/elevenlabs --event audio --minutes 30
  caddy elevenlabs send https://hooks.example.com/webhooks/elevenlabs --forge stale
  caddy elevenlabs send https://hooks.example.com/webhooks/elevenlabs --file captured.json --json
  caddy elevenlabs send https://localhost:8443/webhooks/elevenlabs --insecure --last --event audio
  caddy elevenlabs send https://hooks.example.com/webhooks/elevenlabs --resolve hooks.example.com:192.0.2.1
  caddy elevenlabs send --print >body.json`,
	}
	o := &sendOptions{
		env: env, secret: cmdutil.SecretFlags(cmd), connection: delivery.ConnectionFlags(cmd, time.Minute), headers: delivery.HeaderFlag(cmd),
		endpoint: cmdutil.EndpointFlags(cmd, env),
	}
	flags := cmd.Flags()
	flags.StringVar(&o.event, "event", "post_call_transcription", "the `type` of the event, or the name of a subscription")
	flags.StringVar(&o.file, "file", "", "send the body in this `file` instead of a sample; - for standard input")
	flags.BoolVar(&o.last, "last", false, "send the last event that a server has stored, or with --event the last of that type, signed anew")
	source.InboxFlag(cmd, &o.inbox)
	flags.StringVar(&o.forge, "forge", "", "forge the delivery in this `way`, and expect a rejection")
	flags.BoolVar(&o.all, "all", false, "send every type of event, and every forgery")
	flags.BoolVar(&o.print, "print", false, "print the sample, and send nothing; without a URL and a secret")
	flags.IntVar(&o.turns, "turns", 10, "the `number` of turns in a transcript; 270 make 200 KB")
	flags.Float64Var(&o.minutes, "minutes", 1, "the `length` of audio, which takes 1.28 MB a minute")
	flags.BoolVar(&o.failed, "failed", false, "make it an event of a call that failed: a transcript without turns, or audio of 45 bytes")
	flags.StringArrayVar(&o.set, "set", nil, "set this `path=value` in the sample, such as data.agent_id=agent_0123; may be repeated")
	flags.IntVar(&o.count, "count", 1, "send this `number` of times, with new events each time")
	flags.IntVar(&o.concurrency, "concurrency", 1, "the `number` of deliveries in flight at once")
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if o.print && len(args) > 0 {
			return errors.New("--print sends nothing: leave the URL out")
		} else if o.print {
			return nil
		}
		return cmdutil.OneArgument(cmd, args)
	}
	cmd.MarkFlagsMutuallyExclusive("event", "file", "all")
	cmd.MarkFlagsMutuallyExclusive("last", "file", "all")
	cmd.MarkFlagsMutuallyExclusive("forge", "all")
	cmd.MarkFlagsMutuallyExclusive("failed", "turns")
	cmd.MarkFlagsMutuallyExclusive("failed", "minutes")
	complete(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if o.print {
			return o.printSample(cmd)
		}
		return o.run(cmd, args[0])
	}
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

With --file, send signs a body of yours, such as one that "listen --save" has saved.
With --last, it signs the last event in a server's inbox anew, which it reads over
Caddy's admin endpoint. Its event id stays, so a server with an inbox, or an
application that drops repeats, drops it.

Redirects are not followed. The exit code is 2 if any answer is not as expected.

Types of events, for --event, and the subscriptions that bring them. The name of a
subscription stands for the first of its types.
`)
	table := cmdutil.NewTable(help)
	for _, t := range facts.EventTypes {
		mark := ""
		if !sample.Documented(t.Name) {
			mark = " *"
		}
		fmt.Fprintf(table, "  %s%s\t%s\n", t.Name, mark, cmp.Or(t.Subscription, "-"))
	}
	_ = table.Flush() // into memory
	help.WriteString(`* ElevenLabs documents the name and not the shape: the sample has only the envelope
  and ids.

Forgeries, for --forge:
`)
	table = cmdutil.NewTable(help)
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
	if err := o.checkLast(cmd); err != nil {
		return err
	}
	for _, flag := range []struct {
		name       string
		value, max int
	}{
		{"turns", o.turns, 100_000}, // some 75 MB
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

// printSample prints the sample that the flags describe, byte for byte.
func (o *sendOptions) printSample(cmd *cobra.Command) error {
	var idle string // a flag that changes nothing
	cmd.Flags().Visit(func(flag *pflag.Flag) {
		if !slices.Contains([]string{"print", "json", "event", "turns", "minutes", "failed", "set"}, flag.Name) {
			idle = flag.Name
		}
	})
	if idle != "" {
		return fmt.Errorf("--print sends nothing: leave --%s out", idle)
	}
	if err := o.check(cmd); err != nil {
		return err
	}
	plan, err := o.plan(cmd)
	if err != nil {
		return err
	}
	event, err := plan[0].event()
	if err != nil {
		return err
	}
	_, err = io.Copy(cmd.OutOrStdout(), event.Body())
	return err
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
