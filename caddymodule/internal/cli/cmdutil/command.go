package cmdutil

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// Group makes a command that only holds others. Calling it without a subcommand,
// or with an unknown one, is an error: cobra would print help and exit with 0.
func Group(cmd *cobra.Command, commands ...*cobra.Command) {
	for _, sub := range commands {
		rejectRepeats(sub)
	}
	cmd.AddCommand(commands...)
	cmd.Args = cobra.ArbitraryArgs
	cmd.DisableFlagParsing = true // the flags, --help among them, belong to the unknown subcommand
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		words := slices.DeleteFunc(slices.Clone(args), func(arg string) bool { return strings.HasPrefix(arg, "-") })
		if len(words) == 0 && (slices.Contains(args, "--help") || slices.Contains(args, "-h")) {
			return cmd.Help()
		}
		if len(words) > 0 && words[0] == "help" {
			about, unknown, err := cmd.Find(words[1:])
			if err == nil && len(unknown) == 0 {
				return about.Help()
			}
			words = unknown
		}
		var names []string
		list := new(strings.Builder)
		for _, sub := range cmd.Commands() {
			if sub.IsAvailableCommand() && sub.Name() != "help" {
				names = append(names, sub.Name())
				fmt.Fprintf(list, "  %-*s  %s\n", sub.NamePadding(), sub.Name(), sub.Short)
			}
		}
		if len(words) == 0 {
			return fmt.Errorf("no command is given: give one of\n%ssee `%s --help`", list, cmd.CommandPath())
		}
		return fmt.Errorf("there is no command %q%s: give one of %s; see `%s --help`",
			words[0], DidYouMean(words[0], names), strings.Join(names, ", "), cmd.CommandPath())
	}
}

// OneArgument requires exactly one argument.
func OneArgument(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("give one argument, not %d: %s", len(args), cmd.UseLine())
	}
	return nil
}

// RejectEmpty returns an error if one of the flags is given, and empty. "$NAME" is
// empty if the shell's variable NAME is not set, and the default of the flag is
// not what the user meant.
func RejectEmpty(cmd *cobra.Command, flags ...string) error {
	for _, name := range flags {
		if flag := cmd.Flags().Lookup(name); flag.Changed && flag.Value.String() == "" {
			return fmt.Errorf("--%s is empty: give it a value, or leave it out", name)
		}
	}
	return nil
}
