package caddymodule

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/deliveries"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/inbox"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/inspector"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/stored"
)

// inspectorSource has what the inspector's pages show of this process.
type inspectorSource struct{}

// Webhooks implements inspector.Source.
func (inspectorSource) Webhooks() (all []inspector.Webhook) {
	for _, s := range allStatus() {
		all = append(all, inspector.Webhook{Handler: s.Handler, Status: s.Status, Secrets: s.Secrets, ReportOnly: s.reportOnly})
	}
	return all
}

// Inboxes implements inspector.Source.
func (inspectorSource) Inboxes(ctx context.Context) []stored.Inbox { return inboxStatuses(ctx) }

// Queues implements inspector.Source.
func (inspectorSource) Queues() []inbox.Queue { return servedQueues() }

// Hours implements inspector.Source.
func (inspectorSource) Hours() []deliveries.Hour { return deliveryHistory.Hours(time.Now()) }

// Deliveries implements inspector.Source.
func (inspectorSource) Deliveries(filter deliveries.Filter) []deliveries.Delivery {
	last := deliveryLog.Last(filter)
	slices.Reverse(last)
	return last
}

// Events implements inspector.Source.
func (inspectorSource) Events(ctx context.Context, selection inbox.Selection, limit int) ([]stored.Event, error) {
	events, err := listEvents(ctx, selection, limit)
	return events, withStatus(err)
}

// Event implements inspector.Source.
func (inspectorSource) Event(ctx context.Context, seq int64, name string) (stored.Detail, error) {
	detail, err := eventDetail(ctx, seq, name)
	return detail, withStatus(err)
}

// Body implements inspector.Source.
func (inspectorSource) Body(ctx context.Context, seq int64, name string) (inspector.Body, error) {
	body, err := storedBody(ctx, seq, name)
	return body, withStatus(err)
}

// Act implements inspector.Source.
func (inspectorSource) Act(ctx context.Context, name string, q stored.Act, who inspector.Visitor) (int, error) {
	done, err := actOn(ctx, verbs[name], q, actor{user: who.User, remoteAddr: who.RemoteAddr, by: "inspector"})
	return done.Events, withStatus(err)
}

// pageError is an error with the status for its page.
type pageError struct{ caddy.APIError }

// HTTPStatus returns the status.
func (e pageError) HTTPStatus() int { return e.APIError.HTTPStatus }

func withStatus(err error) error {
	if err == nil {
		return nil
	}
	known := caddy.APIError{HTTPStatus: http.StatusInternalServerError, Err: err}
	errors.As(err, &known)
	return pageError{known}
}
