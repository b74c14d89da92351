package setup

import (
	"context"
	"errors"
	"net"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"
)

const usualBackend = local + ":3000"

// question is one that the user is asked at the terminal.
type question struct {
	about    string // one or two sentences above it
	text     string
	usual    string // the answer if nothing is typed; empty if something must be
	hidden   bool   // what is typed is not shown
	optional bool   // nothing may be typed though there is no usual answer
	form     func(string) (string, error)
}

// ask asks until the answer has its form.
func (q question) ask(cmd *cobra.Command) (string, error) {
	cmd.PrintErr("\n", q.about, "\n")
	prompt := q.text
	if q.usual != "" {
		prompt += " [" + q.usual + "]"
	}
	read := cmdutil.Ask
	if q.hidden {
		read = cmdutil.AskHidden
	}
	for {
		answer, err := read(cmd, prompt+":")
		if err != nil {
			return "", err
		}
		if answer == "" {
			if q.optional {
				return "", nil
			}
			answer = q.usual
		}
		formed, err := q.form(answer)
		if err == nil {
			return formed, nil
		}
		if cmd.Context().Err() != nil {
			return "", cmdutil.ErrInterrupted
		}
		cmd.PrintErrln(" ", facts.HideCredentials(err.Error(), "…"))
	}
}

var (
	domainQuestion = question{
		about: "The domain that ElevenLabs calls. Its DNS must point to this server.",
		text:  "Domain, such as hooks.example.com", form: domainForm,
	}
	backendQuestion = question{
		about: "Your application's address, as this server reaches it.",
		text:  "Application", usual: usualBackend,
	}
	inboxQuestion = question{
		about: `An inbox keeps each event on disk until your application has taken it. Without one, an
event that comes while your application is down can be lost. With one, what callers
said stays on this disk for some days, and an event may come twice.`,
		text: "Keep events in an inbox, yes or no", usual: "yes", form: yesForm,
	}
	secretQuestion = question{
		about: `The webhook's signing secret, wsec_…, as ElevenLabs showed it once. What you type is not
shown. If there is no webhook yet, type nothing: init creates one by an API key.`,
		text: "Secret", hidden: true, optional: true, form: secretForm,
	}
	localSecretQuestion = question{
		about: `A signing secret for the try, which begins with wsec_, such as wsec_demo. What you type is
not shown.`,
		text: "Secret", hidden: true, form: secretForm,
	}
	apiKeyQuestion = question{
		about: `An API key of an administrator of the workspace, with write access to webhooks and to
ElevenAgents. It is used now, and is not kept. What you type is not shown.`,
		text: "API key", hidden: true,
	}
	attachQuestion = question{
		about: `Which agents use the webhook? "all" attaches it to the whole workspace. Ids of agents,
with commas between them, attach it to those. Events that come before Caddy runs are
lost, so you can also attach it later.`,
		text: "Agents", usual: "none", form: agentsForm,
	}
)

func yesForm(answer string) (string, error) {
	switch strings.ToLower(answer) {
	case "y", "yes":
		return "yes", nil
	case "n", "no":
		return "no", nil
	}
	return "", errors.New("type yes or no")
}

var agentID = regexp.MustCompile(`^\w+$`)

// agentsForm returns all, ids with commas between them, or nothing.
func agentsForm(answer string) (string, error) {
	if answer == "none" {
		return "", nil
	}
	ids := strings.FieldsFunc(answer, func(c rune) bool { return c == ',' || c == ' ' })
	for _, id := range ids {
		if !agentID.MatchString(id) {
			return "", errors.New("type all, none, or ids of agents such as agent_0123")
		}
	}
	return strings.Join(ids, ","), nil
}

// warnIfSilent says so if nothing listens at the application's address.
func warnIfSilent(cmd *cobra.Command, backend string) error {
	network, address := dialTarget(backend)
	return cmdutil.Wait(cmd, "looking for the application", func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		connection, err := new(net.Dialer).DialContext(ctx, network, address)
		if err == nil {
			return connection.Close()
		}
		cmd.PrintErrln("  nothing listens at", backend, "yet: start your application before the first event")
		return nil
	})
}
