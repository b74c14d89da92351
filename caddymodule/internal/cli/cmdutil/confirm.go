package cmdutil

import (
	"errors"
	"strings"

	"github.com/spf13/cobra"
)

// YesFlag adds --yes, by which a command does not ask.
func YesFlag(cmd *cobra.Command, yes *bool) {
	cmd.Flags().BoolVar(yes, "yes", false, "do not ask first")
}

// Confirm asks at the terminal. Every answer except yes means no.
func Confirm(cmd *cobra.Command, question string) error {
	file, ok := terminal(cmd)
	if !ok {
		return errors.New("there is no terminal to ask at: give --yes")
	}
	cmd.PrintErr(question, " [y/N] ")
	answer, err := readLine(cmd.Context(), file)
	if err != nil {
		cmd.PrintErrln()
		return err
	}
	if !strings.EqualFold(answer, "y") && !strings.EqualFold(answer, "yes") {
		return errors.New("nothing was changed")
	}
	return nil
}
