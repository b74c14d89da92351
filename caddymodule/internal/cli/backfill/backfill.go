package backfill

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/delivery"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/source"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/workspace"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/elevenlabs"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"
)

// options are the options of `backfill`.
type options struct {
	env        cmdutil.Env
	secret     *cmdutil.Credential
	workspace  *workspace.Workspace
	connection *delivery.Connection
	endpoint   *cmdutil.Endpoint

	sinceText, untilText string
	inbox, ids           string
	audio, dryRun        bool

	now, since, until time.Time
	// settled is when a call must have ended that is not too recent. It is zero for any.
	settled time.Time
}

// NewCmdBackfill returns the command `backfill`.
func NewCmdBackfill(env cmdutil.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "backfill <url> --since <time>",
		Short: "Sends the events of calls that ElevenLabs knows and the inbox does not",
		Long: `Asks ElevenLabs' API for the calls of a span, compares them with what the inbox has,
and sends the events that are missing to the URL, signed with the webhook's secret.
Use it after Caddy or its machine was away. With --dry-run, the command only prints
what is missing.

An event has the documented shape: data is the API's answer for the conversation. With
--audio, the recordings come too. elevenlabs_webhook knows by a proof that this command
made the event, and tells your application by the header X-ElevenLabs-Backfill: true.
Nobody can prove that without the secret.

The comparison is by conversation and type, so another run sends nothing again, and an
interrupted one goes on. Ctrl-C ends the command after the event that is being sent.
It can only see what the inbox remembers: --since must lie within its retention. Without
an inbox, --ids names a file with the ids of the conversations that your application
has, one a line. What follows a # is a comment. An id counts for all events of the
conversation, or with a type of event behind it, for that. The command adds what it has
sent.

Calls that are not finished are left out, and without --until those that ended in the
last hour, since ElevenLabs may still send them.

What cannot be made again:
  - the bytes of the lost event: the event id is another one, and the API may say more or
    less than the event did, such as an analysis that was changed later
  - what the webhook leaves out: the turns of a transcript come, though exclude_transcript
    is set
  - transcripts in the format opentelemetry: they come as post_call_transcription
  - call_initiation_failure, of outbound calls that failed before they began
  - what does not come after a call, such as speech_to_text_transcription
  - what ElevenLabs has deleted by the agent's own retention

A call that cannot be read or sent is FAILED, and the command goes on with the next one.
After five failures in a row, it gives up. The exit code is 2 if an event was not sent.

The API key needs the permission to read ElevenAgents.`,
		Example: `  caddy elevenlabs inbox backfill https://hooks.example.com/webhooks/elevenlabs --since 24h --dry-run
  caddy elevenlabs inbox backfill https://hooks.example.com/webhooks/elevenlabs --since 24h --audio
  caddy elevenlabs inbox backfill https://hooks.example.com/webhooks/elevenlabs --since 2026-11-28T10:00:00Z --until 2026-11-28T12:00:00Z
  caddy elevenlabs inbox backfill https://hooks.example.com/webhooks/elevenlabs --since 30d --agent agent_7k2 --ids conversations.txt`,
		Args:              cmdutil.OneArgument,
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	o := &options{
		env: env, secret: cmdutil.SecretFlags(cmd), workspace: workspace.Flags(cmd, env),
		connection: delivery.ConnectionFlags(cmd, 5*time.Minute), endpoint: cmdutil.EndpointFlags(cmd, env),
	}
	o.workspace.AgentFlag(cmd, "only calls of the agent with this `id`, or of several with commas between them")
	flags := cmd.Flags()
	flags.StringVar(&o.sinceText, "since", "", "only calls that began since this `time`: RFC 3339, or a duration before now such as 2h or 3d; required")
	flags.StringVar(&o.untilText, "until", "", "only calls that began before this `time`, likewise (default: now, without those that ended in the last hour)")
	flags.BoolVar(&o.audio, "audio", false, "send recordings too, as post_call_audio")
	flags.StringVar(&o.ids, "ids", "", "compare with the conversations in this `file`, and not with an inbox")
	flags.BoolVar(&o.dryRun, "dry-run", false, "print what is missing, and send nothing; without a secret")
	source.InboxFlag(cmd, &o.inbox)
	for _, name := range []string{"inbox", "address", "config", "adapter"} {
		cmd.MarkFlagsMutuallyExclusive("ids", name)
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return o.run(cmd, args[0]) }
	return cmd
}

func (o *options) run(cmd *cobra.Command, target string) error {
	if err := o.check(cmd); err != nil {
		return err
	}
	client, err := o.client(cmd, target)
	if err != nil {
		return err
	}
	if err := o.workspace.Connect(cmd); err != nil {
		return err
	}
	var ids *idsFile
	if o.ids != "" {
		if ids, err = readIDs(o.ids, !o.dryRun); err != nil {
			return err
		}
		defer ids.close() //nolint:errcheck // each line is written without a buffer
	}
	found, err := o.compare(cmd, ids)
	if err != nil {
		return err
	}
	s := &sender{options: o, cmd: cmd, client: client, ids: ids}
	return s.run(found)
}

// check reads the span, and returns an error if flags have values that they cannot have.
func (o *options) check(cmd *cobra.Command) (err error) {
	if err := cmdutil.RejectEmpty(cmd, "since", "until", "ids", "inbox"); err != nil {
		return err
	}
	if o.secret.FromStdin() && o.workspace.APIKey.FromStdin() {
		return cmdutil.ErrStdinTwice
	}
	if o.sinceText == "" {
		return errors.New("--since is missing: say from when on calls may be missing, such as --since 24h")
	}
	o.now = o.env.Now()
	if o.since, err = cmdutil.ParseTime(o.now, "since", o.sinceText); err != nil {
		return err
	}
	if o.until, err = cmdutil.ParseTime(o.now, "until", o.untilText); err != nil {
		return err
	}
	if o.until.IsZero() {
		o.until, o.settled = o.now, o.now.Add(-facts.RetriedFor)
	}
	if !o.since.Before(o.until) {
		return errors.New("--since must be before --until")
	}
	return o.connection.Check(cmd)
}

// client returns the client that sends the events. With --dry-run, the secret is not read.
func (o *options) client(cmd *cobra.Command, target string) (*delivery.Client, error) {
	client, err := delivery.NewClient(target, o.env.Now, o.connection)
	if err != nil || o.dryRun {
		return client, err
	}
	key, err := o.secret.Read(cmd)
	if err != nil {
		return nil, err
	}
	client.Key, client.Backfill = []byte(key), true
	return client, nil
}

// compare finds out what is missing.
func (o *options) compare(cmd *cobra.Command, ids *idsFile) (found Comparison, err error) {
	var conversations []elevenlabs.Conversation
	var known Known
	list := func() ([]elevenlabs.Conversation, error) {
		var all []elevenlabs.Conversation
		err := cmdutil.Wait(cmd, "listing conversations", func(ctx context.Context) (err error) {
			all, err = List(ctx, o.workspace.Client, o.workspace.Agents, o.since, o.until)
			return err
		})
		return all, err
	}
	if ids != nil {
		known = ids.known
		conversations, err = list()
	} else {
		conversations, known, err = o.compareWithInbox(cmd, list)
	}
	if err != nil {
		return found, err
	}
	return Compare(conversations, known, o.audio, o.settled), nil
}

func (o *options) compareWithInbox(cmd *cobra.Command, list func() ([]elevenlabs.Conversation, error)) ([]elevenlabs.Conversation, Known, error) {
	inboxes, err := OpenInboxes(cmd, source.OfEndpoint(o.endpoint, o.inbox))
	if errors.Is(err, errNoInbox) || cmdutil.WithoutInboxes(err) {
		return nil, nil, fmt.Errorf("%w: give the admin endpoint of the Caddy that has one by --address, or compare with a list of your own by --ids", errNoInbox)
	}
	if err != nil {
		return nil, nil, err
	}
	if err := inboxes.CheckSince(o.now, o.since); err != nil {
		return nil, nil, err
	}
	return inboxes.Known(cmd, o.now, o.since, list)
}

// List returns the conversations that began in a span, of some agents or of all.
func List(ctx context.Context, client *elevenlabs.Client, agents []string, since, until time.Time) (all []elevenlabs.Conversation, err error) {
	if len(agents) == 0 {
		agents = []string{""}
	}
	for _, agent := range agents {
		some, err := client.Conversations(ctx, elevenlabs.ConversationQuery{Since: since, Until: until, Agent: agent})
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	return all, nil
}
