package cli

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/elevenlabs"
)

func webhooksCreateCommand(env cmdutil.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "create --name <name> --url <url> (--secret-out <file> | --print-secret)",
		Short: "Creates a webhook, and keeps its secret",
		Long: `Creates a webhook, and keeps its signing secret, which ElevenLabs shows only now:
it goes into a new file of mode 0600, or to standard output. If the file cannot
be created, nothing is. For {file./path} in the Caddyfile, Caddy's user must be
able to read the file.

A webhook that nothing points at is never called: --attach points the events
after calls in the workspace at it, --agent those of an agent, --events the
events that are named. See "attach" for more. The place of another webhook is not
taken: until Caddy has the new secret, it refuses what comes. "attach --replace"
does it then.

If something fails after the webhook was created, the output says what is done
and what is left, with the commands for it.

` + eventsHelp,
		Example: `  caddy elevenlabs webhooks create --name gateway --url https://hooks.example.com/webhooks/elevenlabs --secret-out /etc/caddy/elevenlabs-secret --attach --events transcript,audio --retries
  caddy elevenlabs webhooks create --name stt --url https://hooks.example.com/webhooks/elevenlabs --print-secret --events speech_to_text
  caddy elevenlabs webhooks create --name sales --url https://hooks.example.com/webhooks/elevenlabs --secret-out secret.txt --agent agent_0123 --header X-Tenant=sales`,
		Args: cobra.NoArgs,
	}
	w := workspaceFlags(cmd, env)
	c := &creation{w: w, sink: newSecretFlags(cmd)}
	flags := cmd.Flags()
	flags.StringVar(&c.name, "name", "", "the webhook's `name`")
	flags.StringVar(&c.url, "url", "", "the `url` to be called, https://…")
	c.header = w.headerFlags(cmd, "")
	flags.BoolVar(&c.retries, "retries", false, "have transcripts sent again after failures")
	var attach bool
	flags.BoolVar(&attach, "attach", false, "attach it to the events after calls in the workspace")
	w.agentFlags(cmd, "attach it to the events after calls of the agent of this `id`")
	a := w.attachFlags(cmd)
	a.taken = "create it unattached, give Caddy its secret, and then take the place by `attach --replace`"
	var events []string
	flags.Var(cmdutil.Words{Values: &events}, "events", "the `events` to be sent to it, with commas between them")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		var err error
		if a.events, c.events, err = splitEvents(events); err != nil {
			return err
		}
		slots := slotsOf(attach, w.agents)
		if err := errors.Join(c.check(cmd), a.check(cmd, slots)); err != nil {
			return err
		}
		if err := w.connect(cmd); err != nil {
			return err
		}
		if len(slots) > 0 {
			if err := w.list(cmd); err != nil {
				return err
			}
		}
		places, err := a.plan(cmd, slots, "")
		if err != nil {
			return err
		}
		id, err := c.create(cmd)
		if err != nil {
			return err
		}
		return runSteps(cmd, id, append(c.steps(id), a.steps(places, id)...))
	}
	return cmd
}

// creation is a webhook that is to be created.
type creation struct {
	w         *workspace
	sink      *secretSink
	name, url string
	header    *headerFlags
	headers   map[string]string
	retries   bool
	events    []string // of the workspace
}

func (c *creation) check(cmd *cobra.Command) error {
	if err := cmdutil.RejectEmpty(cmd, "secret-out"); err != nil {
		return err
	}
	target, err := url.Parse(c.url)
	if c.name == "" || err != nil || target.Scheme != "https" || target.Hostname() == "" {
		return errors.New("give --name, and --url with a whole URL that begins with https://")
	}
	if c.headers, err = c.header.read(cmd); err != nil {
		return err
	}
	return c.sink.check()
}

// create creates the webhook and stores its secret, before anything else is done.
// An interrupt waits for both: a secret that is not stored is lost.
func (c *creation) create(cmd *cobra.Command) (id string, err error) {
	if cmd.Context().Err() != nil {
		return "", cmdutil.ErrInterrupted
	}
	if err := c.sink.open(); err != nil {
		return "", err
	}
	signal.Ignore(syscall.SIGPIPE) // else it would end this before undo
	var secret string
	// what waiting returns after an interrupt hides whether there may be a webhook
	_ = cmdutil.Wait(cmd, "creating", func(ctx context.Context) error {
		id, secret, err = c.w.client.CreateWebhook(context.WithoutCancel(ctx), elevenlabs.WebhookSettings{
			Name: c.name, URL: c.url, RequestHeaders: c.headers,
		})
		return err
	})
	if err != nil {
		c.sink.discard()
		if id != "" {
			return "", c.undo(cmd, id, err)
		}
		if errors.Is(err, elevenlabs.ErrUnknown) {
			err = fmt.Errorf("%w: look with `%s`, and delete the new webhook, if there is one: its secret is lost", err, c.w.commandLine("list"))
		}
		return "", err
	}
	line := stepLine{Step: "create", Status: "done", Detail: fmt.Sprintf("create the webhook %q for %s: %s", c.name, c.url, id), WebhookID: id}
	if c.sink.print {
		line.Secret = secret
	}
	err = c.sink.write(secret)
	if err == nil {
		err = line.print(cmd)
	}
	if err != nil {
		c.sink.discard()
		return "", c.undo(cmd, id, err)
	}
	if c.sink.file != "" {
		line = stepLine{Step: "secret", Status: "done", Detail: "write its secret to " + c.sink.file + ", which only you can read", WebhookID: id}
		err = line.print(cmd)
	}
	return id, err
}

// undo deletes the webhook whose secret could not be stored.
func (c *creation) undo(cmd *cobra.Command, id string, why error) error {
	err := c.w.client.DeleteWebhook(context.WithoutCancel(cmd.Context()), id)
	if err == nil {
		return fmt.Errorf("storing the secret: %w; the new webhook %s was deleted again", why, id)
	}
	return fmt.Errorf("storing the secret: %w; the new webhook %s is of no use without it, but could not be deleted: %w; delete it: %s", why, id, err, c.w.commandLine("delete", id))
}

// steps make the settings that cannot be given when a webhook is created.
func (c *creation) steps(id string) []step {
	if !c.retries && len(c.events) == 0 {
		return nil
	}
	change := elevenlabs.WebhookUpdate{Name: c.name}
	var what []string
	again := []string{"update", id}
	if c.retries {
		change.RetryEnabled = &c.retries
		what = append(what, "switch its retries on")
		again = append(again, "--retries")
	}
	if len(c.events) > 0 {
		change.Events = c.events
		what = append(what, "send it these events of the workspace: "+strings.Join(c.events, ", "))
		again = append(again, "--events", strings.Join(c.events, ","))
	}
	return []step{{
		name: "update", what: strings.Join(what, "; "), again: c.w.commandLine(again...),
		run: func(ctx context.Context) error { return c.w.client.UpdateWebhook(ctx, id, change) },
	}}
}
