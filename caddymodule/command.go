package caddymodule

import (
	"context"
	"os/signal"
	"syscall"
	"time"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
)

func init() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:  "elevenlabs",
		Usage: "<command>",
		Short: cli.Short,
		Long:  cli.Long,
		CobraFunc: func(cmd *cobra.Command) {
			cli.AddCommands(cmd, cmdutil.Env{
				Now:     time.Now,
				Inspect: inspect,
				Admin:   askAdmin,
			})
			runInCaddy(cmd)
		},
	})
}

// runInCaddy makes a command and all below it exit as Caddy's commands do. The first
// interrupt cancels the command's context, and a second one kills the program.
func runInCaddy(cmd *cobra.Command) {
	if run := cmd.RunE; run != nil {
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			context.AfterFunc(ctx, stop)
			cmd.SetContext(ctx)
			err := run(cmd, args)
			code := cmdutil.ExitCode(err)
			if code < 2 {
				return err // cobra prints it, and Caddy exits with 1
			}
			// printed as cobra does: Caddy would log the error as a line of JSON
			cmd.PrintErrln(cmd.ErrPrefix(), err)
			cmd.SilenceErrors = true
			return caddycmd.WrapCommandFuncForCobra(func(caddycmd.Flags) (int, error) {
				return code, nil
			})(cmd, args)
		}
	}
	for _, sub := range cmd.Commands() {
		runInCaddy(sub)
	}
}
