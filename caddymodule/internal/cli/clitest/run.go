// Package clitest runs the commands in tests, and compares their output with
// golden files.
package clitest

import (
	"bytes"
	"context"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
)

// Secret signs the events of tests.
const Secret = "wsec_test"

// Now is the time of Stopped.
var Now = time.Unix(1795421654, 0)

// Stopped is an Env whose clock stands, so that deliveries take no time.
var Stopped = cmdutil.Env{Now: func() time.Time { return Now }}

// Outcome is the result of a command.
type Outcome struct {
	Stdout, Stderr string
	Err            error
	Code           int
}

// NewCmd is the constructor of a command.
type NewCmd func(cmdutil.Env) *cobra.Command

// Root returns `elevenlabs` with one command below it.
func Root(newCmd NewCmd, env cmdutil.Env) *cobra.Command {
	root := &cobra.Command{Use: "elevenlabs", SilenceErrors: true, SilenceUsage: true}
	cmdutil.JSONFlag(root)
	cmdutil.Group(root, newCmd(env))
	return root
}

// Run runs a command in process. The arguments begin with its name.
func Run(newCmd NewCmd, env cmdutil.Env, stdin string, args ...string) Outcome {
	var stdout bytes.Buffer
	outcome := RunWith(context.Background(), newCmd, env, strings.NewReader(stdin), &stdout, args...)
	outcome.Stdout = stdout.String()
	return outcome
}

// RunWith runs a command with a context, standard input and output of the test.
func RunWith(ctx context.Context, newCmd NewCmd, env cmdutil.Env, stdin io.Reader, stdout io.Writer, args ...string) Outcome {
	root := Root(newCmd, env)
	var stderr bytes.Buffer
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(&stderr)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	return Outcome{Stderr: stderr.String(), Err: err, Code: cmdutil.ExitCode(err)}
}
