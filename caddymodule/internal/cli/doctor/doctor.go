// Package doctor has the command `doctor`, which checks the whole way of an event.
package doctor

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/delivery"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/workspace"
)

// NewCmdDoctor returns the command `doctor`.
func NewCmdDoctor(env cmdutil.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "doctor [--config <file>] [--url <url>]",
		Short: "Checks the whole way of an event, and names a remedy for every failure",
		Long: `Checks the whole way of an event: the configuration and its secrets, the
application and other ways to it, the public URL, and the clocks. It asks the running
Caddy whether real events fail, and what waits in an inbox. With an API key, it also
checks the webhook at ElevenLabs: whether it exists for the URL, is enabled and
attached, its retries, and what its last failure means, and with an inbox too, of how
many calls of the last day no transcript came. Prints a line for each check,
and a remedy for each problem. Changes nothing at ElevenLabs.

Run it on the server, as the server's user and with its environment, so that it sees
what Caddy sees. It reads the configuration as "caddy validate" does, and starts
nothing.

The URL is that of the configuration, if the configuration has one host and one path
for the webhook. Otherwise give it by --url. If a proxy in front ends TLS, --resolve
leads past it: doctor then sends what the proxy would.

One signed sample event reaches the application, except with --no-send. It is a
post_call_transcription, or another type if "events" excludes that, and its ids have
"_test_" in them. Before it, doctor sends two requests that elevenlabs_webhook
rejects: a POST of {} without a signature, which shows what answers at the URL, and
an event with a forged signature. It sends the forged event to other spellings of the
path too, which the application may take for the webhook's. If nothing protects the application, or report_only
is set, they reach the application too. With --no-send, the forged event then is not
sent, and never to other spellings.

The exit code is 2 if any check fails. Warnings do not count.`,
		Example: `  caddy elevenlabs doctor
  caddy elevenlabs doctor --config /etc/caddy/Caddyfile --api-key-file key.txt
  caddy elevenlabs doctor --url https://hooks.example.com/webhooks/elevenlabs --no-send
  caddy elevenlabs doctor --resolve hooks.example.com:127.0.0.1 --json`,
		Args: cobra.NoArgs,
	}
	o := addFlags(cmd, env)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return o.run(cmd) }
	return cmd
}

// addFlags adds the flags of doctor.
func addFlags(cmd *cobra.Command, env cmdutil.Env) *options {
	o := &options{
		env: env, secret: cmdutil.SecretFlags(cmd), workspace: workspace.Flags(cmd, env),
		connection: delivery.ConnectionFlags(cmd, 20*time.Second),
	}
	o.workspace.AgentFlag(cmd, "also check whether the agent with this `id` has a webhook of its own, and look for missing calls of this agent only")
	o.connection.Network = "tcp4" // as ElevenLabs connects
	flags := cmd.Flags()
	flags.StringVar(&o.configFile, "config", "", "the configuration `file` (default: Caddyfile, if there is one here)")
	flags.StringVar(&o.adapter, "adapter", "", "the `adapter` for the configuration file, if its name does not tell")
	flags.StringVar(&o.target, "url", "", "the webhook's public `url` (default: as the configuration has it)")
	flags.StringVar(&o.address, "address", "", "the `address` of Caddy's admin endpoint (default: as the configuration has it)")
	flags.BoolVar(&o.noSend, "no-send", false, "do not send the signed sample event")
	return o
}

// BeforeStart makes the checks of doctor that need no running server, for a
// configuration that no server has yet.
func BeforeStart(cmd *cobra.Command, env cmdutil.Env, configFile string) error {
	e := &examination{options: *addFlags(new(cobra.Command), env)} // with all defaults
	e.configFile = configFile
	config := env.Inspect(configFile, "")
	e.config = &config
	if err := e.findURL(); err != nil {
		return err
	}
	return e.make(cmd, append(slices.Clip(checksBeforeStart), check{name: "connection", run: (*examination).leaveOut}))
}

// leaveOut is the finding in place of the checks that need a running server.
func (e *examination) leaveOut(context.Context) []finding {
	return only(statusSkip, "left out with all that follows, since Caddy does not run with this configuration yet")
}

func (o options) run(cmd *cobra.Command) error {
	if err := cmdutil.RejectEmpty(cmd, "config", "adapter", "url", "address"); err != nil {
		return err
	}
	if err := o.connection.Check(cmd); err != nil {
		return err
	}
	e := &examination{options: o}
	if err := e.prepare(cmd); err != nil {
		return err
	}
	return e.make(cmd, checks)
}

// make makes checks, and prints what they find.
func (e *examination) make(cmd *cobra.Command, checks []check) error {
	counts := map[status]int{}
	for _, c := range checks {
		bar := cmdutil.NewProgress(cmd, -1, c.name, progressbar.OptionSetPredictTime(false))
		findings := c.run(e, cmd.Context())
		_ = bar.Finish() // a bar that cannot be drawn does no harm
		if cmd.Context().Err() != nil {
			return cmdutil.ErrInterrupted
		}
		for _, f := range findings {
			f.Check = c.name
			if f.Remedy == "" && (f.Status == statusFail || f.Status == statusWarn) {
				f.Remedy = c.remedy
			}
			f.Remedy = cmdutil.AsTyped(cmd, f.Remedy)
			counts[f.Status]++
			if err := f.print(cmd); err != nil {
				return err
			}
		}
	}
	return summarize(cmd, counts)
}

// summarize prints how many findings of each status there are. If a check failed, it
// returns that in the error, which the program prints.
func summarize(cmd *cobra.Command, counts map[status]int) error {
	summary := fmt.Sprintf("%d ok, %d failed, %d warned, %d skipped",
		counts[statusOK], counts[statusFail], counts[statusWarn], counts[statusSkip])
	switch {
	case counts[statusFail] > 0:
		return fmt.Errorf("%w: %s", cmdutil.ErrCheckFailed, summary)
	case cmdutil.WantsJSON(cmd):
		return nil
	}
	_, err := fmt.Fprintf(cmd.OutOrStdout(), "\n%s\n", summary)
	return err
}
