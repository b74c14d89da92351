package operate

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/fatih/color"
	"github.com/spf13/cobra"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/deliveries"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"
)

var resultColors = map[deliveries.Result]*color.Color{
	deliveries.Accepted: cmdutil.Good,
	deliveries.Stored:   cmdutil.Good,
	deliveries.Rejected: cmdutil.Warning,
	deliveries.Ignored:  cmdutil.Faint,
	deliveries.Failed:   cmdutil.Bad,
}

// printDelivery prints a line. Its columns are wide enough for the usual values,
// since earlier lines cannot be widened.
func printDelivery(cmd *cobra.Command, zone *time.Location, text json.RawMessage) error {
	if cmdutil.WantsJSON(cmd) {
		return cmdutil.PrintJSON(cmd, text)
	}
	var d deliveries.Delivery
	if err := json.Unmarshal(text, &d); err != nil {
		return fmt.Errorf("reading the admin endpoint's answer: %w", err)
	}
	result := fmt.Sprintf("%-8s", d.Result)
	if c := resultColors[d.Result]; c != nil {
		result = cmdutil.Paint(cmd.OutOrStdout(), c, result)
	}
	size, status, test, backfill, inbox := "-", "-", "", "", ""
	if d.Backfill {
		backfill = facts.BackfillMark
	}
	if d.Inbox != deliveries.InboxStored { // the result says that already
		inbox = d.Inbox
	}
	switch {
	case d.Test && d.Proven:
		test = "true"
	case d.Test:
		test = "claimed"
	}
	if d.Size >= 0 {
		size = humanize.IBytes(uint64(d.Size))
	}
	if d.UpstreamStatus != 0 {
		status = strconv.Itoa(d.UpstreamStatus)
	}
	line := new(strings.Builder)
	fmt.Fprintf(line, "%s  %s  %-19s  %-29s  %9s  %3s  %7s", d.Time.In(zone).Format("2006-01-02 15:04:05"), result, cmp.Or(d.Reason, "-"),
		cmp.Or(d.EventType, "-"), size, status, fmt.Sprintf("%.3fs", d.ReceiveSeconds+d.VerifySeconds+d.UpstreamSeconds))
	for _, id := range []struct{ name, value string }{
		{"would_reject", d.WouldReject},
		{"inbox", inbox},
		{"test", test},
		{"backfill", backfill},
		{"conversation", d.ConversationID},
		{"request", d.RequestID},
		{"voice", d.VoiceID},
		{"from", d.ClientIP},
		{"handler", d.Handler},
	} {
		if id.value != "" {
			fmt.Fprintf(line, "  %s=%s", id.name, id.value)
		}
	}
	reason := facts.RejectionByCode(cmp.Or(d.WouldReject, d.Reason))
	if reason != nil && reason.IfElevenLabs != "" && facts.IsElevenLabs(d.ClientIP) {
		fmt.Fprintf(line, "  (an address of ElevenLabs: %s)", reason.IfElevenLabs)
	}
	_, err := fmt.Fprintln(cmd.OutOrStdout(), line)
	return err
}
