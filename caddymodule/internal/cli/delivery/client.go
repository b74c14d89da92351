// Package delivery sends events to a URL as ElevenLabs does, genuine or forged,
// and judges the answers.
package delivery

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"time"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/backfill"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/sample"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/signature"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/internal/buildinfo"
)

// Client sends events to one URL.
type Client struct {
	URL *url.URL
	// Key is the secret that signs the events.
	Key []byte
	// Header are headers that each request has, in place of its own of the same name.
	Header http.Header
	// Backfill marks the events as made by `inbox backfill`, and not as tests.
	Backfill bool

	now  func() time.Time
	http *http.Client
}

// NewClient returns a client for a URL. Nothing is sent yet.
func NewClient(target string, now func() time.Time, c *Connection) (*Client, error) {
	parsed, err := ParseURL(target)
	if err != nil {
		return nil, err
	}
	client, err := c.Client(parsed, now)
	if err != nil {
		return nil, err
	}
	return &Client{URL: parsed, now: now, http: client}, nil
}

// ParseURL parses the URL of a server.
func ParseURL(target string) (*url.URL, error) {
	parsed, err := url.Parse(target)
	if err != nil || parsed.Scheme != "http" && parsed.Scheme != "https" || parsed.Hostname() == "" {
		return nil, fmt.Errorf("%q is not a URL that begins with https:// or http://", target)
	}
	return parsed, nil
}

// Result is the result of one delivery.
type Result struct {
	Event        string `json:"event"`
	Forged       string `json:"forged,omitempty"`
	Bytes        int64  `json:"bytes"`
	EventID      string `json:"event_id"` // the handler's X-ElevenLabs-Event-Id
	Status       int    `json:"status,omitempty"`
	Reason       string `json:"reason,omitempty"`
	Milliseconds int64  `json:"ms"`
	TLS          string `json:"tls,omitempty"`
	OK           bool   `json:"ok"`
	Problem      string `json:"problem,omitempty"`
	// Location is where a redirect leads to.
	Location string `json:"location,omitempty"`
	// Inbox is what the server's inbox did with the event: stored, repeat or bypassed.
	// The application gets a stored event later. It is empty without an inbox.
	Inbox string `json:"inbox,omitempty"`
	// Backfill reports whether the server believed that mark.
	Backfill bool `json:"backfill,omitempty"`
	// Ignored reports whether the server took a backfill for nobody.
	Ignored bool `json:"ignored,omitempty"`
	// Page reports whether the answer is an HTML page, such as one to log in.
	Page bool `json:"page,omitempty"`
	// Lines are the first lines of the answer, if it is not as expected.
	Lines []string `json:"answer,omitempty"`

	// Interrupted reports whether the user interrupted the delivery, whose
	// result then says nothing about the server.
	Interrupted bool `json:"-"`
}

// Answer says how the server answered.
func (r Result) Answer() string {
	if r.Status == 0 {
		return r.Problem
	}
	answer := fmt.Sprintf("%d %s", r.Status, http.StatusText(r.Status))
	if r.Reason != "" {
		answer += ", " + r.Reason
	}
	return answer
}

// Deliver sends an event, forged or not, and judges the answer. It calls progress
// with the number of bytes that went out.
func (c *Client) Deliver(ctx context.Context, event sample.Event, f Forgery, progress func(int)) Result {
	sent, header, err := f.forge(event, c.Key, c.now())
	r := Result{Event: event.Type, Forged: f.Name, Bytes: sent.Size()}
	if err != nil {
		r.Problem = err.Error()
		return r
	}
	id := sha256.New()
	_, _ = io.Copy(id, sent.Body()) // neither side fails
	r.EventID = hex.EncodeToString(id.Sum(nil))
	request, err := c.request(ctx, sent, header, progress)
	if err == nil && c.Backfill {
		err = c.markBackfill(request, header, r.EventID)
	}
	if err != nil {
		r.Problem = err.Error()
		return r
	}

	started := c.now()
	response, err := c.http.Do(request)
	if err != nil {
		r.Milliseconds = c.now().Sub(started).Milliseconds()
		r.Problem, r.Interrupted = ExplainError(ctx, err), ctx.Err() != nil
		return r
	}
	defer response.Body.Close()
	r.Status = response.StatusCode
	r.Reason = Reason(response.Header)
	r.Inbox = cmdutil.Brief(response.Header.Get(HeaderInbox), 40)
	believed := response.Header.Get(facts.HeaderBackfill)
	r.Ignored = believed == facts.BackfillIgnored
	r.Backfill = r.Ignored || believed == facts.BackfillMark
	if response.TLS != nil {
		r.TLS = tls.VersionName(response.TLS.Version)
	}
	answer, err := io.ReadAll(io.LimitReader(response.Body, readOfAnswer))
	if err == nil {
		_, err = io.Copy(io.Discard, io.LimitReader(response.Body, 1<<20))
	}
	r.Milliseconds = c.now().Sub(started).Milliseconds()
	r.Location = cmdutil.Brief(response.Header.Get("Location"), cmdutil.Longest)
	r.Page = isPage(answer)
	if err != nil {
		r.Problem, r.Interrupted = "the answer broke off: "+ExplainError(ctx, err), ctx.Err() != nil
	} else {
		r.Problem = f.problem(response)
	}
	r.OK = r.Problem == ""
	if !r.OK {
		r.Lines = firstLines(answer)
	}
	return r
}

// SendUnsigned sends an empty JSON object without a signature. The handler rejects
// it by its header.
func (c *Client) SendUnsigned(ctx context.Context) (*http.Response, error) {
	request, err := c.request(ctx, sample.FromBody("", []byte("{}")), "", func(int) {})
	if err != nil {
		return nil, err
	}
	return c.http.Do(request)
}

// request makes a request, with the headers that the HTTP client of ElevenLabs sends,
// so that checks for bots treat it alike. It has a signature header unless that is
// empty.
func (c *Client) request(ctx context.Context, event sample.Event, header string, progress func(int)) (*http.Request, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.URL.String(), countingReader{event.Body(), progress})
	if err != nil {
		return nil, err
	}
	request.ContentLength = event.Size()
	if event.Chunked() {
		request.ContentLength = -1
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept", "*/*")
	request.Header.Set("User-Agent", facts.UserAgent)
	request.Header.Set(facts.HeaderTest, facts.TestMark(buildinfo.Read().Short()))
	maps.Copy(request.Header, c.Header)
	if header != "" {
		request.Header[signature.HeaderName] = []string{header} // in ElevenLabs's spelling
	}
	return request, nil
}

// markBackfill proves that the event is a backfill, in place of the mark of a test.
func (c *Client) markBackfill(request *http.Request, signed, eventID string) error {
	header, err := signature.Parse([]string{signed})
	if err != nil {
		return err
	}
	request.Header.Del(facts.HeaderTest)
	request.Header.Set(facts.HeaderBackfill, backfill.Mark(backfill.Key(c.Key), header.Timestamp(), eventID))
	return nil
}

// countingReader calls count with the number of bytes of each read.
type countingReader struct {
	io.Reader
	count func(int)
}

func (r countingReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	r.count(n)
	return n, err
}

// ExplainError returns a short sentence on why there is no answer.
func ExplainError(ctx context.Context, err error) string {
	if ctx.Err() != nil {
		return cmdutil.ErrInterrupted.Error()
	}
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		if wrapped.Timeout() {
			return "no answer in time; see --timeout"
		}
		err = wrapped.Err // without the URL, which the user knows
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return cmdutil.Brief(err.Error(), cmdutil.Longest) + "; see --ca and --insecure"
	}
	return cmdutil.Brief(err.Error(), cmdutil.Longest)
}
