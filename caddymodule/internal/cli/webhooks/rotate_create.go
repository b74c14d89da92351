package webhooks

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/workspace"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/elevenlabs"
)

// createReplacement creates the new webhook, and prints what must be done before it
// may get events.
func createReplacement(cmd *cobra.Command, c *creation, argument string) error {
	if err := c.sink.check(); err != nil {
		return err
	}
	var err error
	if c.headers, err = c.flags.read(cmd); err != nil {
		return err
	}
	old, err := c.w.Open(cmd, argument)
	if err != nil {
		return err
	}
	if old.AuthType != "" && old.AuthType != "hmac" {
		return fmt.Errorf("webhook %s has no signing secret: its kind of authentication is %s", old.ID, old.AuthType)
	}
	unknown := copySettings(cmd, c, old)
	id, err := c.create(cmd)
	if err != nil {
		return err
	}
	if err := runSteps(cmd, id, c.steps(id)); err != nil {
		return err
	}
	return printNext(cmd, c, old, id, unknown)
}

// copySettings copies those settings of the old webhook that no flag names. It
// returns those that ElevenLabs does not show.
func copySettings(cmd *cobra.Command, c *creation, old elevenlabs.Webhook) (unknown []string) {
	c.url = old.URL
	if c.name == "" {
		c.name = old.Name
	}
	if !cmd.Flags().Changed("retries") && !copySetting(old, "retry_enabled", &c.retries) {
		unknown = append(unknown, "retries")
	}
	if !c.flags.given(cmd) && !copySetting(old, "request_headers", &c.headers) {
		unknown = append(unknown, "header")
	}
	return unknown
}

// copySetting copies a setting that ElevenLabs does not document. It reports whether
// the webhook has the setting, and the whole of it was read.
func copySetting[T any](from elevenlabs.Webhook, key string, to *T) bool {
	var value T
	text, found := from.Extra[key]
	if !found || json.Unmarshal(text, &value) != nil {
		return false
	}
	*to = value
	return true
}

// nextSteps are the steps after the creation, as JSON.
type nextSteps struct {
	Step      string   `json:"step"`   // switch
	Status    string   `json:"status"` // left
	OldID     string   `json:"old_webhook_id"`
	WebhookID string   `json:"webhook_id"`
	NotKnown  []string `json:"not_known,omitempty"`
	Caddyfile []string `json:"caddyfile"`
	Commands  []string `json:"commands"`
}

func printNext(cmd *cobra.Command, c *creation, old elevenlabs.Webhook, id string, unknown []string) error {
	const newVariable = "ELEVENLABS_WEBHOOK_SECRET_NEW"
	source, where := "{env."+newVariable+"}", []string{"--secret-env", newVariable}
	if file := c.sink.file; file != "" {
		if absolute, err := filepath.Abs(file); err == nil {
			file = absolute
		}
		source, where = "{file."+file+"}", []string{"--secret-file", file}
		if strings.ContainsAny(source, " \t\"") {
			source = "`" + source + "`"
		}
	}
	agents := make([]string, 0, 2*len(c.w.Agents))
	for _, agent := range c.w.Agents {
		agents = append(agents, "--agent", agent)
	}
	next := nextSteps{
		Step: "switch", Status: "left", OldID: old.ID, WebhookID: id, NotKnown: unknown,
		Caddyfile: []string{"secret {env.ELEVENLABS_WEBHOOK_SECRET} old", "secret " + source + " new"},
		Commands: []string{
			cmdutil.Program(cmd) + " elevenlabs send " + workspace.ShellQuoted(old.URL) + " " + workspace.ShellQuoted(where[0]) + " " + workspace.ShellQuoted(where[1]),
			c.w.CommandLine(append([]string{"rotate", old.ID, "--switch-to", id}, agents...)...),
			c.w.CommandLine(append([]string{"rotate", old.ID, "--finish"}, agents...)...),
		},
	}
	file, checks := c.sink.file, next.Commands
	if file != "" { // Caddy sees a variable only after a restart
		next.Commands = append([]string{cmdutil.Program(cmd) + " reload --force"}, checks...)
	}
	if cmdutil.WantsJSON(cmd) {
		return cmdutil.PrintJSON(cmd, next)
	}
	text := new(strings.Builder)
	fmt.Fprintf(text, "\n%s still gets its events, and the new webhook gets none yet.", workspace.Label(old))
	if len(unknown) > 0 {
		fmt.Fprintf(text, "\nElevenLabs does not show the old webhook's settings for: %s. If it needs them, see\n`%s`.", strings.Join(unknown, ", "), cmdutil.Program(cmd)+" elevenlabs webhooks update "+workspace.ShellQuoted(id)+" --help")
	}
	fmt.Fprint(text, "\n\nDo the rest in this order, so that no event is lost:\n\n")
	if file == "" {
		fmt.Fprintf(text, "1. Set %s to the secret where Caddy runs. Put both\n   secrets into the Caddyfile, the first as it is now, and restart Caddy:\n", newVariable)
	} else {
		fmt.Fprint(text, "1. Put both secrets into the Caddyfile, the first as it is now, and reload Caddy.\n   Caddy's user must be able to read the file:\n")
	}
	for _, line := range next.Caddyfile {
		fmt.Fprintf(text, "\t%s\n", line)
	}
	if file != "" {
		fmt.Fprintf(text, "   %s\n", next.Commands[0])
	}
	for i, what := range []string{
		"Check that Caddy accepts the new secret:",
		"Attach the new webhook in place of the old one:",
		"An hour later, when nothing signed with the old secret comes any more, delete\n   the old webhook, and remove its secret's line from the Caddyfile:",
	} {
		if i == 1 && len(agents) == 0 && slices.Contains(old.Usage, workspace.AgentUsage) {
			what += "\n   (agents use it: name each by --agent)"
		}
		fmt.Fprintf(text, "%d. %s\n   %s\n", i+2, what, checks[i])
	}
	_, err := fmt.Fprint(cmd.OutOrStdout(), text)
	return err
}
