package cmdutil

import (
	"github.com/spf13/cobra"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"
)

// TypeFlag adds --type, which selects events by their type.
func TypeFlag(cmd *cobra.Command) {
	cmd.Flags().String("type", "", "only events of this `type`, or of those that a subscription of this name brings")
	Complete(cmd, "type", facts.EventNames)
}

// EventTypes returns the types that --type selects, or none without the flag.
func EventTypes(cmd *cobra.Command) ([]string, error) {
	value, err := cmd.Flags().GetString("type")
	if err != nil {
		return nil, err
	}
	if err := CheckChoice(cmd, "type", facts.EventNames); err != nil || value == "" {
		return nil, err
	}
	return facts.EventTypesNamed(value), nil
}
