package cmdutil

import (
	"strings"

	"github.com/spf13/cobra"
)

// Complete lets the shell complete the values of a flag. A flag of Words takes several
// with commas between them.
func Complete(cmd *cobra.Command, flag string, values []string) {
	_, severalWords := cmd.Flags().Lookup(flag).Value.(Words)
	complete := func(_ *cobra.Command, _ []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
		comma := strings.LastIndex(typed, ",")
		if !severalWords || comma < 0 {
			return values, cobra.ShellCompDirectiveNoFileComp
		}
		completions := make([]cobra.Completion, 0, len(values))
		for _, value := range values {
			completions = append(completions, typed[:comma+1]+value)
		}
		return completions, cobra.ShellCompDirectiveNoFileComp
	}
	if err := cmd.RegisterFlagCompletionFunc(flag, complete); err != nil {
		panic(err) // there is no such flag, or it is completed twice
	}
}
