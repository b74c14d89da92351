// Package operate has the commands that ask a running Caddy about its webhooks:
// `status` and `tail`.
package operate

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/deliveries"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"
)

// statusOptions are the options of `status`.
type statusOptions struct {
	env      cmdutil.Env
	endpoint *cmdutil.Endpoint
}

// NewCmdStatus returns the command `status`.
func NewCmdStatus(env cmdutil.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Shows the health of each webhook and inbox",
		Long: `Shows the health of each webhook of a running Caddy: how many deliveries in a row
failed as ElevenLabs counts them, the last success, and the last failure with its
reason. With --json it also shows the handlers' options, without secrets.

Then it shows the state of each inbox: how many events wait, are being delivered, and
are dead, how long the oldest one waits, how much of the limit is used, and whether
the application is unreachable. Each destination of an inbox has a block of its own.

The counts begin when Caddy starts, and reloads keep them. Events from "send" and
"doctor" are counted only in the results, and there also apart, since ElevenLabs does
not know of them.

The exit code is 2 if a webhook failed three times in a row or more. It is 2 for an
inbox or a destination if events are dead, if one waits for more than 15 minutes, if events bypassed
the inbox since Caddy started, or if its database does not answer.`,
		Example: `  caddy elevenlabs status
  caddy elevenlabs status --address localhost:2020 --json`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	o := &statusOptions{env: env, endpoint: cmdutil.EndpointFlags(cmd, env)}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return o.run(cmd) }
	return cmd
}

func (o *statusOptions) run(cmd *cobra.Command) error {
	all, err := statuses(cmd, o.endpoint)
	if err != nil {
		return err
	}
	if len(all) == 0 {
		return errors.New("this Caddy has no elevenlabs_webhook handler in its configuration")
	}
	stored, err := inboxes(cmd, o.endpoint)
	if err != nil {
		return err
	}
	var failing, problems []string
	for i, s := range all {
		if s.FailuresInRow >= deliveries.FirstAlarm {
			failing = append(failing, s.Handler)
		}
		if err := o.block(cmd, i == 0, s.text, func() error { return s.print(cmd, o.env.Now()) }); err != nil {
			return err
		}
	}
	if len(failing) > 0 {
		problems = append(problems, "deliveries fail: "+strings.Join(failing, "; "))
	}
	for _, s := range stored {
		if its := s.Problems(); len(its) > 0 {
			problems = append(problems, "inbox "+s.Title()+": "+strings.Join(its, ", "))
		}
		if err := o.block(cmd, false, s.Text, func() error { return printInbox(cmd, o.env.Now(), s) }); err != nil {
			return err
		}
	}
	if len(problems) > 0 {
		return fmt.Errorf("%w: %s", cmdutil.ErrCheckFailed, strings.Join(problems, "; "))
	}
	return nil
}

// block prints a block for people, after an empty line except for the first, or its JSON.
func (o *statusOptions) block(cmd *cobra.Command, first bool, text json.RawMessage, print func() error) error {
	if cmdutil.WantsJSON(cmd) {
		return cmdutil.PrintJSON(cmd, text)
	}
	if !first {
		if _, err := fmt.Fprintln(cmd.OutOrStdout()); err != nil {
			return err
		}
	}
	return print()
}

// statuses asks for the status of each webhook.
func statuses(cmd *cobra.Command, e *cmdutil.Endpoint) ([]webhookStatus, error) {
	var texts []json.RawMessage
	if err := e.GetJSON(cmd, "/elevenlabs/status", &texts); err != nil {
		return nil, err
	}
	all := make([]webhookStatus, len(texts))
	for i, text := range texts {
		if err := json.Unmarshal(text, &all[i]); err != nil {
			return nil, fmt.Errorf("reading the admin endpoint's answer: %w", err)
		}
		all[i].text = text
	}
	return all, nil
}

// webhookStatus is the admin endpoint's account of a webhook.
type webhookStatus struct {
	Handler string `json:"handler"`
	deliveries.Status
	// Secrets are the same for each secret, and then for what none of several signed.
	Secrets []struct {
		Secret string `json:"secret"`
		deliveries.Status
	} `json:"secrets"`
	Config []struct {
		ReportOnly bool `json:"report_only"`
	} `json:"config"`

	text json.RawMessage // as it came
}

func (s webhookStatus) print(cmd *cobra.Command, now time.Time) error {
	none := "none since Caddy started"
	if s.Tests != (deliveries.Tally{}) {
		none += " (tests do not count)"
	}
	ago := func(t time.Time) string {
		if t.IsZero() {
			return none
		}
		return humanize.RelTime(t, now, "ago", "ahead of this clock")
	}
	inRow := func(s deliveries.Status, consequence string) string {
		if s.FailuresInRow == 0 {
			return "0"
		}
		text := fmt.Sprintf("%d, the first %s%s", s.FailuresInRow, ago(s.FailingSince), consequence)
		if s.FailuresInRow >= deliveries.FirstAlarm {
			text = cmdutil.Paint(cmd.OutOrStdout(), cmdutil.Bad, text)
		}
		return text
	}
	failure := none
	if f := s.LastFailure; f != nil {
		failure = fmt.Sprintf("%s: %s", ago(f.Ended), f.Reason)
		if f.UpstreamStatus != 0 {
			failure += fmt.Sprintf(" %d", f.UpstreamStatus)
		}
		failure += ", " + cmp.Or(f.EventType, "of unknown type")
	}
	table := cmdutil.NewTable(cmd.OutOrStdout())
	fmt.Fprintf(table, "%s\n", s.Handler)
	fmt.Fprintf(table, "  failures in a row\t%s\n", inRow(s.Status, fmt.Sprintf(" (after %d, ElevenLabs may disable the webhook)", facts.DisabledAfter)))
	if len(s.Secrets) > 1 { // each is the secret of another webhook
		for _, secret := range s.Secrets {
			fmt.Fprintf(table, "    %s\t%s\n", cmp.Or(secret.Secret, "signed by none"), inRow(secret.Status, ""))
		}
	}
	fmt.Fprintf(table, "  last success\t%s\n", ago(s.LastSuccess))
	fmt.Fprintf(table, "  last genuine event\t%s\n", ago(s.LastDelivery))
	fmt.Fprintf(table, "  last failure\t%s\n", failure)
	fmt.Fprintf(table, "  results\t%s\n", tally(s.Results))
	if s.Tests != (deliveries.Tally{}) {
		fmt.Fprintf(table, "  of which tests\t%s\n", tally(s.Tests))
	}
	for _, config := range s.Config {
		if config.ReportOnly {
			fmt.Fprintf(table, "  report_only\ton: %d forwarded that would have been rejected\n", s.WouldReject)
			break
		}
	}
	return table.Flush()
}

func tally(t deliveries.Tally) string {
	stored := ""
	if t.Stored > 0 {
		stored = fmt.Sprintf("%d stored, ", t.Stored)
	}
	return fmt.Sprintf("%s%d accepted, %d rejected, %d ignored, %d failed", stored, t.Accepted, t.Rejected, t.Ignored, t.Failed)
}
