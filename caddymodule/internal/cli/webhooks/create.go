package webhooks

import (
	"errors"
	"net/url"

	"github.com/spf13/cobra"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/workspace"
)

// Create is a webhook to create and to attach, by the flags of a command.
type Create struct {
	creation
	toWorkspace bool
	attach      *attachment
	all         []string // --events, of both kinds
	places      []place
}

// CreateFlags adds the flags that say what is created, except its URL, its headers and
// where its secret goes. The name is the default.
func CreateFlags(cmd *cobra.Command, w *workspace.Workspace, name string) *Create {
	c := &Create{creation: creation{w: w}}
	flags := cmd.Flags()
	flags.StringVar(&c.name, "name", name, "the webhook's `name`")
	flags.BoolVar(&c.retries, "retries", false, "let ElevenLabs retry transcripts after failures")
	flags.BoolVar(&c.toWorkspace, "attach", false, "attach it to the events after calls in the workspace")
	w.AgentFlag(cmd, "attach it to the events after calls of the agent with this `id`")
	c.attach = attachmentFlags(cmd, w)
	c.attach.taken = "create the webhook unattached, give Caddy its secret, and then take the place by `attach --replace`"
	c.attach.needs = "--transcript-format and events after calls need --attach or --agent"
	flags.Var(cmdutil.Words{Values: &c.all}, "events", "the `events` for it, with commas between them")
	cmdutil.Complete(cmd, "events", subscriptions)
	return c
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
	c := CreateFlags(cmd, w, "")
	c.sink = secretSinkFlags(cmd)
	cmd.Flags().StringVar(&c.url, "url", "", "the `url` that ElevenLabs calls, https://…")
	c.flags = addHeaderFlags(cmd, w, "")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := errors.Join(c.check(cmd), c.checkAttachment(cmd)); err != nil {
			return err
		}
		if err := c.plan(cmd); err != nil {
			return err
		}
		_, err := c.Make(cmd)
		return err
	}
	return cmd
}

// check returns an error if the flags are wrong. It sends no request.
func (c *Create) check(cmd *cobra.Command) error {
	if err := cmdutil.RejectEmpty(cmd, "secret-out"); err != nil {
		return err
	}
	target, err := url.Parse(c.url)
	if c.name == "" || err != nil || target.Scheme != "https" || target.Hostname() == "" {
		return errors.New("give --name, and --url with a whole URL that begins with https://")
	}
	if c.headers, err = c.flags.read(cmd); err != nil {
		return err
	}
	return c.sink.check()
}

func (c *Create) checkAttachment(cmd *cobra.Command) (err error) {
	if c.attach.events, c.events, err = splitEvents(c.all); err != nil {
		return err
	}
	return c.attach.check(cmd, c.slots())
}

func (c *Create) slots() []workspace.Slot { return workspace.Slots(c.toWorkspace, c.w.Agents) }

// plan reads what the webhook will be attached to. It changes nothing.
func (c *Create) plan(cmd *cobra.Command) error {
	if c.w.Client == nil {
		if err := c.w.Connect(cmd); err != nil {
			return err
		}
	}
	if len(c.slots()) > 0 {
		if err := c.w.List(cmd); err != nil {
			return err
		}
	}
	var err error
	c.places, err = c.attach.plan(cmd, c.slots(), "")
	return err
}

// Make creates the webhook, and attaches it. If there is an id, the webhook is there and
// its secret is stored.
func (c *Create) Make(cmd *cobra.Command) (id string, err error) {
	if id, err = c.create(cmd); err != nil {
		return id, err
	}
	return id, runSteps(cmd, id, append(c.steps(id), c.attach.steps(c.places, id)...))
}
