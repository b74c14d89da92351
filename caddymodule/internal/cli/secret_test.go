package cli

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestCredentialsComeFromWhereTheFlagsSay(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(file, []byte("from file\r\n"), 0o600))
	empty := filepath.Join(t.TempDir(), "empty")
	require.NoError(t, os.WriteFile(empty, []byte("\n"), 0o600))
	t.Setenv("ELEVENLABS_WEBHOOK_SECRET", " from env\n")
	t.Setenv("OTHER", "from another")
	t.Setenv("BLANK", " \t")

	for name, test := range map[string]struct {
		flags     func(*cobra.Command) *credential
		args      []string
		want, err string
	}{
		"default":              {secretFlags, nil, "from env", ""},
		"another variable":     {secretFlags, []string{"--secret-env", "OTHER"}, "from another", ""},
		"file":                 {secretFlags, []string{"--secret-file", file}, "from file", ""},
		"standard input":       {secretFlags, []string{"--secret-file", "-"}, "from stdin", ""},
		"API key":              {apiKeyFlags, []string{"--api-key-file", "-"}, "from stdin", ""},
		"no variable":          {secretFlags, []string{"--secret-env", "UNSET_HERE"}, "", "UNSET_HERE is not set: set it, or name another by --secret-env, or a file by --secret-file"},
		"no API key":           {apiKeyFlags, []string{"--api-key-env", "UNSET_HERE"}, "", "or name another by --api-key-env, or a file by --api-key-file"},
		"blank variable":       {secretFlags, []string{"--secret-env", "BLANK"}, "", "the environment variable BLANK is blank"},
		"no file":              {secretFlags, []string{"--secret-file", file + "x"}, "", "reading --secret-file: open "},
		"empty file":           {secretFlags, []string{"--secret-file", empty}, "", "the file " + empty + " is blank"},
		"an empty file name":   {secretFlags, []string{"--secret-file", ""}, "", "--secret-file is given, but empty"},
		"an empty variable":    {apiKeyFlags, []string{"--api-key-env", ""}, "", "--api-key-env is given, but empty"},
		"file and variable":    {secretFlags, []string{"--secret-file", file, "--secret-env", "OTHER"}, "", "[secret-env secret-file] were all set"},
		"never as an argument": {secretFlags, []string{"--secret", "wsec_x"}, "", "unknown flag: --secret"},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := &cobra.Command{SilenceErrors: true, SilenceUsage: true}
			c := test.flags(cmd)
			var got string
			cmd.RunE = func(cmd *cobra.Command, _ []string) (err error) {
				got, err = c.read(cmd)
				return err
			}
			cmd.SetIn(strings.NewReader("\n from stdin\n"))
			cmd.SetArgs(test.args)
			err := cmd.Execute()
			assert.Equal(t, test.want, got)
			if test.err == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, test.err)
			}
		})
	}
}

func TestRawIsTheCredentialWithItsBlanks(t *testing.T) {
	t.Setenv("ELEVENLABS_WEBHOOK_SECRET", " wsec_x\n")
	cmd := new(cobra.Command)
	value, err := secretFlags(cmd).raw(cmd)
	require.NoError(t, err)
	assert.Equal(t, " wsec_x\n", value)
}

func TestWhatIsReadGivesWayToAnInterrupt(t *testing.T) {
	t.Setenv("ELEVENLABS_WEBHOOK_SECRET", testSecret)
	for _, args := range [][]string{
		{"sign", "-"},
		{"verify"},
		{"verify", "--body", "-", "--header", "x"},
		{"send", "https://example.com/", "--file", "-"},
		{"send", "https://example.com/", "--secret-file", "-"},
		{"webhooks", "list", "--api-key-file", "-"},
	} {
		ctx, interrupt := context.WithCancel(t.Context())
		stdin, _ := io.Pipe()
		root := &cobra.Command{Use: "elevenlabs", SilenceErrors: true, SilenceUsage: true}
		AddCommands(root, stopped)
		root.SetIn(stdin)
		root.SetArgs(args)
		time.AfterFunc(10*time.Millisecond, interrupt)
		assert.ErrorIs(t, root.ExecuteContext(ctx), errInterrupted, args)
	}
}
