package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/elevenlabs"
)

const webhookArgument = `
The webhook is named by its id, or by its name or URL if no other has the same.`

func webhooksCommand(env cmdutil.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "webhooks <command>",
		Short: "Lists, creates, changes, attaches and rotates the webhooks at ElevenLabs",
		Long: `Lists, creates, changes, attaches and rotates the webhooks at ElevenLabs.

This takes an API key of the workspace that may manage webhooks: in its settings
at ElevenLabs, the permissions for webhooks and for ElevenAgents, both to write;
its owner is to be an administrator.`,
		Example: `  caddy elevenlabs webhooks list
  caddy elevenlabs webhooks create --name gateway --url https://hooks.example.com/webhooks/elevenlabs --secret-out secret.txt --retries --attach
  caddy elevenlabs webhooks rotate gateway --secret-out new-secret.txt`,
	}

	cmdutil.Group(cmd,
		webhooksListCommand(env),
		webhooksCreateCommand(env),
		webhooksUpdateCommand(env),
		webhooksEnableCommand(env),
		webhooksDisableCommand(env),
		webhooksDeleteCommand(env),
		webhooksAttachCommand(env),
		webhooksDetachCommand(env),
		webhooksRotateCommand(env),
	)
	return cmd
}

// workspace is a command's way to the workspace at ElevenLabs.
type workspace struct {
	env    cmdutil.Env
	apiKey *cmdutil.Credential
	region string
	agents []string
	cmd    *cobra.Command

	client   *elevenlabs.Client
	webhooks []elevenlabs.Webhook
}

// workspaceFlags adds the flags that every command about webhooks has.
func workspaceFlags(cmd *cobra.Command, env cmdutil.Env) *workspace {
	w := &workspace{env: env, apiKey: cmdutil.APIKeyFlags(cmd), cmd: cmd}
	cmd.Flags().StringVar(&w.region, "region", "", "the workspace's data residency: "+strings.Join(elevenlabs.Regions(), ", ")+" (default: by the key's end)")
	return w
}

// agentFlags adds the flag that names agents.
func (w *workspace) agentFlags(cmd *cobra.Command, usage string) {
	cmd.Flags().Var(cmdutil.Words{Values: &w.agents}, "agent", usage)
}

// connect makes the client. No request is sent yet.
func (w *workspace) connect(cmd *cobra.Command) error {
	if err := cmdutil.RejectEmpty(cmd, "region"); err != nil {
		return err
	}
	key, err := w.apiKey.Read(cmd)
	if err != nil {
		return err
	}
	w.client, err = elevenlabs.New(key, w.region, w.env.API)
	return err
}

// list asks for all webhooks.
func (w *workspace) list(cmd *cobra.Command) error {
	return cmdutil.Wait(cmd, "listing webhooks", func(ctx context.Context) (err error) {
		w.webhooks, err = w.client.Webhooks(ctx)
		return err
	})
}

// open connects, and finds the webhook that an argument names.
func (w *workspace) open(cmd *cobra.Command, argument string) (elevenlabs.Webhook, error) {
	if err := w.connect(cmd); err != nil {
		return elevenlabs.Webhook{}, err
	}
	if err := w.list(cmd); err != nil {
		return elevenlabs.Webhook{}, err
	}
	return w.find(argument)
}

// find finds a webhook by its id, or by its name or URL if no other has the same.
func (w *workspace) find(argument string) (elevenlabs.Webhook, error) {
	var found []elevenlabs.Webhook
	var ids []string
	for _, webhook := range w.webhooks {
		if webhook.ID == argument {
			return webhook, nil
		}
		if argument != "" && (webhook.Name == argument || webhook.URL == argument) {
			found = append(found, webhook)
			ids = append(ids, webhook.ID)
		}
	}
	switch len(found) {
	case 0:
		return elevenlabs.Webhook{}, fmt.Errorf("there is no webhook %q in this workspace: `caddy elevenlabs webhooks list` shows those there are", argument)
	case 1:
		return found[0], nil
	}
	return elevenlabs.Webhook{}, fmt.Errorf("%q is the name or URL of %d webhooks: say which one by its id, of %s", argument, len(found), strings.Join(ids, ", "))
}

// label names a webhook to people.
func (w *workspace) label(id string) string {
	i := slices.IndexFunc(w.webhooks, func(webhook elevenlabs.Webhook) bool { return webhook.ID == id })
	if i < 0 {
		return id + ", which is not in the list"
	}
	return label(w.webhooks[i])
}

func label(webhook elevenlabs.Webhook) string {
	return fmt.Sprintf("%q (%s)", webhook.Name, webhook.ID)
}
