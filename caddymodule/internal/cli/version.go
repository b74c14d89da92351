package cli

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
)

// The paths of the Go modules whose versions are shown.
const (
	modulePath = "github.com/caddy-elevenlabs/caddy-elevenlabs"
	caddyPath  = "github.com/caddyserver/caddy/v2"
)

// versions are those of a build.
type versions struct {
	Module   string `json:"module"`
	Caddy    string `json:"caddy"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func newCmdVersion() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Prints the versions of this module, of Caddy and of Go",
		Long: `Prints the versions of this module, of Caddy and of Go, with which this program was
built. "caddy build-info" prints those of all that is in it.`,
		Example: `  caddy elevenlabs version
  caddy elevenlabs version --json`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			info, _ := debug.ReadBuildInfo()
			v := versionsOf(info)
			if cmdutil.WantsJSON(cmd) {
				return cmdutil.PrintJSON(cmd, v)
			}
			table := cmdutil.NewTable(cmd.OutOrStdout())
			fmt.Fprintf(table, "caddy-elevenlabs\t%s\ncaddy\t%s\n%s\t%s\n", v.Module, v.Caddy, v.Go, v.Platform)
			return table.Flush()
		},
	}
}

// versionsOf returns the versions in what the Go linker noted, or in nothing.
func versionsOf(info *debug.BuildInfo) versions {
	v := versions{Module: "unknown", Caddy: "unknown", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	if info == nil {
		return v
	}
	for _, module := range append([]*debug.Module{&info.Main}, info.Deps...) {
		version := module.Version
		if r := module.Replace; r != nil {
			version += " => " + r.Path
			if r.Version != "" {
				version += "@" + r.Version
			}
		}
		switch module.Path {
		case modulePath:
			v.Module = version
		case caddyPath:
			v.Caddy = version
		}
	}
	return v
}
