package cmdutil

import (
	"encoding/json"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"
)

// JSONFlag adds --json to a command and to all below it.
func JSONFlag(cmd *cobra.Command) {
	cmd.PersistentFlags().Bool("json", false, "print JSON, one object a line")
}

// WantsJSON reports whether the command was called with --json.
func WantsJSON(cmd *cobra.Command) bool {
	yes, err := cmd.Flags().GetBool("json")
	return err == nil && yes
}

// PrintJSON prints a value as one line.
func PrintJSON(cmd *cobra.Command, value any) error {
	encoder := json.NewEncoder(cmd.OutOrStdout())
	encoder.SetEscapeHTML(false)
	return encoder.Encode(value)
}

// NewTable returns a table. Rows are written to it with tabs between their cells,
// and Flush prints it.
func NewTable(w io.Writer) *tabwriter.Writer {
	return tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
}
