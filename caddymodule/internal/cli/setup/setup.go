// Package setup has the command `init`, which writes the first Caddyfile.
package setup

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/doctor"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/webhooks"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/workspace"
)

// options are the options of `init`.
type options struct {
	layout
	env       cmdutil.Env
	dir       string
	secret    *cmdutil.Credential // of a webhook that is there
	create    bool                // make a webhook
	workspace *workspace.Workspace
	webhook   *webhooks.Create
}

// NewCmdInit returns the command `init`.
func NewCmdInit(env cmdutil.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Writes your first Caddyfile, and a file with the secret",
		Long: `Writes your first Caddyfile, and a file with the webhook's signing secret beside it.
It then checks them as "doctor" does, as far as that is possible before Caddy runs,
and prints the next commands.

On a terminal, it asks for what no flag says. In a script, give --domain and --backend,
and the secret in the environment or in a file. An inbox is on unless you give
--inbox=false.

With --create-webhook, init creates the webhook at ElevenLabs by an API key, and keeps
its secret. Only --attach, --agent and --events let events go to it at once.

The secret's file has the mode 0600: only you can read it. If Caddy runs as another
user, let that user own the file.

Nothing is overwritten. If one of the files is there, init prints the Caddyfile that it
would have written, and writes and creates nothing.

The exit code is 2 if the files were written, and a check failed.`,
		Example: `  caddy elevenlabs init
  caddy elevenlabs init --domain hooks.example.com --backend localhost:3000 --secret-file secret.txt
  caddy elevenlabs init --domain hooks.example.com --backend localhost:3000 --dir /etc/caddy --create-webhook --retries`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	w := workspace.Flags(cmd, env)
	o := &options{env: env, secret: cmdutil.SecretFlags(cmd), workspace: w, webhook: webhooks.CreateFlags(cmd, w, "gateway")}
	flags := cmd.Flags()
	flags.StringVar(&o.domain, "domain", "", "the `domain` that ElevenLabs calls, such as hooks.example.com")
	flags.StringVar(&o.backend, "backend", "", "the `address` of your application, such as "+usualBackend)
	flags.StringVar(&o.path, "path", "/webhooks/elevenlabs", "the `path` of the webhook, at Caddy and at your application")
	flags.BoolVar(&o.inbox, "inbox", true, "keep each event on disk until your application has taken it")
	flags.StringVar(&o.dir, "dir", ".", "write the files into this `folder`")
	flags.BoolVar(&o.create, "create-webhook", false, "create the webhook at ElevenLabs by an API key")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return o.run(cmd) }
	return cmd
}

func (o *options) run(cmd *cobra.Command) error {
	if err := o.check(cmd); err != nil {
		return err
	}
	f, err := openFolder(o.dir)
	if err != nil {
		return err
	}
	o.secretFile = f.secretFile()
	if err := o.readLayout(cmd, f); err != nil {
		return err
	}
	if err := f.free(); err != nil {
		return errors.Join(err, o.show(cmd, f))
	}
	secret, err := o.readSecret(cmd, f)
	if err != nil {
		return err
	}
	id, err := o.write(cmd, f, secret)
	if err != nil {
		return err
	}
	checked := doctor.BeforeStart(cmd, o.env, f.path(caddyfileName))
	if checked != nil && !errors.Is(checked, cmdutil.ErrCheckFailed) {
		return checked
	}
	return errors.Join(checked, o.printNext(cmd, f, id))
}

// ofWebhook are the flags that only count if init creates the webhook.
var ofWebhook = []string{"name", "attach", "agent", "events", "transcript-format", "retries", "region", "api-key-file", "api-key-env"}

// check returns an error if the flags are wrong.
func (o *options) check(cmd *cobra.Command) error {
	if err := cmdutil.RejectEmpty(cmd, "domain", "backend", "path", "dir", "name"); err != nil {
		return err
	}
	for _, name := range ofWebhook {
		if cmd.Flags().Changed(name) && !o.create {
			return fmt.Errorf("--%s needs --create-webhook", name)
		}
	}
	if o.create && o.secret.Named(cmd) {
		return errors.New("give the secret of a webhook that exists, or --create-webhook, not both")
	}
	return nil
}

// write writes both files, and creates the webhook if there is no secret yet. It returns
// the id of the webhook that it created.
func (o *options) write(cmd *cobra.Command, f *folder, secret string) (id string, err error) {
	if cmd.Context().Err() != nil {
		return "", cmdutil.ErrInterrupted
	}
	var left error // what failed after the webhook was created
	err = f.write(o.caddyfile(), func() error {
		if secret != "" {
			return f.writeSecret(secret)
		}
		var err error
		if id, err = o.webhook.Make(cmd); id == "" {
			return err
		}
		left = err
		return nil
	})
	if err != nil {
		return "", err
	}
	if secret != "" {
		if err := done(cmd, "secret", "write the secret to "+f.path(secretName)+", which only you can read"); err != nil {
			return id, err
		}
	}
	return id, errors.Join(done(cmd, "caddyfile", "write "+f.path(caddyfileName)), left)
}

// done prints what was done.
func done(cmd *cobra.Command, step, detail string) error {
	if cmdutil.WantsJSON(cmd) {
		return cmdutil.PrintJSON(cmd, map[string]string{"step": step, "status": "done", "detail": detail})
	}
	_, err := fmt.Fprintf(cmd.OutOrStdout(), "done  %s\n", detail)
	return err
}
