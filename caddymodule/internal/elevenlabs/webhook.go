package elevenlabs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
)

const webhooksPath = "/v1/workspace/webhooks"

// Webhook is a webhook of the workspace, as the API lists it.
type Webhook struct {
	ID             string
	Name           string
	URL            string
	AuthType       string // hmac, oauth2 or mtls
	CreatedAt      int64  // Unix seconds
	IsDisabled     bool   // a person disabled it
	IsAutoDisabled bool   // ElevenLabs disabled it after failures
	// Usage names the products that call the webhook, such as "ConvAI Settings". It
	// is nil if unknown: only an administrator's API key sees it.
	Usage []string
	// Events are the workspace's events that the webhook gets, with names of
	// facts.WorkspaceSubscriptions. It is nil if unknown: ElevenLabs lists them only
	// with the usages, according to the official SDK's comments.
	Events []string
	// LastFailureCode is the last status other than 200 that the URL answered, or
	// nil if there was none.
	LastFailureCode *int
	// LastFailure is the time of that answer, in Unix seconds.
	LastFailure *int64
	// Extra has all other keys of the answer, except a secret.
	Extra map[string]json.RawMessage
}

// UnmarshalJSON reads a webhook of a list.
func (w *Webhook) UnmarshalJSON(data []byte) error {
	*w = Webhook{}
	var usage []struct {
		Type string `json:"usage_type"`
	}
	var secret any // kept out of Extra, which the commands print
	var err error
	w.Extra, err = takeKeys(data, map[string]any{
		"webhook_id":                     &w.ID,
		"name":                           &w.Name,
		"webhook_url":                    &w.URL,
		"auth_type":                      &w.AuthType,
		"created_at_unix":                &w.CreatedAt,
		"is_disabled":                    &w.IsDisabled,
		"is_auto_disabled":               &w.IsAutoDisabled,
		"usage":                          &usage,
		"events":                         &w.Events,
		"most_recent_failure_error_code": &w.LastFailureCode,
		"most_recent_failure_timestamp":  &w.LastFailure,
		"webhook_secret":                 &secret,
	})
	if err != nil {
		return err
	}
	if w.ID == "" {
		return errors.New("a webhook has no webhook_id")
	}
	if usage != nil {
		w.Usage = []string{}
	}
	for _, u := range usage {
		w.Usage = append(w.Usage, u.Type)
	}
	if len(w.Events) == 0 {
		w.Events = nil
		if w.Usage != nil && !slices.ContainsFunc(w.Usage, mayComeFromEvents) {
			w.Events = []string{}
		}
	}
	return nil
}

// mayComeFromEvents reports whether a usage may come from events of the workspace.
func mayComeFromEvents(usage string) bool {
	return !slices.Contains([]string{"ConvAI Settings", "ConvAI Agent Settings", "ConvAI Alerting", "Dubbing"}, usage)
}

// takeKeys reads an object. It decodes the values of the known keys into their
// targets, and returns the other keys with their values.
func takeKeys(data []byte, known map[string]any) (others map[string]json.RawMessage, err error) {
	if err := json.Unmarshal(data, &others); err != nil {
		return nil, err
	}
	for key, target := range known {
		if value, ok := others[key]; ok {
			if err := json.Unmarshal(value, target); err != nil {
				return nil, fmt.Errorf("%s: %w", key, err)
			}
		}
		delete(others, key)
	}
	return others, nil
}

// Webhooks returns all webhooks of the workspace. If the API key may not see usages,
// it returns the webhooks without them.
func (c *Client) Webhooks(ctx context.Context) ([]Webhook, error) {
	list := func(query string) ([]Webhook, error) {
		var answer struct {
			Webhooks []Webhook `json:"webhooks"`
		}
		const name = "listing webhooks"
		err := c.do(ctx, operation{name: name, method: http.MethodGet, path: webhooksPath + query}, &answer)
		if err == nil && answer.Webhooks == nil {
			err = fmt.Errorf("%s: %w: it has no key webhooks", name, errAnswer)
		}
		return answer.Webhooks, err
	}
	webhooks, err := list("?include_usages=true")
	if rejected, ok := errors.AsType[*Error](err); !ok || rejected.Status != http.StatusUnauthorized && rejected.Status != http.StatusForbidden {
		return webhooks, err
	}
	// Only administrators see usages. ElevenLabs does not document whether it rejects
	// the request of another user, or leaves the usages out.
	if webhooks, without := list(""); without == nil {
		return webhooks, nil
	}
	return nil, err
}

// WebhookSettings are the settings of a new webhook.
type WebhookSettings struct {
	Name string `json:"name"`
	URL  string `json:"webhook_url"`
	// RequestHeaders are headers that ElevenLabs adds to each delivery.
	RequestHeaders map[string]string `json:"request_headers,omitzero"`
}

// CreateWebhook creates a webhook that signs its deliveries. It returns the webhook's
// id and its signing secret, which ElevenLabs never shows again. UpdateWebhook sets
// its retries and events.
//
// If the error wraps ErrUnknown, the webhook may exist. CreateWebhook then returns
// its id if the answer has it.
func (c *Client) CreateWebhook(ctx context.Context, settings WebhookSettings) (id, secret string, err error) {
	type hmac struct {
		AuthType string `json:"auth_type"`
		WebhookSettings
	}
	var answer struct {
		ID     string `json:"webhook_id"`
		Secret string `json:"webhook_secret"`
	}
	const name = "creating a webhook"
	err = c.do(ctx, operation{
		name: name, permission: "webhooks_write", notIdempotent: true,
		method: http.MethodPost, path: webhooksPath, body: map[string]any{"settings": hmac{"hmac", settings}},
	}, &answer)
	if err == nil && (answer.ID == "" || answer.Secret == "") {
		err = fmt.Errorf("%s: the answer has no webhook_id or no webhook_secret: %w", name, ErrUnknown)
	}
	return answer.ID, answer.Secret, err
}

// WebhookUpdate is a change of a webhook's settings. ElevenLabs requires Name and
// IsDisabled in every update. A field that is nil leaves its setting unchanged.
type WebhookUpdate struct {
	Name         string `json:"name"`
	IsDisabled   bool   `json:"is_disabled"`
	RetryEnabled *bool  `json:"retry_enabled,omitzero"`
	// Events replace all events of the workspace that the webhook gets.
	Events         []string          `json:"events,omitzero"`
	RequestHeaders map[string]string `json:"request_headers,omitzero"`
}

// UpdateWebhook changes a webhook's settings.
func (c *Client) UpdateWebhook(ctx context.Context, id string, update WebhookUpdate) error {
	return c.do(ctx, operation{
		name: "changing webhook " + id, permission: "webhooks_write",
		method: http.MethodPatch, path: webhooksPath + "/" + url.PathEscape(id), body: update,
	}, nil)
}

// DeleteWebhook deletes a webhook. ElevenLabs rejects this while a product uses the
// webhook.
func (c *Client) DeleteWebhook(ctx context.Context, id string) error {
	return c.do(ctx, operation{
		name: "deleting webhook " + id, permission: "webhooks_write",
		method: http.MethodDelete, path: webhooksPath + "/" + url.PathEscape(id),
	}, nil)
}
