package cli

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/internal/buildinfo"
)

// versions are those of a build.
type versions struct {
	Module   string `json:"module"`
	Commit   string `json:"commit,omitempty"`
	Date     string `json:"date,omitempty"`
	Caddy    string `json:"caddy"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func newCmdVersion() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Prints the versions of this module, of Caddy and of Go",
		Long: `Prints the versions of this module, of Caddy and of Go, with which this program was
built. A release also has its commit and the date of that. "caddy build-info" prints the
versions of all that is in it.`,
		Example: `  caddy elevenlabs version
  caddy elevenlabs version --json`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			v := versionsOf(buildinfo.Read())
			if cmdutil.WantsJSON(cmd) {
				return cmdutil.PrintJSON(cmd, v)
			}
			table := cmdutil.NewTable(cmd.OutOrStdout())
			fmt.Fprintf(table, "caddy-elevenlabs\t%s\n", v.Module)
			if v.Commit != "" {
				fmt.Fprintf(table, "commit\t%s\ndate\t%s\n", v.Commit, v.Date)
			}
			fmt.Fprintf(table, "caddy\t%s\n%s\t%s\n", v.Caddy, v.Go, v.Platform)
			return table.Flush()
		},
	}
}

func versionsOf(i buildinfo.Info) versions {
	return versions{i.Version, i.Revision, i.Date, i.Caddy, runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH}
}
