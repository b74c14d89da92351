package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
)

// credential is a signing secret or an API key. It comes from a file, from
// standard input or from the environment, never from an argument: those are
// seen by every user of the machine, and kept by shells.
type credential struct {
	flag      string // "secret" for --secret-file and --secret-env
	file, env string
}

// secretFlags adds the flags that say where a webhook's signing secret is.
func secretFlags(cmd *cobra.Command) *credential {
	return credentialFlags(cmd, "secret", "the webhook's signing secret, wsec_…", "ELEVENLABS_WEBHOOK_SECRET")
}

// apiKeyFlags adds the flags that say where the API key is.
func apiKeyFlags(cmd *cobra.Command) *credential {
	return credentialFlags(cmd, "api-key", "an API key of the workspace", "ELEVENLABS_API_KEY")
}

func credentialFlags(cmd *cobra.Command, flag, what, env string) *credential {
	c := &credential{flag: flag}
	cmd.Flags().StringVar(&c.file, flag+"-file", "", "read "+what+", from this `file`; - for standard input")
	cmd.Flags().StringVar(&c.env, flag+"-env", env, "read "+what+", from the environment variable of this `name`")
	cmd.MarkFlagsMutuallyExclusive(flag+"-file", flag+"-env")
	return c
}

// fromStdin is whether the credential comes from standard input.
func (c *credential) fromStdin() bool { return c.file == "-" }

// source says where the credential comes from.
func (c *credential) source() string {
	switch {
	case c.fromStdin():
		return "standard input"
	case c.file != "":
		return "the file " + c.file
	}
	return "the environment variable " + c.env
}

// raw returns the credential as it stands at its source, blanks and line ends
// included.
func (c *credential) raw(cmd *cobra.Command) (string, error) {
	if err := refuseEmpty(cmd, c.flag+"-file", c.flag+"-env"); err != nil {
		return "", err
	}
	var value []byte
	var err error
	if c.file != "" {
		value, err = readFile(cmd, c.file)
	} else {
		fromEnv, ok := os.LookupEnv(c.env)
		if !ok {
			return "", fmt.Errorf("the environment variable %s is not set: set it, or name another by --%s-env, or a file by --%s-file", c.env, c.flag, c.flag)
		}
		value = []byte(fromEnv)
	}
	if err != nil {
		return "", fmt.Errorf("reading --%s-file: %w", c.flag, err)
	}
	return string(value), nil
}

// read returns the credential without the blanks and line ends round it, as the
// handler reads its secrets. It is never empty.
func (c *credential) read(cmd *cobra.Command) (string, error) {
	value, err := c.raw(cmd)
	if err != nil {
		return "", err
	}
	value = strings.TrimSpace(value)
	if value == "" {
		return "", fmt.Errorf("%s is blank: put the whole value there", c.source())
	}
	return value, nil
}

// errStdinTwice says that two things were to come from standard input.
var errStdinTwice = errors.New("only one thing can come from standard input (-): read the other from a file")

// readFile reads a whole file, or standard input for "-". Both may take for ever,
// so it gives way to an interrupt.
func readFile(cmd *cobra.Command, name string) ([]byte, error) {
	var content []byte
	var err error
	read := make(chan struct{})
	go func() {
		defer close(read)
		if name == "-" {
			content, err = io.ReadAll(cmd.InOrStdin())
		} else {
			content, err = os.ReadFile(name)
		}
	}()
	select {
	case <-read:
		return content, err
	case <-cmd.Context().Done():
		return nil, errInterrupted
	}
}
