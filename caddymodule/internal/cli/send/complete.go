package send

import (
	"slices"

	"github.com/spf13/cobra"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/delivery"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"
)

// complete makes shells complete the values of flags.
func complete(cmd *cobra.Command) {
	events := slices.Clone(facts.EventTypeNames)
	for _, name := range facts.EventNames[len(events):] {
		events = append(events, cobra.CompletionWithDesc(name, facts.EventTypesNamed(name)[0]))
	}
	forgeries := make([]cobra.Completion, len(delivery.Forgeries))
	for i, f := range delivery.Forgeries {
		forgeries[i] = cobra.CompletionWithDesc(f.Name, f.What)
	}
	for flag, values := range map[string][]cobra.Completion{"event": events, "forge": forgeries} {
		err := cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
		cobra.CheckErr(err) // there is no such flag
	}
}
