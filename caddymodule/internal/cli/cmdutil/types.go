package cmdutil

import (
	"github.com/spf13/cobra"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"
)

// TypeFlag adds --type, which selects events by their type.
func TypeFlag(cmd *cobra.Command) {
	cmd.Flags().String("type", "", "only events of this `type`, or of those that a subscription of this name brings")
	Complete(cmd, "type", facts.EventTypeNames)
}

// EventTypes returns the types that --type selects, or none without the flag.
func EventTypes(cmd *cobra.Command) ([]string, error) {
	value, err := cmd.Flags().GetString("type")
	if err != nil {
		return nil, err
	}
	if types := facts.EventTypesOf(value); len(types) > 0 {
		return types, nil
	}
	if err := CheckChoice(cmd, "type", facts.EventTypeNames); err != nil || value == "" {
		return nil, err
	}
	return []string{value}, nil
}
