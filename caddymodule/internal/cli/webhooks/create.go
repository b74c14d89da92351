package webhooks

import (
	"errors"
	"net/url"

	"github.com/spf13/cobra"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/workspace"
)

// createOptions are the options of `create`.
type createOptions struct {
	creation
	toWorkspace bool
	attach      *attachment
	all         []string // --events, of both kinds
}

func newCmdCreate(env cmdutil.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "create --name <name> --url <url> (--secret-out <file> | --print-secret)",
		Short: "Creates a webhook, and keeps its secret",
		Long: `Creates a webhook, and keeps its signing secret, which ElevenLabs shows only now.
The secret goes into a new file of mode 0600, or to standard output. If the file
cannot be created, no webhook is. For {file./path} in the Caddyfile, Caddy's user
must be able to read the file.

ElevenLabs never calls a webhook that nothing points at. --attach points the events
after calls in the workspace at it, --agent those of an agent, and --events the
named events. See "attach" for more. The command does not take the place of another
webhook, since Caddy rejects the new one's events until it has the new secret. Then
"attach --replace" does it.

If something fails after the webhook was created, the output says which steps are
done and which are left, with the commands for them.

` + eventsHelp,
		Example: `  caddy elevenlabs webhooks create --name gateway --url https://hooks.example.com/webhooks/elevenlabs --secret-out /etc/caddy/elevenlabs-secret --attach --events transcript,audio --retries
  caddy elevenlabs webhooks create --name stt --url https://hooks.example.com/webhooks/elevenlabs --print-secret --events speech_to_text
  caddy elevenlabs webhooks create --name sales --url https://hooks.example.com/webhooks/elevenlabs --secret-out secret.txt --agent agent_0123 --header X-Tenant=sales`,
		Args: cobra.NoArgs,
	}
	w := workspace.Flags(cmd, env)
	o := &createOptions{creation: creation{w: w, sink: secretSinkFlags(cmd)}}
	flags := cmd.Flags()
	flags.StringVar(&o.name, "name", "", "the webhook's `name`")
	flags.StringVar(&o.url, "url", "", "the `url` that ElevenLabs calls, https://…")
	o.flags = addHeaderFlags(cmd, w, "")
	flags.BoolVar(&o.retries, "retries", false, "let ElevenLabs retry transcripts after failures")
	flags.BoolVar(&o.toWorkspace, "attach", false, "attach it to the events after calls in the workspace")
	w.AgentFlag(cmd, "attach it to the events after calls of the agent with this `id`")
	o.attach = attachmentFlags(cmd, w)
	o.attach.taken = "create the webhook unattached, give Caddy its secret, and then take the place by `attach --replace`"
	o.attach.needs = "--transcript-format and events after calls need --attach or --agent"
	flags.Var(cmdutil.Words{Values: &o.all}, "events", "the `events` for it, with commas between them")
	cmdutil.Complete(cmd, "events", subscriptions)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return o.run(cmd) }
	return cmd
}

func (o *createOptions) run(cmd *cobra.Command) error {
	var err error
	if o.attach.events, o.events, err = splitEvents(o.all); err != nil {
		return err
	}
	slots := workspace.Slots(o.toWorkspace, o.w.Agents)
	if err := errors.Join(o.check(cmd), o.attach.check(cmd, slots)); err != nil {
		return err
	}
	if err := o.w.Connect(cmd); err != nil {
		return err
	}
	if len(slots) > 0 {
		if err := o.w.List(cmd); err != nil {
			return err
		}
	}
	places, err := o.attach.plan(cmd, slots, "")
	if err != nil {
		return err
	}
	id, err := o.create(cmd)
	if err != nil {
		return err
	}
	return runSteps(cmd, id, append(o.steps(id), o.attach.steps(places, id)...))
}

// check returns an error if the flags are wrong. It sends no request.
func (o *createOptions) check(cmd *cobra.Command) error {
	if err := cmdutil.RejectEmpty(cmd, "secret-out"); err != nil {
		return err
	}
	target, err := url.Parse(o.url)
	if o.name == "" || err != nil || target.Scheme != "https" || target.Hostname() == "" {
		return errors.New("give --name, and --url with a whole URL that begins with https://")
	}
	if o.headers, err = o.flags.read(cmd); err != nil {
		return err
	}
	return o.sink.check()
}
