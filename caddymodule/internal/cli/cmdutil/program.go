package cmdutil

import (
	"strings"

	"github.com/spf13/cobra"
)

// Program returns the name of the program that a command belongs to, for commands that
// the user can copy: caddy, or caddy-elevenlabs in the packages.
func Program(cmd *cobra.Command) string {
	for ; cmd.HasParent(); cmd = cmd.Parent() {
		if cmd.Name() == "elevenlabs" {
			return cmd.Parent().Name()
		}
	}
	return "caddy"
}

// AsTyped returns a text in which the commands of caddy are those of this program.
func AsTyped(cmd *cobra.Command, text string) string {
	program := Program(cmd)
	return strings.NewReplacer("caddy elevenlabs ", program+" elevenlabs ", "caddy reload", program+" reload").Replace(text)
}
