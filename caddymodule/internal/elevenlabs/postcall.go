package elevenlabs

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
)

// PostCall says which webhook gets the events after a call, and in which form. To
// change it, read it, change the value and write it whole, since ElevenLabs does not
// document whether it keeps a key that is not sent.
type PostCall struct {
	// WebhookID is empty if there is no webhook.
	WebhookID string
	// Events are names of facts.PostCallSubscriptions. Nil is not sent.
	Events []string
	// TranscriptFormat is json or opentelemetry. Empty is not sent.
	TranscriptFormat string
	// ExcludeTranscript leaves the transcript out of its event. Nil is not sent.
	ExcludeTranscript *bool
	// Extra has all other keys. The client sends them back unchanged.
	Extra map[string]json.RawMessage

	// siblings are the keys beside an agent's webhooks object. The client sends them
	// back unchanged.
	siblings map[string]json.RawMessage
}

// UnmarshalJSON reads the settings. It reads null as settings without a webhook.
func (p *PostCall) UnmarshalJSON(data []byte) error {
	*p = PostCall{}
	var err error
	p.Extra, err = takeKeys(data, map[string]any{
		"post_call_webhook_id": &p.WebhookID,
		"events":               &p.Events,
		"transcript_format":    &p.TranscriptFormat,
		"exclude_transcript":   &p.ExcludeTranscript,
	})
	return err
}

// MarshalJSON writes the settings as ElevenLabs expects them.
func (p PostCall) MarshalJSON() ([]byte, error) {
	object := map[string]any{"post_call_webhook_id": nil}
	if p.WebhookID != "" {
		object["post_call_webhook_id"] = p.WebhookID
	}
	if p.Events != nil {
		object["events"] = p.Events
	}
	if p.TranscriptFormat != "" {
		object["transcript_format"] = p.TranscriptFormat
	}
	if p.ExcludeTranscript != nil {
		object["exclude_transcript"] = p.ExcludeTranscript
	}
	for key, value := range p.Extra {
		object[key] = value
	}
	return json.Marshal(object)
}

const (
	settingsPath = "/v1/convai/settings"
	agentsPath   = "/v1/convai/agents/"
)

type webhooksObject struct {
	Webhooks PostCall `json:"webhooks"`
}

type agentObject struct {
	PlatformSettings struct {
		WorkspaceOverrides overrides `json:"workspace_overrides"`
	} `json:"platform_settings"`
}

// overrides are an agent's settings that replace those of the workspace.
type overrides struct{ webhooks PostCall }

func (o *overrides) UnmarshalJSON(data []byte) error {
	var webhooks PostCall
	siblings, err := takeKeys(data, map[string]any{"webhooks": &webhooks})
	webhooks.siblings = siblings
	o.webhooks = webhooks
	return err
}

func (o overrides) MarshalJSON() ([]byte, error) {
	object := map[string]any{"webhooks": o.webhooks}
	for key, value := range o.webhooks.siblings {
		object[key] = value
	}
	return json.Marshal(object)
}

// PostCall returns the workspace's settings for events after calls.
func (c *Client) PostCall(ctx context.Context) (settings PostCall, err error) {
	const name = "reading the workspace's ElevenAgents settings"
	var answer struct {
		Webhooks json.RawMessage `json:"webhooks"`
	}
	err = c.do(ctx, operation{name: name, permission: "convai_read", method: http.MethodGet, path: settingsPath}, &answer)
	if err != nil {
		return PostCall{}, err
	}
	if err := json.Unmarshal(answer.Webhooks, &settings); err != nil { // also if the key is absent
		return PostCall{}, fmt.Errorf("%s: %w: webhooks: %w", name, errAnswer, err)
	}
	return settings, nil
}

// UpdatePostCall writes the workspace's settings for events after calls. It sends no
// other settings.
func (c *Client) UpdatePostCall(ctx context.Context, settings PostCall) error {
	return c.do(ctx, operation{
		name: "changing the workspace's ElevenAgents settings", permission: "convai_write",
		method: http.MethodPatch, path: settingsPath, body: webhooksObject{settings},
	}, nil)
}

// AgentPostCall returns an agent's own settings for events after calls, which replace
// those of the workspace.
func (c *Client) AgentPostCall(ctx context.Context, agent string) (PostCall, error) {
	var answer struct {
		ID string `json:"agent_id"`
		agentObject
	}
	name := "reading agent " + agent
	err := c.do(ctx, operation{
		name: name, permission: "convai_read",
		method: http.MethodGet, path: agentsPath + url.PathEscape(agent),
	}, &answer)
	if err == nil && answer.ID == "" {
		err = fmt.Errorf("%s: %w: it has no agent_id", name, errAnswer)
	}
	return answer.PlatformSettings.WorkspaceOverrides.webhooks, err
}

// UpdateAgentPostCall writes an agent's own settings for events after calls. It also
// sends back, unchanged, the agent's other overrides that AgentPostCall read.
func (c *Client) UpdateAgentPostCall(ctx context.Context, agent string, settings PostCall) error {
	var body agentObject
	body.PlatformSettings.WorkspaceOverrides.webhooks = settings
	return c.do(ctx, operation{
		name: "changing agent " + agent, permission: "convai_write",
		method: http.MethodPatch, path: agentsPath + url.PathEscape(agent), body: body,
	}, nil)
}
