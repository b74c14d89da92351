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
	CreatedAt      int64  // Unix time
	IsDisabled     bool   // by a person
	IsAutoDisabled bool   // by ElevenLabs, after failures
	// Usage has what is configured to call the webhook, such as "ConvAI Settings".
	// It is nil if ElevenLabs does not tell: it tells only administrators.
	Usage []string
	// Events has the events of the workspace that the webhook gets. It is nil if
	// ElevenLabs does not tell, which need not mean that there are none: it tells
	// them with the usages only, by the official SDK's comments.
	Events []string
	// LastFailureCode is the last status but 200 that the URL answered; nil if none.
	LastFailureCode *int
	// LastFailure is the Unix time of it.
	LastFailure *int64
	// Extra has all other keys of the answer.
	Extra map[string]json.RawMessage
}

// UnmarshalJSON reads a webhook of a list.
func (w *Webhook) UnmarshalJSON(data []byte) error {
	*w = Webhook{}
	var usage []struct {
		Type string `json:"usage_type"`
	}
	var secret any // is not listed, and would not be for Extra, which is printed
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
		return errors.New("there is a webhook without webhook_id")
	}
	if usage != nil {
		w.Usage = []string{}
	}
	for _, u := range usage {
		w.Usage = append(w.Usage, u.Type)
	}
	if len(w.Events) == 0 {
		w.Events = nil
		if w.Usage != nil && !slices.ContainsFunc(w.Usage, mayBeOfEvents) {
			w.Events = []string{}
		}
	}
	return nil
}

// mayBeOfEvents reports whether a usage may come from events of the workspace.
func mayBeOfEvents(usage string) bool {
	return !slices.Contains([]string{"ConvAI Settings", "ConvAI Agent Settings", "ConvAI Alerting", "Dubbing"}, usage)
}

// takeKeys reads the values of an object's known keys, and returns those of the
// others.
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

// Webhooks lists all webhooks of the workspace.
func (c *Client) Webhooks(ctx context.Context) ([]Webhook, error) {
	list := func(query string) ([]Webhook, error) {
		var answer struct {
			Webhooks []Webhook `json:"webhooks"`
		}
		const name = "listing webhooks"
		err := c.do(ctx, operation{name: name, method: http.MethodGet, path: webhooksPath + query}, &answer)
		if err == nil && answer.Webhooks == nil {
			err = fmt.Errorf("%s: %w: it has no list", name, errAnswer)
		}
		return answer.Webhooks, err
	}
	webhooks, err := list("?include_usages=true")
	if refused, ok := errors.AsType[*Error](err); !ok || refused.Status != http.StatusUnauthorized && refused.Status != http.StatusForbidden {
		return webhooks, err
	}
	// Usages are for administrators. It is not documented whether others are
	// refused or told less.
	if webhooks, without := list(""); without == nil {
		return webhooks, nil
	}
	return nil, err
}

// WebhookSettings are those that a webhook is created with.
type WebhookSettings struct {
	Name string `json:"name"`
	URL  string `json:"webhook_url"`
	// RequestHeaders go with each delivery.
	RequestHeaders map[string]string `json:"request_headers,omitzero"`
}

// CreateWebhook creates a webhook that signs its deliveries, and returns its id
// and its signing secret, which ElevenLabs never shows again. Retries and events
// are set by UpdateWebhook.
//
// With an error that is ErrUnknown the webhook may exist all the same. Its id is
// returned if the answer has it.
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
		name: name, permission: "webhooks_write", once: true,
		method: http.MethodPost, path: webhooksPath, body: map[string]any{"settings": hmac{"hmac", settings}},
	}, &answer)
	if err == nil && (answer.ID == "" || answer.Secret == "") {
		err = fmt.Errorf("%s: the answer has no id, or no secret: %w", name, ErrUnknown)
	}
	return answer.ID, answer.Secret, err
}

// WebhookUpdate are a webhook's new settings. ElevenLabs demands the name and
// whether it is disabled every time; what else is nil stays as it is.
type WebhookUpdate struct {
	Name         string `json:"name"`
	IsDisabled   bool   `json:"is_disabled"`
	RetryEnabled *bool  `json:"retry_enabled,omitzero"`
	// Events are all events of the workspace that the webhook is to get.
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

// DeleteWebhook deletes a webhook. ElevenLabs refuses while something uses it.
func (c *Client) DeleteWebhook(ctx context.Context, id string) error {
	return c.do(ctx, operation{
		name: "deleting webhook " + id, permission: "webhooks_write",
		method: http.MethodDelete, path: webhooksPath + "/" + url.PathEscape(id),
	}, nil)
}
