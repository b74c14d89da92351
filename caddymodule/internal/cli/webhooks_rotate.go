package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/elevenlabs"
)

func webhooksRotateCommand(env cmdutil.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rotate <webhook>",
		Short: "Changes a webhook's secret, in three steps and without a gap",
		Long: `Changes a webhook's secret. ElevenLabs cannot: a new webhook takes the place of
the old one. So that no event is lost, this takes three steps, and Caddy knows
both secrets meanwhile.

1. "rotate <old> --secret-out <file>" creates a webhook like the old one: its name,
   URL and, as far as ElevenLabs tells of them, headers and retries. It gets no
   events yet: Caddy would refuse them. Put its secret into the Caddyfile, by the
   lines that are printed, and reload Caddy. The command "send" that is printed
   tells whether the new secret is accepted.

2. "rotate <old> --switch-to <new id>" attaches the new webhook wherever the old one
   is: to the workspace, to the agents named by --agent, and to the events of the
   workspace, which for a moment go to both and come twice, rather than not at all.
   Given again after an interruption, it does the rest. If something uses the old
   one still that cannot be changed here, it says so, with exit code 2. Programs
   that name a webhook by its id, for speech to text, flows or dubbing, are to be
   changed by hand.

3. "rotate <old> --finish" deletes the old webhook, if nothing uses it any more.
   Do this an hour later: events that failed are repeated for about 45 minutes,
   with the old secret. Then take the old secret's line out of the Caddyfile.

With --print-secret, the secret is for an environment variable. Caddy sees it only
after a restart, and is not reachable for a moment: --secret-out is better. Caddy's
user must be able to read the file.
` + webhookArgument + ` From step 2 on, that takes the id.`,
		Example: `  caddy elevenlabs webhooks rotate gateway --secret-out /etc/caddy/elevenlabs-secret-2
  caddy elevenlabs webhooks rotate wh_old --switch-to wh_new --agent agent_0123
  caddy elevenlabs webhooks rotate wh_old --finish --agent agent_0123`,
		Args: cmdutil.OneArgument,
	}
	w := workspaceFlags(cmd, env)
	r := &rotation{w: w, creation: creation{w: w, sink: newSecretFlags(cmd)}}
	flags := cmd.Flags()
	w.agentFlags(cmd, "the old webhook may be attached to the agent of this `id`")
	flags.StringVar(&r.creation.name, "name", "", "the new webhook's `name` (default: the old one's)")
	r.creation.header = w.headerFlags(cmd, " (default: the old one's, if ElevenLabs tells)")
	flags.BoolVar(&r.creation.retries, "retries", false, "have transcripts sent again after failures (default: as the old one, if ElevenLabs tells)")
	flags.StringVar(&r.to, "switch-to", "", "attach the new webhook of this `id` in the place of the old one")
	flags.BoolVar(&r.finish, "finish", false, "delete the old webhook")
	yes := yesFlag(cmd)
	for _, flag := range []string{"secret-out", "print-secret", "name", "header", "header-file", "retries"} {
		cmd.MarkFlagsMutuallyExclusive(flag, "switch-to", "finish")
	}
	cmd.MarkFlagsMutuallyExclusive("secret-out", "print-secret")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := cmdutil.RejectEmpty(cmd, "switch-to", "name", "secret-out"); err != nil {
			return err
		}
		switch {
		case r.finish:
			return r.end(cmd, args[0], *yes)
		case r.to != "":
			return r.change(cmd, args[0])
		}
		return r.begin(cmd, args[0])
	}
	return cmd
}

// rotation is a change of a secret, from one webhook to another.
type rotation struct {
	w        *workspace
	creation creation
	to       string
	finish   bool
}

// begin creates the new webhook, and says what is to be done before it may get
// events.
func (r *rotation) begin(cmd *cobra.Command, argument string) error {
	c := &r.creation
	if err := c.sink.check(); err != nil {
		return err
	}
	var err error
	if c.headers, err = c.header.read(cmd); err != nil {
		return err
	}
	old, err := r.w.open(cmd, argument)
	if err != nil {
		return err
	}
	if old.AuthType != "" && old.AuthType != "hmac" {
		return fmt.Errorf("webhook %s has no signing secret: its kind of authentication is %s", old.ID, old.AuthType)
	}
	unknown := r.like(cmd, old)
	id, err := c.create(cmd)
	if err != nil {
		return err
	}
	if err := runSteps(cmd, id, c.steps(id)); err != nil {
		return err
	}
	return r.printNext(cmd, old, id, unknown)
}

// like takes over from the old webhook what the flags do not say, and returns
// what ElevenLabs does not tell of it.
func (r *rotation) like(cmd *cobra.Command, old elevenlabs.Webhook) (unknown []string) {
	c := &r.creation
	c.url = old.URL
	if c.name == "" {
		c.name = old.Name
	}
	if !cmd.Flags().Changed("retries") && !take(old, "retry_enabled", &c.retries) {
		unknown = append(unknown, "retries")
	}
	if !c.header.given(cmd) && !take(old, "request_headers", &c.headers) {
		unknown = append(unknown, "header")
	}
	return unknown
}

// take reads a setting that the documented list does not have, all of it or
// nothing.
func take[T any](from elevenlabs.Webhook, key string, to *T) bool {
	var value T
	told, found := from.Extra[key]
	if !found || json.Unmarshal(told, &value) != nil {
		return false
	}
	*to = value
	return true
}

// nextSteps are those after the creation, as JSON.
type nextSteps struct {
	Step      string   `json:"step"`   // switch
	Status    string   `json:"status"` // left
	OldID     string   `json:"old_webhook_id"`
	WebhookID string   `json:"webhook_id"`
	NotKnown  []string `json:"not_known,omitempty"`
	Caddyfile []string `json:"caddyfile"`
	Commands  []string `json:"commands"`
}

func (r *rotation) printNext(cmd *cobra.Command, old elevenlabs.Webhook, id string, unknown []string) error {
	const newVariable = "ELEVENLABS_WEBHOOK_SECRET_NEW"
	source, where := "{env."+newVariable+"}", []string{"--secret-env", newVariable}
	if file := r.creation.sink.file; file != "" {
		if absolute, err := filepath.Abs(file); err == nil {
			file = absolute
		}
		source, where = "{file."+file+"}", []string{"--secret-file", file}
		if strings.ContainsAny(source, " \t\"") {
			source = "`" + source + "`"
		}
	}
	agents := make([]string, 0, 2*len(r.w.agents))
	for _, agent := range r.w.agents {
		agents = append(agents, "--agent", agent)
	}
	next := nextSteps{
		Step: "switch", Status: "left", OldID: old.ID, WebhookID: id, NotKnown: unknown,
		Caddyfile: []string{"secret {env.ELEVENLABS_WEBHOOK_SECRET} old", "secret " + source + " new"},
		Commands: []string{
			"caddy elevenlabs send " + shellQuoted(old.URL) + " " + shellQuoted(where[0]) + " " + shellQuoted(where[1]),
			r.w.commandLine(append([]string{"rotate", old.ID, "--switch-to", id}, agents...)...),
			r.w.commandLine(append([]string{"rotate", old.ID, "--finish"}, agents...)...),
		},
	}
	file, checks := r.creation.sink.file, next.Commands
	if file != "" { // Caddy sees a variable only after a restart
		next.Commands = append([]string{"caddy reload --force"}, checks...)
	}
	if cmdutil.WantsJSON(cmd) {
		return cmdutil.PrintJSON(cmd, next)
	}
	text := new(strings.Builder)
	fmt.Fprintf(text, "\n%s goes on as before, and the new webhook gets no events yet.", label(old))
	if len(unknown) > 0 {
		fmt.Fprintf(text, "\nElevenLabs does not tell what the old one has for: %s. If it is needed, see\n`%s`.", strings.Join(unknown, ", "), commandLine("update", id, "--help"))
	}
	fmt.Fprint(text, "\n\nWhat is left, in this order, so that no event is lost:\n\n")
	if file == "" {
		fmt.Fprintf(text, "1. Set %s to the secret, where Caddy runs. Have both\n   secrets in the Caddyfile, the first as it is there now, and restart Caddy:\n", newVariable)
	} else {
		fmt.Fprint(text, "1. Have both secrets in the Caddyfile, the first as it is there now, and reload\n   Caddy, whose user must be able to read the file:\n")
	}
	for _, line := range next.Caddyfile {
		fmt.Fprintf(text, "\t%s\n", line)
	}
	if file != "" {
		fmt.Fprintf(text, "   %s\n", next.Commands[0])
	}
	for i, what := range []string{
		"See that the new secret is accepted:",
		"Let the new webhook take the place of the old one:",
		"An hour later, when nothing signed with the old secret comes any more, delete\n   the old webhook, and take its secret's line out of the Caddyfile:",
	} {
		if i == 1 && len(agents) == 0 && slices.Contains(old.Usage, agentUsage) {
			what += "\n   (agents use it: name each by --agent)"
		}
		fmt.Fprintf(text, "%d. %s\n   %s\n", i+2, what, checks[i])
	}
	_, err := fmt.Fprint(cmd.OutOrStdout(), text)
	return err
}

// agentUsage is ElevenLabs's word for agents that a webhook is attached to.
const agentUsage = "ConvAI Agent Settings"

// change attaches the new webhook wherever the old one is.
func (r *rotation) change(cmd *cobra.Command, argument string) error {
	old, err := r.w.open(cmd, argument)
	if err != nil {
		return err
	}
	to, err := r.w.find(r.to)
	if err != nil {
		return err
	}
	var refused []string
	switch {
	case to.ID == old.ID:
		refused = append(refused, "the old webhook and the new one are the same")
	case to.URL != old.URL:
		refused = append(refused, fmt.Sprintf("%s has another URL, %s", label(to), to.URL))
	default:
		refused = append(disabled(to), unknownEvents(old, to)...)
	}
	if err := refuse(cmd, to.ID, "switch", refused); err != nil {
		return err
	}
	again := []string{"rotate", old.ID, "--switch-to", to.ID}
	for _, agent := range r.w.agents {
		again = append(again, "--agent", agent)
	}
	steps, err := r.steps(cmd, old, to, again)
	if err != nil {
		return err
	}
	if err := runSteps(cmd, to.ID, steps); err != nil {
		return err
	}
	return r.lookForRest(cmd, old.ID, again)
}

// steps attach the new webhook in the place of the old one: first where there is
// but one place, then to events that may go to several, where the old one is
// taken off last.
func (r *rotation) steps(cmd *cobra.Command, old, to elevenlabs.Webhook, again []string) ([]step, error) {
	var steps []step
	for _, s := range slotsOf(true, r.w.agents) {
		settings, err := r.w.read(cmd, s)
		if err != nil {
			return nil, err
		}
		if settings.WebhookID != old.ID {
			continue
		}
		settings.WebhookID = to.ID
		steps = append(steps, step{
			name: "attach", what: fmt.Sprintf("attach it to the %s: %s", s, listed(settings.Events)), again: r.w.commandLine(again...),
			run: func(ctx context.Context) error { return r.w.write(ctx, s, settings) },
		})
	}
	if len(old.Events) > 0 {
		steps = append(steps, r.w.eventsStep(to, appendNew(to.Events, old.Events...), again...))
		off := r.w.eventsStep(old, []string{}, again...)
		off.what = label(old) + ": " + off.what
		steps = append(steps, off)
	}
	return steps, nil
}

// lookForRest finds what uses the old webhook still.
func (r *rotation) lookForRest(cmd *cobra.Command, old string, again []string) error {
	if err := r.w.list(cmd); err != nil {
		return err
	}
	webhook, err := r.w.find(old)
	if err != nil {
		return err
	}
	if unknown := unknownEvents(webhook); unknown != nil {
		line := stepLine{Step: "switch", Status: "left", WebhookID: old, Detail: unknown[0]}
		if err := line.print(cmd); err != nil {
			return err
		}
		return fmt.Errorf("%w: %s", cmdutil.ErrCheckFailed, unknown[0])
	}
	for _, usage := range webhook.Usage {
		line := stepLine{Step: "switch", Status: "left", WebhookID: old, Detail: label(webhook) + " is still in use by " + usage + ": change it in the dashboard"}
		if usage == agentUsage {
			line.Detail = label(webhook) + " is still attached to agents: name each by --agent"
			line.Command = r.w.commandLine(again...) + " --agent …"
		}
		if err := line.print(cmd); err != nil {
			return err
		}
	}
	if len(webhook.Usage) > 0 {
		return fmt.Errorf("%w: webhook %s is still in use by %s", cmdutil.ErrCheckFailed, old, strings.Join(webhook.Usage, ", "))
	}
	line := stepLine{Step: "switch", Status: "done", WebhookID: old, Detail: "nothing uses " + label(webhook) + " any more"}
	if webhook.Usage == nil {
		line.Detail += ", as far as this API key can see"
	}
	return line.print(cmd)
}

// end deletes the old webhook.
func (r *rotation) end(cmd *cobra.Command, argument string, yes bool) error {
	old, err := r.w.open(cmd, argument)
	if err != nil {
		return err
	}
	if err := refuse(cmd, old.ID, "delete", unknownEvents(old)); err != nil {
		return err
	}
	if !slices.ContainsFunc(r.w.webhooks, func(webhook elevenlabs.Webhook) bool {
		return webhook.ID != old.ID && webhook.URL == old.URL
	}) {
		return errors.New("no other webhook has its URL: begin without --finish, or use `delete`")
	}
	if err := r.w.delete(cmd, old, yes); err != nil {
		return err
	}
	if cmdutil.WantsJSON(cmd) {
		return nil
	}
	_, err = fmt.Fprintln(cmd.OutOrStdout(), "\nNow take its secret's line out of the Caddyfile, and reload Caddy.")
	return err
}
