// Package webhooks has the commands `webhooks …`, which list, create, change,
// attach and rotate the webhooks at ElevenLabs.
package webhooks

import (
	"github.com/spf13/cobra"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
)

// NewCmdWebhooks returns the command `webhooks` with those below it.
func NewCmdWebhooks(env cmdutil.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "webhooks <command>",
		Short: "Lists, creates, changes, attaches and rotates the webhooks at ElevenLabs",
		Long: `Lists, creates, changes, attaches and rotates the webhooks at ElevenLabs.

These commands need an API key of the workspace. In its settings at ElevenLabs, give
the key write access to webhooks and to ElevenAgents. Its owner must be an
administrator of the workspace.`,
		Example: `  caddy elevenlabs webhooks list
  caddy elevenlabs webhooks create --name gateway --url https://hooks.example.com/webhooks/elevenlabs --secret-out secret.txt --retries --attach
  caddy elevenlabs webhooks rotate gateway --secret-out new-secret.txt`,
	}
	cmdutil.Group(cmd,
		newCmdList(env),
		newCmdCreate(env),
		newCmdUpdate(env),
		newCmdEnable(env),
		newCmdDisable(env),
		newCmdDelete(env),
		newCmdAttach(env),
		newCmdDetach(env),
		newCmdRotate(env),
	)
	return cmd
}
