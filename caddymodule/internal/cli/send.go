package cli

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/envelope"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/sample"
)

// sender is the command `send`, with its flags.
type sender struct {
	env    cmdutil.Env
	secret *cmdutil.Credential

	event, file, forge string
	all                bool
	turns              int
	minutes            float64
	count, concurrency int
	connection         connection
}

func sendCommand(env cmdutil.Env) *cobra.Command {
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
	s := &sender{env: env, secret: cmdutil.SecretFlags(cmd)}
	flags := cmd.Flags()
	flags.StringVar(&s.event, "event", "post_call_transcription", "the `type` of the event")
	flags.StringVar(&s.file, "file", "", "send the body in this `file` instead of a sample; - for standard input")
	flags.StringVar(&s.forge, "forge", "", "spoil the delivery in this `way`, and expect that it is refused")
	flags.BoolVar(&s.all, "all", false, "send every type of event, and every forgery")
	flags.IntVar(&s.turns, "turns", 10, "`number` of turns in a transcript")
	flags.Float64Var(&s.minutes, "minutes", 1, "`length` of audio, which takes 1.28 MB a minute")
	flags.IntVar(&s.count, "count", 1, "send this `many` times, new events each time")
	flags.IntVar(&s.concurrency, "concurrency", 1, "have this `many` deliveries under way at once")
	flags.DurationVar(&s.connection.timeout, "timeout", time.Minute, "how long one delivery may take")
	flags.StringVar(&s.connection.ca, "ca", "", "trust the certificates in this PEM `file`, and no others")
	flags.BoolVar(&s.connection.insecure, "insecure", false, "do not verify the server's certificate")
	flags.StringVar(&s.connection.resolve, "resolve", "", "for the URL's host, connect to this IP address, with a port or without, as `host:address`")
	cmd.MarkFlagsMutuallyExclusive("event", "file", "all")
	cmd.MarkFlagsMutuallyExclusive("forge", "all")
	cmd.RunE = s.run
	return cmd
}

func sendHelp() string {
	help := new(strings.Builder)
	help.WriteString(`Signs sample events as ElevenLabs does, posts them to a URL, and prints a line
for each: event, bytes, status, reason of refusal, milliseconds, TLS version.

What it sends goes all the way to the application, as a real event would. An
application can tell: ids have "test_" in them, as conv_test_…, agent_test_…, and
the User-Agent is ` + sample.UserAgent + `.

An event is to be answered by exactly 200, a forgery refused as listed below. A
refusal without the header X-ElevenLabs-Rejection, so by something else than this
module, counts if it is 400, 401 or 403; it may have another cause, so send
genuine events too, as --all does. Redirects are not followed. If anything is
otherwise, the exit code is 2.

Types of events, for --event:
`)
	for _, name := range facts.EventTypeNames {
		mark := ""
		if !sample.Documented(name) {
			mark = " *"
		}
		fmt.Fprintf(help, "  %s%s\n", name, mark)
	}
	help.WriteString(`* ElevenLabs documents the name, but not the shape: only the envelope is sent,
  with ids.

Forgeries, for --forge:
`)
	table := cmdutil.NewTable(help)
	for _, f := range forgeries {
		fmt.Fprintf(table, "  %s\t%s\texpects %d %s\n", f.name, f.what, f.status, f.reason)
	}
	_ = table.Flush() // into memory
	return strings.TrimSuffix(help.String(), "\n")
}

func (s *sender) run(cmd *cobra.Command, args []string) error {
	if s.file == "-" && s.secret.FromStdin() {
		return cmdutil.ErrStdinTwice
	}
	if err := s.checkFlags(cmd); err != nil {
		return err
	}
	plan, err := s.plan(cmd)
	if err != nil {
		return err
	}
	key, err := s.secret.Read(cmd)
	if err != nil {
		return err
	}
	client, err := newClient(args[0], []byte(key), s.env.Now, s.connection)
	if err != nil {
		return err
	}
	return s.send(cmd, client, plan)
}

func (s *sender) checkFlags(cmd *cobra.Command) error {
	if err := cmdutil.RejectEmpty(cmd, "event", "file", "forge", "ca", "resolve"); err != nil {
		return err
	}
	for _, flag := range []struct {
		name       string
		value, max int
	}{
		{"turns", s.turns, 100_000}, // some 40 MB
		{"count", s.count, 1_000_000},
		{"concurrency", s.concurrency, 1000},
	} {
		if flag.value < 1 || flag.value > flag.max {
			return fmt.Errorf("--%s is to be from 1 to %d, not %d", flag.name, flag.max, flag.value)
		}
	}
	if !(s.minutes > 0 && s.minutes <= 24*60) { // so that NaN is refused
		return fmt.Errorf("--minutes is to be above 0 and at most 1440, which is a day, not %v", s.minutes)
	}
	if s.connection.timeout <= 0 {
		return fmt.Errorf("--timeout is to be above 0, not %s", s.connection.timeout)
	}
	return nil
}

// delivery is a delivery to make.
type delivery struct {
	// event makes the event: a new one each time, if it is a sample.
	event   func() (sample.Event, error)
	forgery forgery
}

// plan lists the deliveries to make, --count times.
func (s *sender) plan(cmd *cobra.Command) ([]delivery, error) {
	forged, ok := forgeryNamed(s.forge)
	if !ok {
		return nil, fmt.Errorf("there is no forgery %q: see --help for those there are", s.forge)
	}
	var plan []delivery
	switch {
	case s.file != "":
		body, err := cmdutil.ReadFile(cmd, s.file)
		if err != nil {
			return nil, fmt.Errorf("reading the body: %w", err)
		}
		event := sample.FromBody(typeOf(body), body)
		plan = append(plan, delivery{func() (sample.Event, error) { return event, nil }, forged})
	case s.all:
		for _, eventType := range facts.EventTypeNames {
			plan = append(plan, delivery{s.sample(eventType), genuine})
		}
		for _, f := range forgeries {
			plan = append(plan, delivery{s.sample(facts.EventTypeNames[0]), f})
		}
	case !slices.Contains(facts.EventTypeNames, s.event):
		return nil, fmt.Errorf("there is no event %q: see --help for those there are", s.event)
	default:
		plan = append(plan, delivery{s.sample(s.event), forged})
	}
	return plan, nil
}

// sample returns a maker of events of a type.
func (s *sender) sample(eventType string) func() (sample.Event, error) {
	return func() (sample.Event, error) {
		return sample.New(eventType, sample.Options{Now: s.env.Now(), Turns: s.turns, Minutes: s.minutes})
	}
}

// typeOf reads the type of an event for the output.
func typeOf(body []byte) string {
	var scanner envelope.Scanner
	_, _ = scanner.Write(body) // never fails
	return cmp.Or(scanner.Fields().EventType, "(unknown)")
}

// send makes the deliveries, until the command is interrupted.
func (s *sender) send(cmd *cobra.Command, client *client, plan []delivery) error {
	var bytes int64
	var width int
	for _, d := range plan { // the events are thrown away: those of a type have one size
		event, err := d.event()
		if err != nil {
			return err
		}
		bytes += event.Size()
		width = max(width, len(event.Type))
	}
	ctx := cmd.Context()
	report := newReport(cmd, len(plan)*s.count, bytes*int64(s.count), width)
	waiting := make(chan delivery)
	var workers sync.WaitGroup
	for range s.concurrency {
		workers.Go(func() {
			for d := range waiting {
				if ctx.Err() != nil {
					return
				}
				event, err := d.event()
				if err != nil {
					report.fail(err)
					continue
				}
				if r := client.deliver(ctx, event, d.forgery, report.progress); !r.interrupted {
					report.add(r)
				}
			}
		})
	}
	for i := 0; i < len(plan)*s.count && ctx.Err() == nil; i++ {
		select {
		case waiting <- plan[i%len(plan)]:
		case <-ctx.Done():
		}
	}
	close(waiting)
	workers.Wait()
	return report.end(ctx)
}
