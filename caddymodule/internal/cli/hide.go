package cli

import (
	"github.com/spf13/cobra"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"
)

// hidden stands for a secret in an error.
const hidden = "(a secret)"

// secretless is an error whose text does not repeat a secret.
type secretless struct{ error }

func (e secretless) Error() string {
	return facts.HideCredentials(e.error.Error(), hidden) + " (what looks like a secret is not shown: a secret is never an argument)"
}

func (e secretless) Unwrap() error { return e.error }

// withoutSecrets hides secrets that the user gave as names or paths.
func withoutSecrets(err error) error {
	if err == nil || facts.HideCredentials(err.Error(), hidden) == err.Error() {
		return err
	}
	return secretless{err}
}

// hideSecrets hides secrets in every error of a command and of all below it.
func hideSecrets(cmd *cobra.Command) {
	flagError := cmd.FlagErrorFunc()
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return withoutSecrets(flagError(cmd, err)) })
	var each func(*cobra.Command)
	each = func(cmd *cobra.Command) {
		for _, wrapped := range []*func(*cobra.Command, []string) error{&cmd.RunE, (*func(*cobra.Command, []string) error)(&cmd.Args)} {
			if run := *wrapped; run != nil {
				*wrapped = func(cmd *cobra.Command, args []string) error { return withoutSecrets(run(cmd, args)) }
			}
		}
		for _, sub := range cmd.Commands() {
			each(sub)
		}
	}
	each(cmd)
}
