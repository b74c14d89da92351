package cmdutil

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"
)

// Credential is a signing secret or an API key. It comes from a file, from
// standard input or from the environment, never from an argument. Every user of
// the machine can see arguments, and shells keep them.
type Credential struct {
	// Env is the name of the environment variable.
	Env string

	flag string // "secret" for --secret-file and --secret-env
	file string
}

// SecretFlags adds the flags that say where a webhook's signing secret is.
func SecretFlags(cmd *cobra.Command) *Credential {
	return credentialFlags(cmd, "secret", "the webhook's signing secret, wsec_…", "ELEVENLABS_WEBHOOK_SECRET")
}

// APIKeyFlags adds the flags that say where the API key is.
func APIKeyFlags(cmd *cobra.Command) *Credential {
	return credentialFlags(cmd, "api-key", "an API key of the workspace", "ELEVENLABS_API_KEY")
}

// PasswordFlags adds the flags that say where the password of a user is.
func PasswordFlags(cmd *cobra.Command, whose string) *Credential {
	return credentialFlags(cmd, "password", "the password of "+whose, "ELEVENLABS_INSPECTOR_PASSWORD")
}

func credentialFlags(cmd *cobra.Command, flag, what, env string) *Credential {
	c := &Credential{flag: flag}
	cmd.Flags().StringVar(&c.file, flag+"-file", "", "read "+what+", from this `file`; - for standard input")
	cmd.Flags().StringVar(&c.Env, flag+"-env", env, "read "+what+", from the environment variable of this `name`")
	cmd.MarkFlagsMutuallyExclusive(flag+"-file", flag+"-env")
	return c
}

// FromStdin reports whether the credential comes from standard input.
func (c *Credential) FromStdin() bool { return c.file == "-" }

// Named reports whether a flag says where the credential is.
func (c *Credential) Named(cmd *cobra.Command) bool {
	return cmd.Flags().Changed(c.flag+"-file") || cmd.Flags().Changed(c.flag+"-env")
}

// ReadOrAsk returns the credential, or asks for it at the terminal if neither a flag nor
// the environment has it.
func (c *Credential) ReadOrAsk(cmd *cobra.Command, question string) (string, error) {
	if _, set := os.LookupEnv(c.Env); !set && !c.Named(cmd) {
		if file, ok := terminal(cmd); ok {
			return askHidden(cmd, file, question)
		}
	}
	return c.Read(cmd)
}

// Source says where the credential comes from. It never returns the credential, even
// if that was given in place of a name.
func (c *Credential) Source() string {
	switch {
	case c.FromStdin():
		return "standard input"
	case c.file != "":
		return "the file " + hide(c.file)
	}
	return "the environment variable " + hide(c.Env)
}

// hide replaces what looks like a credential in a name.
func hide(name string) string { return facts.HideCredentials(name, "…") }

// pasted reports whether a name is rather the credential itself. A name with a folder
// in it is that of a file.
func pasted(name string) bool { return hide(name) != name && !strings.Contains(name, "/") }

// Raw returns the credential with any blanks and line ends around it. A signing secret
// with other lines beside it is an error, as in the handler.
func (c *Credential) Raw(cmd *cobra.Command) (string, error) {
	value, err := c.value(cmd)
	if text := strings.TrimSpace(value); strings.HasPrefix(text, facts.SecretPrefix) && strings.ContainsAny(text, "\r\n") {
		return "", fmt.Errorf("%s has more than one line: put nothing but the secret there", c.Source())
	}
	return value, err
}

func (c *Credential) value(cmd *cobra.Command) (string, error) {
	if err := RejectEmpty(cmd, c.flag+"-file", c.flag+"-env"); err != nil {
		return "", err
	}
	if c.file != "" {
		value, err := ReadFile(cmd, c.file)
		switch {
		case errors.Is(err, fs.ErrNotExist) && pasted(c.file):
			return "", fmt.Errorf("--%s-file has what looks like the value itself: give the name of the file that has it", c.flag)
		case err != nil:
			return "", fmt.Errorf("reading --%s-file: %w", c.flag, err)
		}
		return string(value), nil
	}
	value, ok := os.LookupEnv(c.Env)
	switch {
	case !ok && pasted(c.Env):
		return "", fmt.Errorf("--%s-env has what looks like the value itself: give the name of the variable that has it", c.flag)
	case !ok:
		return "", fmt.Errorf("the environment variable %s is not set: set it, or name another by --%s-env, or a file by --%s-file", c.Env, c.flag, c.flag)
	}
	return value, nil
}

// Read returns the credential without the blanks and line ends around it, as the
// handler reads its secrets. It is never empty.
func (c *Credential) Read(cmd *cobra.Command) (string, error) {
	value, err := c.Raw(cmd)
	if err != nil {
		return "", err
	}
	value = strings.TrimSpace(value)
	if value == "" {
		return "", fmt.Errorf("%s is blank: put the whole value there", c.Source())
	}
	return value, nil
}

// ReadBody reads the body of an event as ReadFile does. An empty one is an error.
func ReadBody(cmd *cobra.Command, name string) ([]byte, error) {
	body, err := ReadFile(cmd, name)
	if err != nil {
		return nil, fmt.Errorf("reading the body: %w", err)
	}
	if len(body) == 0 {
		if name == "-" {
			name = "standard input"
		}
		return nil, fmt.Errorf("%s is empty: there is no body to sign", name)
	}
	return body, nil
}

// ReadFile reads a whole file, or standard input for "-". Reading may never end,
// so an interrupt ends the wait.
func ReadFile(cmd *cobra.Command, name string) ([]byte, error) {
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
		return nil, ErrInterrupted
	}
}
