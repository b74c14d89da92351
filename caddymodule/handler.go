package caddymodule

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/deliveries"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/envelope"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/spool"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/signature"
)

func init() {
	caddy.RegisterModule(Handler{})
}

// Handler lets through to the next handler only webhooks that ElevenLabs really
// sent, and tells it in request headers what they are.
//
// It takes in the whole body, verifies its `ElevenLabs-Signature`, and refuses
// the request by an error if it does not hold, so that error routes apply. The
// reason is one word, in the placeholder `{http.elevenlabs.rejection}` and the
// response header `X-ElevenLabs-Rejection`. What is genuine goes on with the
// very same bytes, a `Content-Length`, and the headers `X-ElevenLabs-Verified`,
// `X-ElevenLabs-Event-Type`, `X-ElevenLabs-Event-Id` and others, all of which
// are deleted first if the client sent them. Each has a placeholder, from
// `{http.elevenlabs.verified}` to `{http.elevenlabs.voice_id}`; all are empty
// until the request is verified.
//
// Any 2xx of the backend becomes a 200, since ElevenLabs counts nothing else as
// success; every other answer passes unchanged.
//
// What becomes of each request is told in metrics with the prefix
// `caddy_elevenlabs_webhook_`, in the object `elevenlabs` of the access log, on
// the admin endpoint (`/elevenlabs/status` and `/elevenlabs/deliveries`), and, when
// deliveries fail in a row, in the log and by Caddy's events
// `elevenlabs_webhook_failing` and `elevenlabs_webhook_recovered`.
//
// With `reverse_proxy` set, the handler hands verified events to that proxy, and
// there is no other way to it. Without, it is a middleware, and what follows in
// the same route runs only for verified events.
type Handler struct {
	// The signing secrets of the webhooks that send here. One of them must have
	// signed. Several are for a change of secrets without a gap, and for several
	// webhooks at one address. Required.
	Secrets []Secret `json:"secrets,omitempty"`

	// How far the time of signing may lie in the past and in the future.
	Tolerance Tolerance `json:"tolerance,omitzero"`

	// The size in bytes of the largest body that is taken; a larger one is
	// refused by 413, at the byte that crosses the limit. ElevenLabs documents no
	// size; audio is about 1 MiB a minute. Default: 104857600 (100 MiB).
	MaxSize int64 `json:"max_size,omitempty"`

	// The size in bytes up to which a body is held in memory; a larger one goes
	// to a temporary file. Must not be above max_size.
	// Default: 1048576 (1 MiB), or max_size if that is less.
	MemoryBuffer int64 `json:"memory_buffer,omitempty"`

	// The folder for temporary files. They are readable to Caddy's user only, and
	// have no name where the system allows that. Default: the system's, thus
	// usually that in the variable `TMPDIR`, or `/tmp`.
	SpoolDir string `json:"spool_dir,omitempty"`

	// How many bytes all bodies of this process may hold together, in memory and
	// in temporary files; what comes on top is refused by 503. The handlers of a
	// process, and those of the configuration before a reload, share one count,
	// and each compares it with its own limit. Default: 1073741824 (1 GiB).
	SpoolLimit int64 `json:"spool_limit,omitempty"`

	// How long the whole body may take to arrive, from when the headers are
	// there; later is refused by 408. Of a request that is refused for its head,
	// the server reads the body no longer than that before it answers.
	// Default: 1m.
	ReadTimeout caddy.Duration `json:"read_timeout,omitempty"`

	// The client addresses to accept: CIDRs or single addresses, `elevenlabs` for
	// all published addresses of ElevenLabs, or those of a region: `us`, `eu`,
	// `asia`, `eu_residency`, `india_residency`, `singapore_residency`. The
	// client's address is Caddy's, so behind a proxy set `trusted_proxies`, and
	// `trusted_proxies_strict` with it. Default: any.
	SourceIPs []string `json:"source_ips,omitempty"`

	// The event types to hand on. A verified event of another type, or of one
	// that cannot be read, is answered 200 and goes no further. Default: all.
	Events []string `json:"events,omitempty"`

	// How often an event is handed on again when the upstream's connection fails
	// before it answers.
	Retries Retries `json:"retries,omitzero"`

	// Accept requests over plain HTTP. For local development only: the signature
	// protects the event from change, but nothing protects it from being read.
	AllowHTTP bool `json:"allow_http,omitempty"`

	// Let the refused through too, with `X-ElevenLabs-Verified: false` and the
	// reason in `X-ElevenLabs-Rejection`. For the change-over of a live endpoint
	// whose backend still verifies by itself. What has another method than POST,
	// or a body that is too large, incomplete, late or not to be stored, is
	// refused all the same.
	ReportOnly bool `json:"report_only,omitempty"`

	// The configuration of a
	// [`reverse_proxy`](/docs/modules/http.handlers.reverse_proxy) handler,
	// without the `handler` key, to hand verified events to.
	ReverseProxyRaw json.RawMessage `json:"reverse_proxy,omitempty"`

	logger   *zap.Logger
	refusals *zap.Logger // sampled
	verifier *signature.Verifier
	sources  []netip.Prefix
	proxy    caddyhttp.MiddlewareHandler
	now      func() time.Time // nil but in tests
	webhook  *webhook
	notifier *notifier // nil if no app takes events
}

// Tolerance is how far the time of signing may lie from this machine's.
type Tolerance struct {
	// The largest age of a signature. It must leave room for ElevenLabs'
	// repeats, which come up to about 40 minutes after the first try and are not
	// documented to be signed anew. Default: 30m.
	Past caddy.Duration `json:"past,omitempty"`

	// How far ahead of this machine's clock a signature may be. Default: 5m.
	Future caddy.Duration `json:"future,omitempty"`
}

// Retries is how events are handed on again when what follows fails with 502 or
// 503 before any answer: the connection was refused, reset, or closed as it was
// used again. An answer of the backend, whatever its code, and a timeout are
// never repeated.
type Retries struct {
	// How many times, at most. 0 is never. Default: 3.
	Count *int `json:"count,omitempty"`

	// The pause before the first repeat; each one after is four times as long.
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
	h.logger = ctx.Logger()
	h.refusals = sampled(h.logger)
	h.setDefaults()

	keys, err := resolveSecrets(h.Secrets, h.logger)
	if err != nil {
		return err
	}
	h.verifier, err = signature.NewVerifier(keys, time.Duration(h.Tolerance.Past), time.Duration(h.Tolerance.Future), h.now)
	if err != nil {
		return fmt.Errorf("secret: %w", err)
	}
	if h.sources, err = parseSources(h.SourceIPs); err != nil {
		return fmt.Errorf("source_ips: %w", err)
	}
	if h.ReverseProxyRaw != nil {
		proxy, err := ctx.LoadModuleByID("http.handlers.reverse_proxy", h.ReverseProxyRaw)
		if err != nil {
			return fmt.Errorf("reverse_proxy: %w", err)
		}
		h.proxy = proxy.(caddyhttp.MiddlewareHandler)
	}
	if err := registerMetrics(ctx.GetMetricsRegistry()); err != nil {
		return err
	}
	if h.notifier, err = newNotifier(ctx); err != nil {
		return err
	}
	h.webhook = joinWebhook(h, keys)
	h.warn()
	return nil
}

// Cleanup ends what was begun for this configuration.
func (h *Handler) Cleanup() error {
	if h.webhook != nil {
		h.webhook.leave(h)
	}
	return nil
}

// subscriptions are names under which events are selected in ElevenLabs, and the
// types that their payloads have.
var subscriptions = map[string]string{
	"transcript":     "post_call_transcription",
	"audio":          "post_call_audio",
	"speech_to_text": "speech_to_text_transcription",
}

// warn tells of options that may be meant, but can lose events or open a gap.
func (h *Handler) warn() {
	for _, name := range h.Events {
		if typ, found := subscriptions[name]; found {
			h.logger.Warn("events takes the payload's types, not the names of subscriptions: events are dropped", zap.String("name", name), zap.String("type", typ))
		}
	}
	if h.SpoolLimit < h.MaxSize+h.MemoryBuffer {
		h.logger.Warn("spool_limit cannot hold one body of max_size: the largest are answered 503",
			zap.Int64("spool_limit", h.SpoolLimit), zap.Int64("max_size", h.MaxSize))
	}
	if h.AllowHTTP {
		h.logger.Warn("allow_http is set: events are taken over plain HTTP, where others can read them")
	}
	if h.ReportOnly {
		h.logger.Warn("report_only is set: requests that fail verification go through to the backend, marked as such")
	}
}

// Validate checks the options.
func (h *Handler) Validate() error {
	if option, err := h.check(); err != nil {
		return fmt.Errorf("%s: %w", option, err)
	}
	return nil
}

// ServeHTTP is the way of a request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	e := newEvent(r)
	h.webhook.metrics.inFlight.Inc()
	defer h.webhook.metrics.inFlight.Dec()
	defer h.record(r, e, time.Now())

	// It bounds also what the server reads of a body that was refused, before it
	// sends the answer.
	setReadDeadline(w, r, time.Now().Add(time.Duration(h.ReadTimeout)))

	// what can be said before anything of the body is read
	header, refused := h.checkHead(r)
	if refused != nil && !h.passes(refused) {
		return h.reject(w, r, e, refused)
	}

	body, err := h.receive(r, header, e)
	if err != nil {
		return h.reject(w, r, e, &rejection{reason: bodyReason(err), cause: err})
	}
	defer body.Close()
	setReadDeadline(w, r, time.Time{})

	if refused == nil {
		refused = h.verify(e)
	}
	if refused != nil {
		if !h.passes(refused) {
			return h.reject(w, r, e, refused)
		}
		h.logRefusal(r, refused, "webhook would be refused: ")
		e.rejection = refused.code
		return h.deliver(w, r, next, e, body)
	}

	if len(h.Events) > 0 && !slices.Contains(h.Events, e.envelope.Type) {
		e.outcome.result, e.outcome.reason = deliveries.Ignored, ignoredNotWanted
		h.logger.Info("event answered but not handed on, as events says", zap.Object("event", e))
		w.WriteHeader(http.StatusOK)
		return nil
	}
	return h.deliver(w, r, next, e, body)
}

// passes reports whether a refused request goes on all the same.
func (h *Handler) passes(refused *rejection) bool { return h.ReportOnly && refused.reportOnly }

// checkHead checks the request's head, and reads the signature header, which is
// of use also for what goes on though it is refused.
func (h *Handler) checkHead(r *http.Request) (signature.Header, *rejection) {
	header, err := signature.Parse(r.Header.Values(signature.HeaderName))
	if r.Method != http.MethodPost {
		return header, &rejection{reason: methodNotAllowed}
	}
	if r.ContentLength > h.MaxSize {
		return header, &rejection{reason: bodyTooLarge}
	}
	if reason := h.checkTransport(r); reason != nil {
		return header, &rejection{reason: reason}
	}
	if reason := h.checkSource(r); reason != nil {
		return header, &rejection{reason: reason}
	}
	if err != nil {
		return header, &rejection{reason: signatureReason(err), cause: err}
	}
	return header, nil
}

// seen is what was learnt of a body as it passed.
type seen struct {
	id         string
	envelope   envelope.Fields
	signedAt   string
	match      signature.Match
	secretName string // if one matched
	err        error  // of the signature
}

var scanners = sync.Pool{New: func() any { return new(envelope.Scanner) }}

// receive takes in the body, once, and hashes and reads it as it passes.
func (h *Handler) receive(r *http.Request, header signature.Header, e *event) (*spool.Body, error) {
	start := time.Now()
	check := h.verifier.Begin(header)
	defer check.Discard()
	digest := sha256.New()
	scanner := scanners.Get().(*envelope.Scanner)
	defer scanners.Put(scanner)
	scanner.Reset()

	limits := spool.Limits{Size: h.MaxSize, Memory: h.MemoryBuffer, Total: h.SpoolLimit, Dir: h.SpoolDir}
	body, err := spool.Read(r.Body, limits, func(p []byte) {
		_, _ = check.Write(p) // none of the three ever fails
		_, _ = digest.Write(p)
		if !scanner.Done() {
			_, _ = scanner.Write(p)
		}
	})
	received := time.Now()
	e.outcome.receive = received.Sub(start)
	if err != nil {
		return nil, err
	}
	if r.ContentLength >= 0 && r.ContentLength != body.Size() {
		body.Close()
		return nil, io.ErrUnexpectedEOF
	}
	e.id = hex.EncodeToString(digest.Sum(nil))
	match, err := check.Result()
	e.outcome.size = body.Size()
	e.outcome.verify = time.Since(received)
	e.outcome.seen = seen{e.id, scanner.Fields(), header.Timestamp(), match, h.Secrets[match.Secret].Name, err}
	return body, nil
}

// verify fills the event with what the signature proves, or says why it does
// not.
func (h *Handler) verify(e *event) *rejection {
	seen := &e.outcome.seen
	if seen.err != nil {
		return &rejection{reason: signatureReason(seen.err), age: seen.match.Age}
	}
	e.verified = true
	e.envelope = seen.envelope
	e.signedAt = seen.signedAt
	e.secretName = seen.secretName
	return nil
}

// Interface guards
var (
	_ caddy.Provisioner           = (*Handler)(nil)
	_ caddy.Validator             = (*Handler)(nil)
	_ caddy.CleanerUpper          = (*Handler)(nil)
	_ caddyhttp.MiddlewareHandler = (*Handler)(nil)
	_ caddyfile.Unmarshaler       = (*Handler)(nil)
)
