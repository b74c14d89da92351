package webhooks

import (
	"strings"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"
)

// workspaceEvents lists the events of the workspace for --help.
var workspaceEvents = strings.Join(facts.WorkspaceSubscriptions, ", ") + "."

var eventsHelp = "Events after a call: " + strings.Join(facts.PostCallSubscriptions, ", ") + `.
Events of the workspace: ` + workspaceEvents + `
The type of an event, such as post_call_audio, stands for the event that brings it.`

const webhookArgument = `
Name the webhook by its id, or by its name or URL if no other webhook has the same.`
