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
	endpoint *endpoint
}

// NewCmdStatus returns the command `status`.
func NewCmdStatus(env cmdutil.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Shows the health of each webhook",
		Long: `Shows the health of each webhook of a running Caddy: how many deliveries in a row
failed as ElevenLabs counts them, the last success, and the last failure with its
reason. With --json it also shows the handlers' options, without secrets.

The counts begin when Caddy starts, and reloads keep them. Events from "send" and
"doctor" are counted only in the results, since ElevenLabs does not know of them.

The exit code is 2 if a webhook failed three times in a row or more.`,
		Example: `  caddy elevenlabs status
  caddy elevenlabs status --address localhost:2020 --json`,
		Args: cobra.NoArgs,
	}
	o := &statusOptions{env: env, endpoint: endpointFlags(cmd, env)}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return o.run(cmd) }
	return cmd
}

func (o *statusOptions) run(cmd *cobra.Command) error {
	all, err := o.endpoint.list(cmd, "/elevenlabs/status")
	if err != nil {
		return err
	}
	if len(all) == 0 {
		return errors.New("this Caddy has no elevenlabs_webhook handler in its configuration")
	}
	var failing []string
	for i, text := range all {
		var s webhookStatus
		if err := json.Unmarshal(text, &s); err != nil {
			return fmt.Errorf("reading the admin endpoint's answer: %w", err)
		}
		if s.FailuresInRow >= deliveries.FirstAlarm {
			failing = append(failing, s.Handler)
		}
		switch {
		case cmdutil.WantsJSON(cmd):
			err = cmdutil.PrintJSON(cmd, text)
		case i > 0:
			_, err = fmt.Fprintln(cmd.OutOrStdout())
			fallthrough
		default:
			err = errors.Join(err, s.print(cmd, o.env.Now()))
		}
		if err != nil {
			return err
		}
	}
	if len(failing) > 0 {
		return fmt.Errorf("%w: deliveries fail: %s", cmdutil.ErrCheckFailed, strings.Join(failing, "; "))
	}
	return nil
}

// webhookStatus is the admin endpoint's account of a webhook.
type webhookStatus struct {
	Handler string `json:"handler"`
	deliveries.Status
	Config []struct {
		ReportOnly bool `json:"report_only"`
	} `json:"config"`
}

func (s webhookStatus) print(cmd *cobra.Command, now time.Time) error {
	ago := func(t time.Time) string {
		if t.IsZero() {
			return "none since Caddy started"
		}
		return humanize.RelTime(t, now, "ago", "ahead of this clock")
	}
	inRow := "0"
	if s.FailuresInRow > 0 {
		inRow = fmt.Sprintf("%d, the first %s (after %d, ElevenLabs may disable the webhook)", s.FailuresInRow, ago(s.FailingSince), facts.DisabledAfter)
	}
	if s.FailuresInRow >= deliveries.FirstAlarm {
		inRow = cmdutil.Paint(cmd.OutOrStdout(), cmdutil.Bad, inRow)
	}
	failure := ago(time.Time{})
	if f := s.LastFailure; f != nil {
		failure = fmt.Sprintf("%s: %s", ago(f.Ended), f.Reason)
		if f.UpstreamStatus != 0 {
			failure += fmt.Sprintf(" %d", f.UpstreamStatus)
		}
		failure += ", " + cmp.Or(f.EventType, "of unknown type")
	}
	table := cmdutil.NewTable(cmd.OutOrStdout())
	fmt.Fprintf(table, "%s\n", s.Handler)
	fmt.Fprintf(table, "  failures in a row\t%s\n", inRow)
	fmt.Fprintf(table, "  last success\t%s\n", ago(s.LastSuccess))
	fmt.Fprintf(table, "  last genuine event\t%s\n", ago(s.LastDelivery))
	fmt.Fprintf(table, "  last failure\t%s\n", failure)
	fmt.Fprintf(table, "  results\t%d accepted, %d rejected, %d ignored, %d failed\n", s.Results.Accepted, s.Results.Rejected, s.Results.Ignored, s.Results.Failed)
	for _, config := range s.Config {
		if config.ReportOnly {
			fmt.Fprintf(table, "  report_only\ton: %d forwarded that would have been rejected\n", s.WouldReject)
			break
		}
	}
	return table.Flush()
}
