package webhooks

import (
	"context"
	"errors"
	"fmt"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/workspace"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/elevenlabs"
)

// creation is a webhook to create.
type creation struct {
	w         *workspace.Workspace
	sink      *secretSink
	name, url string
	flags     *headerFlags
	headers   map[string]string
	retries   bool
	events    []string // of the workspace
}

// create creates the webhook and stores its secret, before anything else is done.
// An interrupt waits for both, since a secret that is not stored is lost.
func (c *creation) create(cmd *cobra.Command) (id string, err error) {
	if cmd.Context().Err() != nil {
		return "", cmdutil.ErrInterrupted
	}
	if err := c.sink.open(); err != nil {
		return "", err
	}
	signal.Ignore(syscall.SIGPIPE) // which would end the program before undo
	var secret string
	// after an interrupt, Wait's error hides whether there may be a webhook
	_ = cmdutil.Wait(cmd, "creating", func(ctx context.Context) error {
		id, secret, err = c.w.Client.CreateWebhook(context.WithoutCancel(ctx), elevenlabs.WebhookSettings{
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
			err = fmt.Errorf("%w: look with `%s`, and delete the new webhook, if there is one: its secret is lost", err, c.w.CommandLine("list"))
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
	err := c.w.Client.DeleteWebhook(context.WithoutCancel(cmd.Context()), id)
	if err == nil {
		return fmt.Errorf("storing the secret: %w; the new webhook %s was deleted again", why, id)
	}
	return fmt.Errorf("storing the secret: %w; the new webhook %s is of no use without it, but could not be deleted: %w; delete it: %s", why, id, err, c.w.CommandLine("delete", id))
}

// steps make the settings that ElevenLabs does not take with a creation.
func (c *creation) steps(id string) []step {
	if !c.retries && len(c.events) == 0 {
		return nil
	}
	change := elevenlabs.WebhookUpdate{Name: c.name}
	var what []string
	command := []string{"update", id}
	if c.retries {
		change.RetryEnabled = &c.retries
		what = append(what, "switch its retries on")
		command = append(command, "--retries")
	}
	if len(c.events) > 0 {
		change.Events = c.events
		what = append(what, "send it these events of the workspace: "+strings.Join(c.events, ", "))
		command = append(command, "--events", strings.Join(c.events, ","))
	}
	return []step{{
		name: "update", what: strings.Join(what, "; "), command: c.w.CommandLine(command...),
		run: func(ctx context.Context) error { return c.w.Client.UpdateWebhook(ctx, id, change) },
	}}
}
