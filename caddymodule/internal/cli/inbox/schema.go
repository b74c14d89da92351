package inbox

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/inbox"
)

// dialects are the databases that an inbox can be in.
var dialects = []string{"sqlite", "postgres"}

func newCmdSchema() *cobra.Command {
	return &cobra.Command{
		Use:   "schema [sqlite | postgres]",
		Short: "Prints the SQL that makes the tables of an inbox",
		Long: `Prints the SQL that makes the tables of an inbox, by default for Postgres. Caddy makes
them by itself if it may. Where it may not, an administrator runs this once.`,
		Example: `  caddy elevenlabs inbox schema
  caddy elevenlabs inbox schema postgres | psql --single-transaction "$DATABASE_URL"`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: cobra.FixedCompletions(dialects, cobra.ShellCompDirectiveNoFileComp),
		RunE: func(cmd *cobra.Command, args []string) error {
			dialect := "postgres"
			if len(args) > 0 {
				dialect = args[0]
			}
			return printSchema(cmd, dialect)
		},
	}
}

func printSchema(cmd *cobra.Command, dialect string) error {
	if !slices.Contains(dialects, dialect) {
		return fmt.Errorf("there is no database %q%s: give one of %s", dialect, cmdutil.DidYouMean(dialect, dialects), strings.Join(dialects, ", "))
	}
	var all strings.Builder
	for version := 1; version <= inbox.Version; version++ {
		text, err := inbox.Schema(dialect, version)
		if err != nil {
			return err
		}
		all.WriteString(text)
	}
	if dialect == "sqlite" { // Postgres has a table for it
		fmt.Fprintf(&all, "\n-- The version of these tables.\nPRAGMA user_version = %d;\n", inbox.Version)
	}
	if cmdutil.WantsJSON(cmd) {
		return cmdutil.PrintJSON(cmd, map[string]any{"database": dialect, "version": inbox.Version, "sql": all.String()})
	}
	_, err := fmt.Fprint(cmd.OutOrStdout(), all.String())
	return err
}
