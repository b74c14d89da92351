package caddymodule

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/deliveries"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/inbox"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/spool"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/stored"
)

// Inbox stores verified events in a database before ElevenLabs gets its 200. It
// delivers them in the background, again and again, until the backend takes them.
//
// Delivery is at least once. A crash between the backend's answer and the note of it
// delivers again, so the backend must recognize repeats by `Idempotency-Key`.
//
// If the database cannot store an event, the handler forwards the event at once, as
// without an inbox.
type Inbox struct {
	// The name of the queue: 1 to 64 of a to z, 0 to 9, `_` and `-`. Handlers of one
	// name and database share a queue, and must deliver alike. Default: `default`.
	Name string `json:"name,omitempty"`

	// The database: the path of a SQLite file, whose folder must exist, or the URL of a
	// Postgres, `postgres://user:password@host/database`. Placeholders such as
	// `{env.NAME}` or `{file./path}` are resolved when Caddy loads the configuration.
	// Only one process can have a SQLite file open. Several can share a Postgres.
	// Default: `elevenlabs/inbox.db` in Caddy's data folder.
	Database string `json:"database,omitempty"`

	InboxDelivery

	// How long events stay in the database.
	Retention InboxRetention `json:"retention,omitzero"`

	// How many bytes the bodies in the inbox may hold. When four fifths are used, the
	// bodies of delivered and discarded events go, oldest first. Default: 10737418240 (10 GiB).
	Limit int64 `json:"limit,omitempty"`

	// Several backends that get the events, each by its own choice and from its own
	// queue. Default: none; the handler's `reverse_proxy` gets all events.
	Destinations []*Destination `json:"destinations,omitempty"`
}

// InboxDelivery is how events are delivered. What a destination does not set is as the
// inbox has it.
type InboxDelivery struct {
	// How many deliveries run at once, in each Caddy. Default: 16.
	Concurrency int `json:"concurrency,omitempty"`

	// How long one attempt may take, and one second more for each MiB of the body.
	// Default: 1m.
	Timeout caddy.Duration `json:"timeout,omitempty"`

	// The pauses after failed attempts. The last one repeats. Each is varied by up to a
	// tenth. Default: 5s 30s 2m 10m 30m 1h.
	Retry []caddy.Duration `json:"retry,omitempty"`

	// How long after its receipt an event is given up, and after it was sent again by
	// hand. It is dead then, and stays for a while. Default: 72h.
	GiveUp caddy.Duration `json:"give_up,omitempty"`
}

// InboxRetention is how long events stay in the database after they are done.
type InboxRetention struct {
	// How long the body of an event stays that is delivered, or that an operator discarded.
	// 0 deletes it within a minute. The
	// event itself stays for at least an hour and as long as its signature is in time,
	// so that a repeat is recognized. Default: 72h.
	Delivered *caddy.Duration `json:"delivered,omitempty"`

	// How long a dead event stays. Default: 720h.
	Dead caddy.Duration `json:"dead,omitempty"`
}

// headerInbox is the response header that says what the inbox did.
var headerInbox = deliveries.HeaderName("inbox")

const (
	// storeTimeout is how long the database may take to store an event, and
	// storeTimeoutPerMiB more for each MiB. Then the event is forwarded at once.
	storeTimeout       = 5 * time.Second
	storeTimeoutPerMiB = time.Second
	// minRemembered is how long a delivered event is at least remembered.
	minRemembered = time.Hour
)

// inboxState is what a handler has of its inbox at run time.
type inboxState struct {
	database     *database
	destinations []*destination
	metrics      inboxMetrics
}

// provisionInbox finds the queues of the handler's inbox. It opens nothing: a
// configuration that is only validated, or rejected, must leave no trace.
func (h *Handler) provisionInbox(ctx caddy.Context) error {
	if err := h.checkProxies(); err != nil {
		return err
	}
	destinations, err := h.newDestinations(ctx)
	if err != nil {
		return err
	}
	location, err := h.Inbox.location(h.logger)
	if err != nil {
		return fmt.Errorf("database: %w", err)
	}
	app, err := ctx.App("elevenlabs")
	if err != nil {
		return err
	}
	return app.(*App).add(h, location, destinations)
}

var errInboxWithoutProxy = errors.New("it needs a reverse_proxy inside elevenlabs_webhook: handlers that follow in the route cannot deliver later")

// inboxOptions returns how the package inbox runs a queue that delivers so.
func (h *Handler) inboxOptions(by InboxDelivery) inbox.Options {
	i := h.Inbox
	retry := make([]time.Duration, len(by.Retry))
	for n, pause := range by.Retry {
		retry[n] = time.Duration(pause)
	}
	delivered := time.Duration(*i.Retention.Delivered)
	return inbox.Options{
		Concurrency: by.Concurrency, Timeout: time.Duration(by.Timeout), Retry: retry, GiveUp: time.Duration(by.GiveUp),
		Retention: inbox.Retention{
			Delivered: delivered,
			Remember:  max(delivered, minRemembered, time.Duration(h.Tolerance.Past+h.Tolerance.Future)),
			Dead:      time.Duration(i.Retention.Dead),
			Limit:     i.Limit,
		},
	}
}

// keep stores a verified event for the destinations that want it, and answers 200. It
// reports whether the request is done. If not, the event must be forwarded at once.
func (h *Handler) keep(w http.ResponseWriter, r *http.Request, e *event, body *spool.Body) (done bool, err error) {
	to := h.inbox.wanting(r, e)
	if len(to) == 0 {
		h.ignore(w, e, "no destination takes it")
		return true, nil
	}
	loops, unsure := h.comesBack(r, e)
	if loops {
		return true, h.rejectLoop(e)
	}
	start := time.Now()
	repeat, err := h.storeEvent(r, e, body, to)
	h.inbox.metrics.store.Observe(time.Since(start).Seconds())
	if err != nil {
		e.Inbox = deliveries.InboxBypassed
		reason := bypassReason(err)
		h.inbox.metrics.bypassed.WithLabelValues(reason).Inc()
		for _, d := range to {
			d.queue.bypassed.Add(1)
		}
		h.logger.Error("the inbox could not store an event, which is forwarded at once",
			zap.String("inbox", h.Inbox.Name), zap.String("reason", reason), zap.String("event_id", e.EventID),
			zap.String("event_type", e.EventType), zap.String("conversation_id", e.ConversationID), zap.Int64("bytes", e.Size), zap.Error(err))
		w.Header().Set(headerInbox, e.Inbox)
		if len(h.Inbox.Destinations) == 0 {
			return false, nil
		}
		return true, h.forwardToAll(w, r, e, body, to)
	}
	if repeat && unsure != nil { // it is stored, and a 200 could count as that of the backend
		return true, h.rejectLoop(e)
	}
	e.Result, e.Reason, e.Inbox = deliveries.Stored, "", deliveries.InboxStored
	if repeat {
		e.Inbox = deliveries.InboxRepeat
	}
	h.inbox.metrics.events.WithLabelValues(e.Inbox, typeLabel(e)).Inc()

	w.Header().Set(headerInbox, e.Inbox)
	h.answerOK(w, r, e, "the event is stored")
	return true, nil
}

// answerOK answers 200 for an event that is safe.
func (h *Handler) answerOK(w http.ResponseWriter, r *http.Request, e *event, what string) {
	answer := newAnswerWriter(w, r)
	answer.WriteHeader(http.StatusOK)
	answer.end(false)
	if failure := answer.failure(nil); failure != nil { // ElevenLabs does not know
		e.Result, e.Reason = deliveries.Failed, failure.Code
		h.logger.Warn("client left before it had the answer; "+what, zap.Object("event", e))
	}
}

// forwardToAll forwards an event that could not be stored to its destinations at once. Only
// if all of them take it, the answer is 200. Otherwise the client may send it again, and
// those that took it know it by its Idempotency-Key.
func (h *Handler) forwardToAll(w http.ResponseWriter, r *http.Request, e *event, body *spool.Body, to []*destination) error {
	row, err := toRow(r, e)
	if err != nil {
		return caddyhttp.Error(http.StatusInternalServerError, err)
	}
	ctx, delivered := detach(r.Context(), disconnectTimeout)
	defer delivered()
	start := time.Now()
	outcomes := make([]inbox.Outcome, len(to))
	var all sync.WaitGroup
	for i, d := range to {
		all.Go(func() {
			c := &inbox.Claim{Event: row, Size: e.Size, Attempt: 1, ReceivedAt: e.Received}
			c.Queue = d.queue.Queue
			limit, cancel := context.WithTimeout(ctx, d.options.AttemptTimeout(e.Size))
			defer cancel()
			outcomes[i] = d.deliverStored(limit, c, body)
		})
	}
	all.Wait()
	e.UpstreamSeconds, e.Attempts = time.Since(start).Seconds(), 1
	var missing []string
	for i, o := range outcomes {
		if o.Taken {
			continue
		}
		if missing = append(missing, to[i].queue.Destination); len(missing) == 1 {
			e.Reason, e.UpstreamStatus = o.Reason, o.Status
		}
	}
	if len(missing) == 0 {
		e.Result, e.Reason, e.UpstreamStatus = deliveries.Accepted, "", outcomes[0].Status
		h.answerOK(w, r, e, "all destinations have the event")
		return nil
	}
	e.Result = deliveries.Failed
	h.logger.Error("event not delivered", zap.Object("event", e), zap.Int64("bytes", e.Size), zap.Strings("destinations", missing))
	return caddyhttp.Error(http.StatusBadGateway, fmt.Errorf("%d of %d destinations did not take the event", len(missing), len(to)))
}

// comesBack reports whether an event comes from a handler such as ours, and the inbox is
// delivering it at this moment: its backend has led to here. An answer of 200 would count as
// that of the backend, and the event would be lost. Where the sender is another inbox, which
// tries again, it delivers its copy later.
func (h *Handler) comesBack(r *http.Request, e *event) (bool, error) {
	if !marksOf(r.Context()).forwarded {
		return false, nil
	}
	ctx, cancel := context.WithTimeout(r.Context(), storeTimeout)
	defer cancel()
	store, err := h.inbox.database.open(ctx)
	if err != nil {
		return false, err
	}
	under, err := store.List(ctx, inbox.Selection{Inbox: h.Inbox.Name, EventID: e.EventID, State: inbox.Delivering}, 1)
	return len(under) > 0, err
}

// rejectLoop keeps an event that came back from the inbox's own backend.
func (h *Handler) rejectLoop(e *event) error {
	e.Result, e.Reason, e.Counts = deliveries.Failed, facts.Loop.Code, false
	h.logger.Error("the backend of the inbox leads back to the inbox, which keeps the event", zap.String("inbox", h.Inbox.Name), zap.Object("event", e))
	return caddyhttp.Error(facts.Loop.Status, errors.New(facts.Loop.Sentence))
}

// storeEvent stores an event, also if its client leaves meanwhile.
func (h *Handler) storeEvent(r *http.Request, e *event, body *spool.Body, to []*destination) (repeat bool, err error) {
	row, err := toRow(r, e)
	if err != nil {
		return false, err
	}
	row.Queue = to[0].queue.Queue
	others := make([]string, len(to)-1)
	for i, d := range to[1:] {
		others[i] = d.queue.Destination
	}
	timeout := storeTimeout + time.Duration(e.Size>>20)*storeTimeoutPerMiB
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), timeout)
	defer cancel()
	store, err := h.inbox.database.open(ctx)
	if err != nil {
		return false, err
	}
	return store.Accept(ctx, row, body, h.Inbox.Limit, others...)
}

// toRow returns what is stored of an event beside its queue and its body.
func toRow(r *http.Request, e *event) (row inbox.Event, err error) {
	request, err := json.Marshal(toStore(r))
	if err != nil {
		return row, err
	}
	fields, err := json.Marshal(fieldsToStore(e)) //nolint:gosec // its field secret has the name of a secret
	if err != nil {
		return row, err
	}
	return inbox.Event{
		ID: e.EventID, Type: e.EventType, ConversationID: e.ConversationID, AgentID: e.AgentID, RequestID: e.RequestID, Webhook: e.Secret,
		Fields: string(fields), Request: string(request),
	}, nil
}

// The reasons for which an event bypasses the inbox.
const (
	bypassFull    = "full"    // the limit is reached
	bypassDisk    = "disk"    // the disk is full
	bypassTimeout = "timeout" // the database is slow, locked or frozen
	bypassError   = "error"   // anything else, such as a database that is gone
)

var bypassReasons = []string{bypassFull, bypassDisk, bypassTimeout, bypassError}

func bypassReason(err error) string {
	switch {
	case errors.Is(err, inbox.ErrFull):
		return bypassFull
	case errors.Is(err, inbox.ErrDiskFull):
		return bypassDisk
	case errors.Is(err, context.DeadlineExceeded):
		return bypassTimeout
	}
	return bypassError
}

func fieldsToStore(e *event) stored.Fields {
	return stored.Fields{
		EventTimestamp: e.EventTimestamp, VoiceID: e.VoiceID,
		SignedAt: e.SignedAt, SecretName: e.SecretName, Handler: e.Handler, Test: e.Test, Backfill: e.Backfill,
	}
}

// restore fills in an event that was stored.
func (e *event) restore(f stored.Fields, c *inbox.Claim) {
	e.EventType, e.ConversationID, e.AgentID, e.RequestID, e.Secret = c.Type, c.ConversationID, c.AgentID, c.RequestID, c.Webhook
	e.EventID, e.Size, e.Received, e.Attempt = c.ID, c.Size, c.ReceivedAt, c.Attempt
	f.Restore(&e.Event)
}
