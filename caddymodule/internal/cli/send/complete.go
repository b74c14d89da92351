package send

import (
	"github.com/spf13/cobra"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/delivery"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"
)

// complete makes shells complete the values of flags.
func complete(cmd *cobra.Command) {
	var events, forgeries []cobra.Completion
	for _, t := range facts.EventTypes {
		events = append(events, cobra.Completion(t.Name))
	}
	for _, names := range [][]string{facts.PostCallSubscriptions, facts.WorkspaceSubscriptions} {
		for _, name := range names {
			if _, isType := facts.EventTypeByName(name); !isType && len(facts.EventTypesOf(name)) > 0 {
				events = append(events, cobra.CompletionWithDesc(name, facts.EventTypesOf(name)[0]))
			}
		}
	}
	for _, f := range delivery.Forgeries {
		forgeries = append(forgeries, cobra.CompletionWithDesc(f.Name, f.What))
	}
	for flag, values := range map[string][]cobra.Completion{"event": events, "forge": forgeries} {
		err := cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
		cobra.CheckErr(err) // there is no such flag
	}
}
