package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/signature"
)

func signCommand(env cmdutil.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "sign <file>",
		Short: "Prints the signature header for a body",
		Long: `Prints the signature header for a body, as ElevenLabs would make it.

The signature covers the very bytes of the file: a line end at its end counts,
and curl must send it with --data-binary, since -d drops line ends.`,
		Example: `  caddy elevenlabs sign body.json
  echo -n '{"type":"post_call_audio"}' | caddy elevenlabs sign -
  curl -H "$(caddy elevenlabs sign body.json)" --data-binary @body.json https://hooks.example.com/webhooks/elevenlabs`,
		Args: cmdutil.OneArgument,
	}
	secret := cmdutil.SecretFlags(cmd)
	cmdutil.AtFlag(cmd, "sign")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if args[0] == "-" && secret.FromStdin() {
			return cmdutil.ErrStdinTwice
		}
		signedAt, err := cmdutil.At(cmd, env)
		if err != nil {
			return err
		}
		body, err := cmdutil.ReadFile(cmd, args[0])
		if err != nil {
			return fmt.Errorf("reading the body: %w", err)
		}
		key, err := secret.Read(cmd)
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
	return cmd
}
