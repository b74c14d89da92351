package cmdutil

import (
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"
)

// AtFlag adds --at, the time as of which a command does its work.
func AtFlag(cmd *cobra.Command, verb string) {
	cmd.Flags().String("at", "", verb+" as of this `time`: RFC 3339, or Unix seconds (default: now)")
}

// At returns the time of --at. It is one that a signature can have.
func At(cmd *cobra.Command, env Env) (time.Time, error) {
	at, err := cmd.Flags().GetString("at")
	if err != nil || !cmd.Flags().Changed("at") {
		return env.Now(), err
	}
	if err := RejectEmpty(cmd, "at"); err != nil {
		return time.Time{}, err
	}
	t, err := time.Parse(time.RFC3339, at)
	if seconds, notNumber := strconv.ParseInt(at, 10, 64); notNumber == nil && len(at) <= 12 {
		t, err = time.Unix(seconds, 0), nil
	}
	if err != nil || t.Unix() < 0 {
		return t, fmt.Errorf("--at must be a time such as 2026-11-20T10:00:00Z, or Unix seconds, not %q", at)
	}
	return t, nil
}
