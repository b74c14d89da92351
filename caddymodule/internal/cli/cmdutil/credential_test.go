package cmdutil

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

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
	two := filepath.Join(t.TempDir(), "two")
	require.NoError(t, os.WriteFile(two, []byte("wsec_old\r\nwsec_new\n"), 0o600))

	for name, test := range map[string]struct {
		flags     func(*cobra.Command) *Credential
		args      []string
		want, err string
	}{
		"default":              {SecretFlags, nil, "from env", ""},
		"another variable":     {SecretFlags, []string{"--secret-env", "OTHER"}, "from another", ""},
		"file":                 {SecretFlags, []string{"--secret-file", file}, "from file", ""},
		"standard input":       {SecretFlags, []string{"--secret-file", "-"}, "from stdin", ""},
		"API key":              {APIKeyFlags, []string{"--api-key-file", "-"}, "from stdin", ""},
		"no variable":          {SecretFlags, []string{"--secret-env", "UNSET_HERE"}, "", "UNSET_HERE is not set: set it, or name another by --secret-env, or a file by --secret-file"},
		"no API key":           {APIKeyFlags, []string{"--api-key-env", "UNSET_HERE"}, "", "or name another by --api-key-env, or a file by --api-key-file"},
		"blank variable":       {SecretFlags, []string{"--secret-env", "BLANK"}, "", "the environment variable BLANK is blank"},
		"no file":              {SecretFlags, []string{"--secret-file", file + "x"}, "", "reading --secret-file: open "},
		"empty file":           {SecretFlags, []string{"--secret-file", empty}, "", "the file " + empty + " is blank"},
		"a file of two lines":  {SecretFlags, []string{"--secret-file", two}, "", "the file " + two + " has more than one line: put nothing but the secret there"},
		"an empty file name":   {SecretFlags, []string{"--secret-file", ""}, "", "--secret-file is empty"},
		"an empty variable":    {APIKeyFlags, []string{"--api-key-env", ""}, "", "--api-key-env is empty"},
		"file and variable":    {SecretFlags, []string{"--secret-file", file, "--secret-env", "OTHER"}, "", "[secret-env secret-file] were all set"},
		"never as an argument": {SecretFlags, []string{"--secret", "wsec_x"}, "", "unknown flag: --secret"},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := &cobra.Command{SilenceErrors: true, SilenceUsage: true}
			c := test.flags(cmd)
			var got string
			cmd.RunE = func(cmd *cobra.Command, _ []string) (err error) {
				got, err = c.Read(cmd)
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
	value, err := SecretFlags(cmd).Raw(cmd)
	require.NoError(t, err)
	assert.Equal(t, " wsec_x\n", value)
}

// Whoever pastes the secret itself in place of a name must not find it in a log.
func TestAPastedSecretIsNotRepeated(t *testing.T) {
	const pasted = "wsec_0123456789"
	for _, test := range []struct {
		args []string
		says string
	}{
		{[]string{"--secret-env", pasted}, "--secret-env has what looks like the value itself: give the name of the variable that has it"},
		{[]string{"--secret-env", "X=" + pasted}, "--secret-env has what looks like the value itself"},
		{[]string{"--secret-file", pasted}, "--secret-file has what looks like the value itself: give the name of the file that has it"},
		{[]string{"--secret-env", "sk_" + pasted[5:]}, "--secret-env has what looks like the value itself"},
		{[]string{"--secret-env", strings.Repeat("0123456789abcdef", 4)}, "--secret-env has what looks like the value itself"},
		{[]string{"--secret-file", pasted, "--secret-env", pasted}, "were all set"},
	} {
		cmd := &cobra.Command{SilenceErrors: true, SilenceUsage: true}
		c := SecretFlags(cmd)
		cmd.RunE = func(cmd *cobra.Command, _ []string) error {
			_, err := c.Read(cmd)
			assert.NotContains(t, c.Source(), "0123456789")
			return err
		}
		cmd.SetArgs(test.args)
		err := cmd.Execute()
		require.ErrorContains(t, err, test.says)
		assert.NotContains(t, err.Error(), "0123456789")
	}
}

// A file or a variable that exists is one, whatever its name is.
func TestAFileMayBeCalledLikeASecret(t *testing.T) {
	t.Chdir(t.TempDir())
	require.NoError(t, os.WriteFile("wsec_prod", []byte("wsec_x"), 0o600))
	t.Setenv("wsec_dev", "wsec_y")
	for flag, want := range map[string]string{"--secret-file=wsec_prod": "wsec_x", "--secret-env=wsec_dev": "wsec_y"} {
		cmd := new(cobra.Command)
		cmd.SetContext(t.Context())
		c := SecretFlags(cmd)
		require.NoError(t, cmd.ParseFlags([]string{flag}))
		value, err := c.Read(cmd)
		require.NoError(t, err)
		assert.Equal(t, want, value)
	}
}
