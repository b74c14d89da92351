package cli

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// golden compares what a command printed with a file in testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
		require.NoError(t, os.WriteFile(file, []byte(got), 0o644))
		return
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err, "go test -update writes it")
	assert.Equal(t, string(want), got, file)
}

// outcome is what a command did.
type outcome struct {
	stdout, stderr string
	err            error
	code           int
}

// run runs `caddy elevenlabs` with arguments, in process.
func run(env cmdutil.Env, stdin string, args ...string) outcome {
	root := &cobra.Command{Use: "elevenlabs", SilenceErrors: true, SilenceUsage: true}
	AddCommands(root, env)
	var stdout, stderr bytes.Buffer
	root.SetIn(strings.NewReader(stdin))
	root.SetOut(&stdout)
	root.SetErr(&stderr)
	root.SetArgs(args)
	err := root.Execute()
	return outcome{stdout.String(), stderr.String(), err, cmdutil.ExitCode(err)}
}
