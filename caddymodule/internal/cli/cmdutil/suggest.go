package cmdutil

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// DidYouMean returns the choices that a mistyped word is near to, as a part of an
// error. It is empty if there is none.
func DidYouMean(word string, choices []string) string { return didYouMean("", word, choices) }

func didYouMean(dashes, word string, choices []string) string {
	if word == "" { // which begins every choice
		return ""
	}
	// cobra knows only which commands are near. A short word is near to any other.
	commands := &cobra.Command{SuggestionsMinimumDistance: min(2, len(word)/2)}
	for _, choice := range choices {
		commands.AddCommand(&cobra.Command{Use: choice, Run: func(*cobra.Command, []string) {}})
	}
	near := commands.SuggestionsFor(word)
	if len(near) == 0 && len(word) > 3 { // the name of an event's type has words
		near = slices.DeleteFunc(slices.Clone(choices), func(choice string) bool { return !strings.Contains(choice, word) })
	}
	if len(near) == 0 {
		return ""
	}
	return " (did you mean " + dashes + strings.Join(near, " or "+dashes) + "?)"
}

// CheckChoice returns an error if the value of a flag is not one of the choices. An
// empty value is good if the flag is not given.
func CheckChoice(cmd *cobra.Command, flag string, choices []string) error {
	if err := RejectEmpty(cmd, flag); err != nil {
		return err
	}
	value := cmd.Flags().Lookup(flag).Value.String()
	if value == "" || slices.Contains(choices, value) {
		return nil
	}
	return fmt.Errorf("there is no %s %q%s: give --%s one of %s", flag, value, DidYouMean(value, choices), flag, strings.Join(choices, ", "))
}

// SuggestFlags makes errors about unknown flags name those that are near, for a
// command and all below it.
func SuggestFlags(cmd *cobra.Command) {
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		unknown, ok := errors.AsType[*pflag.NotExistError](err)
		if !ok || unknown.GetSpecifiedShortnames() != "" {
			return err
		}
		var names []string
		cmd.Flags().VisitAll(func(flag *pflag.Flag) { names = append(names, flag.Name) })
		return fmt.Errorf("%w%s: see `%s --help`", err, didYouMean("--", unknown.GetSpecifiedName(), names), cmd.CommandPath())
	})
}
