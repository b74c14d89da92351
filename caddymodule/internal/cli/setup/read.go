package setup

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
)

var errCreateLocal = errors.New("ElevenLabs cannot call localhost, so leave out --create-webhook: for a try, give any secret, such as wsec_demo")

// readLayout reads what the Caddyfile needs, from flags or by questions.
func (o *options) readLayout(cmd *cobra.Command, f *folder) (err error) {
	asks := cmdutil.CanAsk(cmd)
	if o.path, err = o.flagOrAsk(cmd, "path", o.path, question{form: pathForm}); err != nil {
		return err
	}
	if asks {
		cmd.PrintErrf("init writes a Caddyfile and a file with the secret into %s. It overwrites nothing.\nCtrl-C ends it, and leaves nothing.\n", f.absolute)
		if f.free() != nil {
			cmd.PrintErrln("\nOne of these files is there already: init will only show what it would have written.")
		}
	}
	if o.domain, err = o.flagOrAsk(cmd, "domain", o.domain, domainQuestion); err != nil {
		return err
	}
	if o.create && o.onlyHere() {
		return errCreateLocal
	}
	silent := asks && o.backend == ""
	backend := backendQuestion
	backend.form = o.layout.backendForm
	if o.backend, err = o.flagOrAsk(cmd, "backend", o.backend, backend); err != nil {
		return err
	}
	if silent {
		if err := warnIfSilent(cmd, o.backend); err != nil {
			return err
		}
	}
	if asks && !cmd.Flags().Changed("inbox") {
		answer, err := inboxQuestion.ask(cmd)
		if err != nil {
			return err
		}
		o.inbox = answer == "yes"
	}
	return nil
}

// flagOrAsk returns the value of a flag, or asks for it.
func (o *options) flagOrAsk(cmd *cobra.Command, flag, value string, q question) (string, error) {
	switch {
	case value != "":
		formed, err := q.form(value)
		if err != nil {
			return "", fmt.Errorf("--%s: %w", flag, err)
		}
		return formed, nil
	case cmdutil.CanAsk(cmd):
		return q.ask(cmd)
	}
	return "", fmt.Errorf("give --%s: there is no terminal to ask at", flag)
}

// readSecret returns the secret. If it is empty, all is ready to create the webhook.
func (o *options) readSecret(cmd *cobra.Command, f *folder) (secret string, err error) {
	_, inEnv := os.LookupEnv(o.secret.Env)
	named := o.secret.Named(cmd)
	switch {
	case o.create:
	case cmdutil.CanAsk(cmd) && !named && !inEnv:
		if o.onlyHere() {
			return localSecretQuestion.ask(cmd)
		}
		secret, err = secretQuestion.ask(cmd)
		o.create = err == nil && secret == ""
	case !named && !inEnv:
		return "", fmt.Errorf("the environment variable %s is not set: set it, name another by --secret-env or a file by --secret-file, or give --create-webhook", o.secret.Env)
	default:
		if secret, err = o.secret.Read(cmd); err != nil {
			return "", err
		}
		if secret, err = secretForm(secret); err != nil {
			return "", fmt.Errorf("reading %s: %w", o.secret.Source(), err)
		}
		if cmdutil.CanAsk(cmd) {
			cmd.PrintErrln("\nThe secret comes from " + o.secret.Source() + ".")
		}
	}
	if err != nil || !o.create {
		return secret, err
	}
	if cmdutil.CanAsk(cmd) {
		if err := o.askAboutWebhook(cmd); err != nil {
			return "", err
		}
	}
	return "", o.webhook.Prepare(cmd, o.url(), f.path(secretName))
}

// askAboutWebhook asks what is needed to create the webhook.
func (o *options) askAboutWebhook(cmd *cobra.Command) error {
	if _, inEnv := os.LookupEnv(o.workspace.APIKey.Env); !inEnv && !o.workspace.APIKey.Named(cmd) {
		q := apiKeyQuestion
		q.form = func(answer string) (string, error) {
			key, err := apiKeyForm(answer)
			if err == nil {
				err = o.webhook.ConnectBy(cmd, key)
			}
			return "", err
		}
		if _, err := q.ask(cmd); err != nil {
			return err
		}
	}
	if cmd.Flags().Changed("attach") || cmd.Flags().Changed("agent") {
		return nil
	}
	agents, err := attachQuestion.ask(cmd)
	switch {
	case err != nil:
		return err
	case agents == "all":
		o.webhook.AttachTo(true, nil)
	case agents != "":
		o.webhook.AttachTo(false, strings.Split(agents, ","))
	}
	return nil
}
