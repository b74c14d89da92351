// Package workspace is a command's access to a workspace at ElevenLabs: its
// webhooks, what uses them, and their health.
package workspace

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/elevenlabs"
)

// Workspace is a workspace at ElevenLabs.
type Workspace struct {
	APIKey *cmdutil.Credential
	// Agents are the agents that --agent names.
	Agents []string
	// Client is nil before Connect.
	Client *elevenlabs.Client
	// Webhooks are those that List found.
	Webhooks []elevenlabs.Webhook

	env    cmdutil.Env
	region string
	cmd    *cobra.Command
}

// Flags adds the flags that say which workspace a command is for.
func Flags(cmd *cobra.Command, env cmdutil.Env) *Workspace {
	w := &Workspace{APIKey: cmdutil.APIKeyFlags(cmd), env: env, cmd: cmd}
	cmd.Flags().StringVar(&w.region, "region", "", "the `region` of the workspace's data residency: "+strings.Join(elevenlabs.Regions(), ", ")+" (default: as the end of the key says)")
	cmdutil.Complete(cmd, "region", elevenlabs.Regions())
	return w
}

// AgentFlag adds the flag that names agents.
func (w *Workspace) AgentFlag(cmd *cobra.Command, usage string) {
	cmd.Flags().Var(cmdutil.Words{Values: &w.Agents}, "agent", usage)
}

// Connect makes the client. It sends no request yet.
func (w *Workspace) Connect(cmd *cobra.Command) error {
	if err := cmdutil.RejectEmpty(cmd, "region"); err != nil {
		return err
	}
	key, err := w.APIKey.Read(cmd)
	if err != nil {
		return err
	}
	return w.ConnectBy(key)
}

// ConnectBy makes the client with an API key that the user has typed.
func (w *Workspace) ConnectBy(key string) (err error) {
	w.Client, err = elevenlabs.New(key, w.region, w.env.API)
	return err
}

// List gets all webhooks.
func (w *Workspace) List(cmd *cobra.Command) error {
	return cmdutil.Wait(cmd, "listing webhooks", func(ctx context.Context) (err error) {
		w.Webhooks, err = w.Client.Webhooks(ctx)
		return err
	})
}

// Open connects, and finds the webhook that an argument names.
func (w *Workspace) Open(cmd *cobra.Command, argument string) (elevenlabs.Webhook, error) {
	if err := w.Connect(cmd); err != nil {
		return elevenlabs.Webhook{}, err
	}
	if err := w.List(cmd); err != nil {
		return elevenlabs.Webhook{}, err
	}
	return w.Find(argument)
}

// Find finds a webhook by its id, or by its name or URL if no other webhook has the
// same.
func (w *Workspace) Find(argument string) (elevenlabs.Webhook, error) {
	var found []elevenlabs.Webhook
	var ids []string
	for _, webhook := range w.Webhooks {
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
		return elevenlabs.Webhook{}, fmt.Errorf("there is no webhook %q in this workspace: `caddy elevenlabs webhooks list` lists them", argument)
	case 1:
		return found[0], nil
	}
	return elevenlabs.Webhook{}, fmt.Errorf("%q is the name or URL of %d webhooks: give one of the ids %s", argument, len(found), strings.Join(ids, ", "))
}

// Label names a webhook to people by its id.
func (w *Workspace) Label(id string) string {
	i := slices.IndexFunc(w.Webhooks, func(webhook elevenlabs.Webhook) bool { return webhook.ID == id })
	if i < 0 {
		return id + ", which is not in the list"
	}
	return Label(w.Webhooks[i])
}

// Label names a webhook to people.
func Label(webhook elevenlabs.Webhook) string {
	return fmt.Sprintf("%q (%s)", webhook.Name, webhook.ID)
}
