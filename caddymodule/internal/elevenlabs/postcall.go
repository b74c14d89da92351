package elevenlabs

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
)

// PostCall says which webhook gets the events after a call, and how. To change
// it, read it, change it, and write it: it is not documented whether ElevenLabs
// keeps what is not sent.
type PostCall struct {
	// WebhookID is empty if there is no webhook.
	WebhookID string
	// Events, TranscriptFormat and ExcludeTranscript are not sent if they are nil
	// or empty.
	Events            []string
	TranscriptFormat  string // json or opentelemetry
	ExcludeTranscript *bool
	// Extra has all other keys, which go back as they came.
	Extra map[string]json.RawMessage

	// beside has what an agent's settings stand next to, which goes back likewise.
	beside map[string]json.RawMessage
}

// UnmarshalJSON reads the object, and null as one without a webhook.
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

// MarshalJSON writes the object as it is sent.
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

// overrides are what an agent has in place of the workspace's settings.
type overrides struct{ webhooks PostCall }

func (o *overrides) UnmarshalJSON(data []byte) error {
	var webhooks PostCall
	beside, err := takeKeys(data, map[string]any{"webhooks": &webhooks})
	webhooks.beside = beside
	o.webhooks = webhooks
	return err
}

func (o overrides) MarshalJSON() ([]byte, error) {
	object := map[string]any{"webhooks": o.webhooks}
	for key, value := range o.webhooks.beside {
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
	if err := json.Unmarshal(answer.Webhooks, &settings); err != nil { // also if there are none, which is not null
		return PostCall{}, fmt.Errorf("%s: %w: webhooks: %w", name, errAnswer, err)
	}
	return settings, nil
}

// UpdatePostCall writes the workspace's settings for events after calls, and no
// others.
func (c *Client) UpdatePostCall(ctx context.Context, settings PostCall) error {
	return c.do(ctx, operation{
		name: "changing the workspace's ElevenAgents settings", permission: "convai_write",
		method: http.MethodPatch, path: settingsPath, body: webhooksObject{settings},
	}, nil)
}

// AgentPostCall returns an agent's own settings for events after calls, which
// stand in place of the workspace's.
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

// UpdateAgentPostCall writes an agent's own settings for events after calls, and
// nothing else of the agent. What stands beside them goes along as it was read.
func (c *Client) UpdateAgentPostCall(ctx context.Context, agent string, settings PostCall) error {
	var body agentObject
	body.PlatformSettings.WorkspaceOverrides.webhooks = settings
	return c.do(ctx, operation{
		name: "changing agent " + agent, permission: "convai_write",
		method: http.MethodPatch, path: agentsPath + url.PathEscape(agent), body: body,
	}, nil)
}
