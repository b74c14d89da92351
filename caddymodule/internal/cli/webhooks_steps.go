package cli

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
)

// step is one change at ElevenLabs, of those that a command makes in order.
type step struct {
	name, what string
	// again is the command that makes the change alone, should it be left over.
	again string
	run   func(context.Context) error
}

// stepLine is a line of the output: a step that is done, or one that is left.
type stepLine struct {
	Step      string `json:"step"`
	Status    string `json:"status"` // done or left
	Detail    string `json:"detail"`
	WebhookID string `json:"webhook_id"`
	Secret    string `json:"secret,omitempty"`
	Command   string `json:"command,omitempty"`
}

func (l stepLine) print(cmd *cobra.Command) error {
	if cmdutil.WantsJSON(cmd) {
		return cmdutil.PrintJSON(cmd, l)
	}
	text := fmt.Sprintf("%s  %s\n", l.Status, l.Detail)
	if l.Secret != "" {
		text += fmt.Sprintf("      %s\n", l.Secret)
	}
	if l.Command != "" {
		text += fmt.Sprintf("      %s\n", l.Command)
	}
	_, err := fmt.Fprint(cmd.OutOrStdout(), text)
	return err
}

// runSteps makes changes to a webhook, or for it, until one fails or the command
// is interrupted. What is left then is printed, with the commands that do it.
func runSteps(cmd *cobra.Command, id string, steps []step) error {
	ctx := cmd.Context()
	for i, s := range steps {
		err := ctx.Err()
		if err == nil {
			err = s.run(ctx)
		}
		if err == nil {
			if err := (stepLine{Step: s.name, Status: "done", Detail: s.what, WebhookID: id}).print(cmd); err != nil {
				return err
			}
			continue
		}
		for _, rest := range steps[i:] {
			line := stepLine{Step: rest.name, Status: "left", Detail: rest.what, WebhookID: id, Command: rest.again}
			if err := line.print(cmd); err != nil {
				return err
			}
		}
		if ctx.Err() != nil {
			err = cmdutil.ErrInterrupted
		}
		return err
	}
	return nil
}

// commandLine writes out a command about webhooks, for the user to give.
func commandLine(args ...string) string {
	quoted := make([]string, 0, len(args))
	for _, arg := range args {
		quoted = append(quoted, shellQuoted(arg))
	}
	return "caddy elevenlabs webhooks " + strings.Join(quoted, " ")
}

// commandLine writes out a command that finds the workspace as this one does, but
// for a key from standard input.
func (w *workspace) commandLine(args ...string) string {
	for _, name := range []string{"region", "api-key-file", "api-key-env"} {
		flag := w.cmd.Flags().Lookup(name)
		if value := flag.Value.String(); flag.Changed && value != "-" {
			args = append(slices.Clip(args), "--"+name, value)
		}
	}
	return commandLine(args...)
}

var plainWord = regexp.MustCompile(`^[\w./:=,@%+-]+$`)

// shellQuoted returns a word so that a POSIX shell takes it for one.
func shellQuoted(word string) string {
	if plainWord.MatchString(word) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
