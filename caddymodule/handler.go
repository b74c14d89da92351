package caddymodule

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/backfill"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/deliveries"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/spool"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/signature"
)

func init() {
	caddy.RegisterModule(Handler{})
}

// Handler forwards only webhooks that ElevenLabs really sent. It describes them to
// the next handler in request headers.
//
// The handler reads the whole body and verifies its `ElevenLabs-Signature`. It rejects
// a request that is not genuine with an error, so that error routes apply. The
// reason is one word, in the placeholder `{http.elevenlabs.rejection}` and in the
// response header `X-ElevenLabs-Rejection`.
//
// The handler forwards a genuine event with the very same bytes, a `Content-Length`,
// and the headers `X-ElevenLabs-Verified`, `X-ElevenLabs-Event-Type`,
// `X-ElevenLabs-Event-Id` and others. If the client sent any of these, the handler
// deletes them first. Each header has a placeholder, from
// `{http.elevenlabs.verified}` to `{http.elevenlabs.voice_id}`. All placeholders are
// empty until the request is verified.
//
// Any 2xx of the backend becomes a 200, since ElevenLabs counts nothing else as
// success. Every other answer passes unchanged.
//
// The operator sees what became of each request
//
//   - in metrics with the prefix `caddy_elevenlabs_webhook_`,
//   - in the object `elevenlabs` of the access log,
//   - on the admin endpoint, at `/elevenlabs/status` and `/elevenlabs/deliveries`,
//   - and, when deliveries fail in a row, in the log and in Caddy's events
//     `elevenlabs_webhook_failing` and `elevenlabs_webhook_recovered`.
//
// With `reverse_proxy` set, the handler forwards verified events to that proxy, and
// there is no other way to it. Without it, the handler is a middleware: the handlers
// that follow in the same route run only for verified events.
type Handler struct {
	// The signing secrets of the webhooks. A request is accepted if any of them
	// signed it. Set more than one to rotate a secret, or to serve several webhooks
	// at one URL. Required.
	Secrets []Secret `json:"secrets,omitempty"`

	// How far the time of signing may differ from this machine's clock.
	Tolerance Tolerance `json:"tolerance,omitzero"`

	// The size of the largest body, in bytes. A larger one is rejected with 413, at
	// the byte that crosses the limit. ElevenLabs documents no size. Audio takes
	// about 1.2 MiB a minute. Default: 104857600 (100 MiB).
	MaxSize int64 `json:"max_size,omitempty"`

	// The size up to which a body is held in memory, in bytes. A larger one goes to
	// a temporary file. Must be at most max_size.
	// Default: 1048576 (1 MiB), or max_size if that is less.
	MemoryBuffer int64 `json:"memory_buffer,omitempty"`

	// How much memory all bodies of this process may hold together, in bytes. A body
	// beyond it goes to a temporary file early, and takes 4096 bytes of memory only.
	// All handlers of the process share one count, and each compares it with its own
	// limit. Default: an eighth of Go's memory limit, at most 134217728 (128 MiB).
	// Go's limit is `GOMEMLIMIT`. If that is not set, Caddy sets it to 90 % of the
	// memory of its cgroup or, without one, of the machine.
	MemoryLimit int64 `json:"memory_limit,omitempty"`

	// The folder for temporary files. Only Caddy's user can read them, and where the
	// system allows it they have no name. Default: the system's folder, which is
	// usually that in the variable `TMPDIR`, or `/tmp`.
	SpoolDir string `json:"spool_dir,omitempty"`

	// How much all bodies of this process may hold together, in memory and in
	// temporary files, in bytes. A body beyond it is rejected with 503. All handlers
	// of the process share one count, also over a reload, and each compares it with
	// its own limit. Default: 1073741824 (1 GiB).
	SpoolLimit int64 `json:"spool_limit,omitempty"`

	// How long the whole body may take to arrive after the headers. A later one is
	// rejected with 408. It also bounds how long the server drains the body of a
	// request rejected by its headers. Default: 1m.
	ReadTimeout caddy.Duration `json:"read_timeout,omitempty"`

	// The client addresses to accept: CIDRs or single addresses, `elevenlabs` for
	// all published addresses of ElevenLabs, or a region: `us`, `eu`, `asia`,
	// `eu_residency`, `india_residency`, `singapore_residency`. Caddy determines the
	// client's address, so behind a proxy set `trusted_proxies` and
	// `trusted_proxies_strict`. Default: any.
	SourceIPs []string `json:"source_ips,omitempty"`

	// The event types to forward, such as `post_call_audio`. The name of a
	// subscription, such as `audio`, stands for all its types. A verified event of
	// another type, or of a type that cannot be read, is answered with 200 and not
	// forwarded. Default: all.
	Events []string `json:"events,omitempty"`

	// How often an event is forwarded again when the connection to the backend fails
	// before it answers.
	Retries Retries `json:"retries,omitzero"`

	// Sign each verified event for the backend by
	// [Standard Webhooks](https://www.standardwebhooks.com), in the headers
	// `webhook-id`, `webhook-timestamp` and `webhook-signature`. A value is a key of
	// your own: `whsec_` and base64 of 24 to 64 random bytes. Use placeholders, as for
	// the secrets. With several keys there is a signature of each, so that a key can
	// be changed. Headers of these names that a client sends are deleted.
	Sign []string `json:"sign,omitempty"`

	// Accept requests over plain HTTP. For local development only: the signature
	// protects the event from change, and nothing protects it from being read.
	AllowHTTP bool `json:"allow_http,omitempty"`

	// Forward requests that fail verification too, with
	// `X-ElevenLabs-Verified: false` and the reason in `X-ElevenLabs-Rejection`. For
	// switching over a live endpoint whose backend still verifies by itself.
	// Requests that are not POST, or whose body is too large, incomplete, late or
	// cannot be stored, are still rejected.
	ReportOnly bool `json:"report_only,omitempty"`

	// Stores verified events in a database, and answers 200 then. It delivers them in
	// the background, again and again, until the backend takes them. It needs
	// `reverse_proxy`. Default: none; events are forwarded at once.
	Inbox *Inbox `json:"inbox,omitempty"`

	// The configuration of a
	// [`reverse_proxy`](/docs/modules/http.handlers.reverse_proxy) handler that
	// verified events are forwarded to, without the `handler` key.
	ReverseProxyRaw json.RawMessage `json:"reverse_proxy,omitempty"`

	logger *zap.Logger
	// The loggers for what a flood would log: of requests from ElevenLabs' addresses,
	// and of the others.
	sampledElevenLabs, sampledOthers *zap.Logger
	verifier                         *signature.Verifier
	// secretNames are the names of the secrets for the operator.
	secretNames []string
	sources     []netip.Prefix
	// backfillKeys are those of the secrets, in their order.
	backfillKeys [][]byte
	backend
	eventTypes []string         // those that Events names
	now        func() time.Time // nil except in tests
	group      *group
	notifier   *notifier // nil if no app takes events

	maxBodies int64       // of all handlers together
	inbox     *inboxState // nil without an inbox
}

// Tolerance is how far the time of signing may differ from this machine's clock.
type Tolerance struct {
	// The largest age of a signature. ElevenLabs retries up to about 40 minutes
	// after the first attempt, and does not document whether it signs retries anew.
	// The official SDKs allow 30 minutes. Default: 30m.
	Past caddy.Duration `json:"past,omitempty"`

	// How far ahead of this machine's clock a signature may be. Default: 5m.
	Future caddy.Duration `json:"future,omitempty"`
}

// Retries is how events are forwarded again when the connection to the backend
// failed before an answer: it was refused, reset, or closed when it was reused. After
// an answer of the backend, whatever its status, and after a timeout, the handler
// never forwards again.
type Retries struct {
	// The largest number of retries, from 0 to 10. 0 means none. Even then, Go's HTTP
	// client sends a small event again if a connection that was kept open turns out to
	// be closed, at most three times. Default: 3.
	Count *int `json:"count,omitempty"`

	// The pause before the first retry. Each later pause is four times as long.
	// Default: 100ms.
	Pause caddy.Duration `json:"pause,omitempty"`
}

// CaddyModule returns the Caddy module information.
func (Handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.elevenlabs_webhook",
		New: func() caddy.Module { return new(Handler) },
	}
}

// Provision sets the defaults, resolves the secrets and loads the proxy.
func (h *Handler) Provision(ctx caddy.Context) error {
	h.setLogger(ctx.Logger())
	h.setDefaults()
	h.maxBodies = maxBodies()

	keys, err := resolveSecrets(h.Secrets, h.logger)
	if err != nil {
		return err
	}
	h.verifier, err = signature.NewVerifier(keys, time.Duration(h.Tolerance.Past), time.Duration(h.Tolerance.Future), h.now)
	if err != nil {
		return fmt.Errorf("secret: %w", err)
	}
	h.backfillKeys = make([][]byte, len(keys))
	for i, key := range keys {
		h.backfillKeys[i] = backfill.Key(key)
	}
	if h.backend, err = newBackend(ctx, h.ReverseProxyRaw, h.Sign, h.logger); err != nil {
		return err
	}
	if h.sources, err = parseSources(h.SourceIPs); err != nil {
		return fmt.Errorf("source_ips: %w", err)
	}
	h.eventTypes = facts.EventTypesNamedBy(h.Events)
	if err := registerMetrics(ctx.GetMetricsRegistry()); err != nil {
		return err
	}
	if h.notifier, err = newNotifier(ctx); err != nil {
		return err
	}
	keepConnections(ctx)
	h.warn()
	if h.Inbox != nil {
		if err := h.provisionInbox(ctx); err != nil {
			return fmt.Errorf("inbox: %w", err)
		}
	}
	joinGroup(h, keys)
	return nil
}

// Cleanup takes the handler out of its group.
func (h *Handler) Cleanup() error {
	if h.group != nil {
		h.group.leave(h)
	}
	if h.inbox != nil {
		return h.inbox.database.leave()
	}
	return nil
}

// warn logs options that can lose events or open a gap.
func (h *Handler) warn() {
	if h.SpoolLimit < h.MaxSize+h.MemoryBuffer {
		h.logger.Warn("spool_limit cannot hold one body of max_size: the largest are rejected with 503",
			zap.Int64("spool_limit", h.SpoolLimit), zap.Int64("max_size", h.MaxSize))
	}
	if h.Inbox != nil && h.Inbox.Limit < h.MaxSize {
		h.logger.Warn("the inbox's limit cannot hold one body of max_size: the largest are forwarded at once and not stored",
			zap.Int64("limit", h.Inbox.Limit), zap.Int64("max_size", h.MaxSize))
	}
	if unknown := h.unknownTypes(); len(unknown) > 0 {
		h.logger.Warn("events names types that this version does not know: if one is mistyped, the events that were meant are answered with 200 and dropped",
			zap.Strings("types", unknown))
	}
	if h.AllowHTTP {
		h.logger.Warn("allow_http is set: events are accepted over plain HTTP, where others can read them")
	}
	if h.ReportOnly {
		h.logger.Warn("report_only is set: requests that fail verification are forwarded to the backend, marked as such")
	}
}

// Validate checks the options, and that spool_dir can be written.
func (h *Handler) Validate() error {
	if option, err := h.check(); err != nil {
		return fmt.Errorf("%s: %w", option, err)
	}
	if err := spool.CheckDir(h.SpoolDir); err != nil {
		return fmt.Errorf("spool_dir: making a temporary file: %w", err)
	}
	return nil
}

// ServeHTTP is the way of a request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	e := h.newEvent(r)
	h.group.metrics.inFlight.Inc()
	defer h.group.metrics.inFlight.Dec()
	defer h.record(r, e)
	defer h.strip(r)

	// It also bounds how long the server drains the body of a request that is
	// rejected by its headers.
	setReadDeadline(w, r, e.Time.Add(time.Duration(h.ReadTimeout)))

	header, rejected := h.checkHead(r)
	if rejected != nil && !h.allowedByReportOnly(rejected.Rejection) {
		return h.reject(w, r, e, rejected)
	}

	body, unverified := h.readBody(r, header, e)
	if body == nil {
		return h.reject(w, r, e, unverified)
	}
	defer body.Close()
	setReadDeadline(w, r, time.Time{})

	if rejected = cmp.Or(rejected, unverified); rejected != nil {
		if !h.allowedByReportOnly(rejected.Rejection) {
			return h.reject(w, r, e, rejected)
		}
		h.logRejection(r, rejected, "webhook would be rejected: ")
		e.WouldReject = rejected.Code
		return answerUnlogged(w, r, h.deliver(w, r, next, e, body))
	}
	e.Verified = true
	if e.Backfill {
		w.Header().Set(headerBackfill, facts.BackfillMark)
	}

	if len(h.eventTypes) > 0 && !slices.Contains(h.eventTypes, e.EventType) {
		h.ignore(w, e, "its type is not in events")
		return nil
	}
	if h.inbox != nil {
		if done, err := h.keep(w, r, e, body); done {
			return answerUnlogged(w, r, err)
		}
	}
	return answerUnlogged(w, r, h.deliver(w, r, next, e, body))
}

// ignore answers 200 for an event that nobody wants.
func (h *Handler) ignore(w http.ResponseWriter, e *event, why string) {
	e.Result, e.Reason = deliveries.Ignored, facts.EventNotWanted
	if e.Backfill {
		w.Header().Set(headerBackfill, facts.BackfillIgnored)
	}
	h.logger.Info("event answered with 200 and not forwarded, since "+why, zap.Object("event", e))
	w.WriteHeader(http.StatusOK)
}

// Interface guards
var (
	_ caddy.Provisioner           = (*Handler)(nil)
	_ caddy.Validator             = (*Handler)(nil)
	_ caddy.CleanerUpper          = (*Handler)(nil)
	_ caddyhttp.MiddlewareHandler = (*Handler)(nil)
	_ caddyfile.Unmarshaler       = (*Handler)(nil)
)
