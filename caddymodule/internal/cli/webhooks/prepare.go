package webhooks

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
)

// ConnectBy connects by an API key that the user has typed, and proves that the key lists
// webhooks.
func (c *Create) ConnectBy(cmd *cobra.Command, key string) error {
	if err := c.w.ConnectBy(key); err != nil {
		return err
	}
	return cmdutil.Wait(cmd, "asking ElevenLabs", func(ctx context.Context) error {
		_, err := c.w.Client.Webhooks(ctx)
		return err
	})
}

// AttachTo says where the user wants the webhook to be attached.
func (c *Create) AttachTo(workspace bool, agents []string) {
	c.toWorkspace, c.w.Agents = workspace, agents
}

// Attached reports whether the webhook gets events at once.
func (c *Create) Attached() bool { return len(c.slots()) > 0 || len(c.events) > 0 }

// Prepare readies Make to create a webhook for a URL, whose secret goes into a new file.
// It changes nothing.
func (c *Create) Prepare(cmd *cobra.Command, url, secretFile string) error {
	c.url, c.sink = url, &secretSink{file: secretFile}
	if err := c.checkAttachment(cmd); err != nil {
		return err
	}
	return c.plan(cmd)
}
