package send

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/signature"
)

// signOptions are the options of `sign`.
type signOptions struct {
	env    cmdutil.Env
	secret *cmdutil.Credential
}

// NewCmdSign returns the command `sign`.
func NewCmdSign(env cmdutil.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "sign <file>",
		Short: "Prints the signature header for a body",
		Long: `Prints the signature header for a body, as ElevenLabs would make it.

The signature covers the exact bytes of the file, so a line end at its end counts.
Send the file with curl's --data-binary, since -d drops line ends.`,
		Example: `  caddy elevenlabs sign body.json
  echo -n '{"type":"post_call_audio"}' | caddy elevenlabs sign -
  curl -H "$(caddy elevenlabs sign body.json)" --data-binary @body.json https://hooks.example.com/webhooks/elevenlabs`,
		Args: cmdutil.OneArgument,
	}
	o := &signOptions{env: env, secret: cmdutil.SecretFlags(cmd)}
	cmdutil.AtFlag(cmd, "sign")
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return o.run(cmd, args[0]) }
	return cmd
}

func (o *signOptions) run(cmd *cobra.Command, file string) error {
	if file == "-" && o.secret.FromStdin() {
		return cmdutil.ErrStdinTwice
	}
	signedAt, err := cmdutil.At(cmd, o.env)
	if err != nil {
		return err
	}
	body, err := cmdutil.ReadBody(cmd, file)
	if err != nil {
		return err
	}
	key, err := o.secret.Read(cmd)
	if err != nil {
		return err
	}
	value := signature.Sign([]byte(key), signedAt, body)
	if cmdutil.WantsJSON(cmd) {
		return cmdutil.PrintJSON(cmd, struct {
			Header   string `json:"header"`
			Value    string `json:"value"`
			SignedAt int64  `json:"signed_at"`
			Bytes    int    `json:"bytes"`
		}{signature.HeaderName, value, signedAt.Unix(), len(body)})
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: %s\n", signature.HeaderName, value)
	return err
}
