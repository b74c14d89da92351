package elevenlabs

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/elevenlabs/elevenlabstest"
)

// timed is a transport that records the time of each request.
type timed struct {
	http.RoundTripper
	at []time.Time
}

func (r *timed) RoundTrip(request *http.Request) (*http.Response, error) {
	r.at = append(r.at, time.Now())
	return r.RoundTripper.RoundTrip(request)
}

func TestRequestIsRepeatedOnlyIfThatDoesNoHarm(t *testing.T) {
	type faults = []http.HandlerFunc
	status := elevenlabstest.Answer
	soon := func(s int) http.HandlerFunc { return status(s, "Retry-After", "1") }
	slow := func(http.ResponseWriter, *http.Request) { time.Sleep(attemptTimeout + time.Second) }
	const unknown = "ElevenLabs may have done it all the same"
	tests := []struct {
		name   string
		do     func(context.Context, *Client) error
		faults faults // nil executes the operation and loses the answer
		tries  int
		want   string // of the error; empty for success
	}{
		{"list, after 429", list, faults{status(429)}, 2, ""},
		{"list, after 500, 502 and 504", list, faults{status(500), status(502), status(504)}, 4, ""},
		{"list, after 408", list, faults{status(408)}, 2, ""},
		{"list, after a lost answer", list, faults{elevenlabstest.Drop}, 2, ""},
		{"list, after a timeout", list, faults{slow}, 2, ""},
		{"list, at most maxTries times", list, slices.Repeat(faults{status(503)}, 9), maxTries, "listing webhooks: ElevenLabs answered 503: try again later"},
		{"list, not after 400", list, faults{status(400)}, 1, "answered 400"},
		{"list, not after 404", list, faults{status(404)}, 1, "answered 404"},
		{"list, not after 422", list, faults{status(422)}, 1, "answered 422"},
		{"read settings, after 500", readSettings, faults{status(500)}, 2, ""},
		{"read agent, after 500", readAgent, faults{status(500)}, 2, ""},
		{"update, after 500", update, faults{status(500)}, 2, ""},
		{"update, after it was executed", update, faults{nil}, 2, ""},
		{"write settings, after it was executed", writeSettings, faults{nil}, 2, ""},
		{"write agent, after 503", writeAgent, faults{status(503)}, 2, ""},
		{"delete, after 429", remove, faults{status(429)}, 2, ""},
		{"delete, after it was executed", remove, faults{nil}, 2, ""},
		{"create, after 429", create, faults{status(429), soon(429)}, 3, ""},
		{"create, after 503 with Retry-After", create, faults{soon(503)}, 2, ""},
		{"create, not after another 503", create, faults{status(503)}, 1, "creating a webhook: ElevenLabs answered 503: try again later: " + unknown},
		{"create, not after 500", create, faults{status(500)}, 1, unknown},
		{"create, not after 500 with Retry-After", create, faults{soon(500)}, 1, unknown},
		{"create, not after 408", create, faults{status(408)}, 1, unknown},
		{"create, not after it was executed", create, faults{nil}, 1, unknown},
		{"create, not after a timeout", create, faults{slow}, 1, unknown},
		{"create, not after 429 and 502", create, faults{status(429), status(502)}, 2, unknown},
		{"create, not after 400", create, faults{status(400)}, 1, "answered 400: try again later"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			server := elevenlabstest.New(t)
			server.Add(map[string]any{"webhook_id": "wh_1"})
			server.SetAgent("agent_1", nil)
			for _, fault := range test.faults {
				if fault == nil {
					fault = server.Lose
				}
				server.Fault(fault)
			}
			synctest.Test(t, func(t *testing.T) {
				err := test.do(t.Context(), newClient(t, server))
				if test.want == "" {
					require.NoError(t, err)
				} else {
					require.ErrorContains(t, err, test.want)
				}
				assert.Equal(t, strings.Contains(test.want, unknown), errors.Is(err, ErrUnknown))
			})
			assert.Len(t, server.Requests(), test.tries)
			assert.Nil(t, server.Webhook("wh_new_2"), "the webhook was created twice")
		})
	}
}

func TestCreateIsRepeatedIfTheServerWasNotReached(t *testing.T) {
	tests := []struct {
		name  string
		err   error
		tries int
	}{
		{"no connection", &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host"}}, 2},
		{"no connection to a proxy", &net.OpError{Op: "proxyconnect", Err: &net.OpError{Op: "read", Err: io.EOF}}, 2},
		{"a connection that broke off", &net.OpError{Op: "read", Err: io.ErrUnexpectedEOF}, 1},
		{"another error", io.ErrUnexpectedEOF, 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			server := elevenlabstest.New(t)
			synctest.Test(t, func(t *testing.T) {
				tries := 0
				err := create(t.Context(), newClient(t, roundTripper(func(r *http.Request) (*http.Response, error) {
					if tries++; tries == 1 {
						return nil, test.err
					}
					return server.RoundTrip(r)
				})))
				assert.Equal(t, test.tries, tries)
				assert.Equal(t, test.tries == 1, errors.Is(err, ErrUnknown), err)
			})
		})
	}
}

func TestErrorsOfRealConnections(t *testing.T) {
	dropping := httptest.NewServer(http.HandlerFunc(elevenlabstest.Drop))
	defer dropping.Close()
	closed := httptest.NewServer(nil)
	closed.Close()
	tests := []struct {
		name        string
		url         string
		notExecuted bool
	}{
		{"the server breaks the connection off", dropping.URL, false},
		{"nothing listens", closed.URL, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := newClient(t, nil)
			c.base = test.url
			err := c.try(t.Context(), operation{method: http.MethodPost, path: "/"}, nil)
			require.Error(t, err)
			assert.Equal(t, test.notExecuted, notExecuted(err), err)
			assert.True(t, retryable(err), err)
		})
	}
}

func TestRequestIsNotRepeatedAfterACertificateError(t *testing.T) {
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	handshakes := 0
	server.TLS = &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		handshakes++
		return nil, nil
	}}
	server.StartTLS()
	defer server.Close()
	c := newClient(t, nil)
	c.base = server.URL
	err := list(t.Context(), c)
	require.ErrorContains(t, err, "listing webhooks: Get ")
	require.ErrorContains(t, err, "certificate")
	require.NotErrorIs(t, create(t.Context(), c), ErrUnknown, "the client sent nothing")
	server.Close()
	assert.Equal(t, 2, handshakes)
}

func TestPausesGrowAndAreNeverShorterThanRetryAfter(t *testing.T) {
	tests := []struct {
		name     string
		fault    http.HandlerFunc
		from, to []time.Duration // the bounds of each pause
		want     string          // of the error
	}{
		{
			"no Retry-After",
			elevenlabstest.Answer(500),
			[]time.Duration{250 * time.Millisecond, 500 * time.Millisecond, time.Second, 2 * time.Second},
			[]time.Duration{750 * time.Millisecond, 1500 * time.Millisecond, 3 * time.Second, 6 * time.Second},
			"answered 500",
		},
		{
			"Retry-After in seconds",
			elevenlabstest.Answer(429, "Retry-After", "10"),
			[]time.Duration{10 * time.Second, 10 * time.Second, 10 * time.Second, 10 * time.Second},
			[]time.Duration{11 * time.Second, 12 * time.Second, 13 * time.Second, 16 * time.Second},
			"ElevenLabs asks to retry after 10s",
		},
		{
			"Retry-After as a date",
			func(w http.ResponseWriter, r *http.Request) {
				at := time.Now().Add(20 * time.Second).UTC().Format(http.TimeFormat)
				elevenlabstest.Answer(503, "Retry-After", at)(w, r)
			},
			[]time.Duration{20 * time.Second, 19 * time.Second, 19 * time.Second, 19 * time.Second}, // a date has whole seconds
			[]time.Duration{21 * time.Second, 22 * time.Second, 23 * time.Second, 26 * time.Second},
			"answered 503",
		},
		{"Retry-After longer than maxElapsed", elevenlabstest.Answer(503, "Retry-After", "3600"), nil, nil, "ElevenLabs asks to retry after 1h0m0s"},
		{"Retry-After beyond 31 bits", elevenlabstest.Answer(503, "Retry-After", "99999999999999999999"), nil, nil, "ElevenLabs asks to retry after 596523h14m7s"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			server := elevenlabstest.New(t)
			server.Fault(slices.Repeat([]http.HandlerFunc{test.fault}, 9)...)
			synctest.Test(t, func(t *testing.T) {
				transport := &timed{RoundTripper: server}
				require.ErrorContains(t, list(t.Context(), newClient(t, transport)), test.want)
				require.Len(t, transport.at, len(test.from)+1)
				for i := range test.from {
					pause := transport.at[i+1].Sub(transport.at[i])
					assert.GreaterOrEqual(t, pause, test.from[i], i)
					assert.LessOrEqual(t, pause, test.to[i], i)
				}
			})
		})
	}
}

func TestPausesAreRandom(t *testing.T) {
	pauses := map[time.Duration]bool{}
	for range 5 {
		server := elevenlabstest.New(t)
		server.Fault(elevenlabstest.Answer(429, "Retry-After", "10"))
		synctest.Test(t, func(t *testing.T) {
			transport := &timed{RoundTripper: server}
			require.NoError(t, list(t.Context(), newClient(t, transport)))
			pauses[transport.at[1].Sub(transport.at[0])] = true
		})
	}
	assert.Greater(t, len(pauses), 1)
}

func TestCancellingEndsTheRequestAndThePauses(t *testing.T) {
	tests := []struct {
		name  string
		fault http.HandlerFunc
	}{
		{"between tries", elevenlabstest.Answer(503, "Retry-After", "60")},
		{"before the answer", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			server := elevenlabstest.New(t)
			server.Fault(test.fault)
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(5*time.Second, cancel)
				began := time.Now()
				err := list(ctx, newClient(t, server))
				require.ErrorIs(t, err, context.Canceled)
				assert.ErrorContains(t, err, "listing webhooks: ")
				assert.Equal(t, 5*time.Second, time.Since(began))
			})
			assert.Len(t, server.Requests(), 1)
		})
	}
}

func TestTryEndsAfterAttemptTimeout(t *testing.T) {
	server := elevenlabstest.New(t)
	server.Fault(server.Delay(time.Hour))
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		err := create(t.Context(), newClient(t, server))
		require.ErrorIs(t, err, ErrUnknown)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, attemptTimeout, time.Since(began))
	})
}

func TestAnswerThatCannotBeReadIsAnError(t *testing.T) {
	tests := []struct{ name, body, want string }{
		{"empty", "", "unexpected end of JSON input"},
		{"not JSON", "<html>", "invalid character '<'"},
		{"no list", `{"webhooks":{}}`, "cannot unmarshal object"},
		{"no key", `{}`, "it has no key webhooks"},
		{"null", `{"webhooks":null}`, "it has no key webhooks"},
		{"a webhook without an id", `{"webhooks":[{"name":"a"}]}`, "a webhook has no webhook_id"},
		{"too long", `{"webhooks":[` + strings.Repeat(" ", maxAnswer) + `]}`, "it is longer than 67108864 bytes"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			server := elevenlabstest.New(t)
			server.Fault(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, test.body) })
			_, err := newClient(t, server).Webhooks(t.Context())
			require.ErrorContains(t, err, "listing webhooks: ElevenLabs's answer cannot be understood: ")
			require.ErrorContains(t, err, test.want)
			assert.Len(t, server.Requests(), 1)
		})
	}
}

func TestDeleteOfAnUnknownWebhookIsAnError(t *testing.T) {
	server := elevenlabstest.New(t)
	server.Fault(elevenlabstest.Answer(429))
	synctest.Test(t, func(t *testing.T) {
		assert.ErrorContains(t, remove(t.Context(), newClient(t, server)), "deleting webhook wh_1: ElevenLabs answered 404")
	})
	assert.Len(t, server.Requests(), 2)
}

func TestSettingsThatCannotBeReadAreAnError(t *testing.T) {
	tests := []struct {
		body string
		do   func(context.Context, *Client) error
	}{
		{body: `{}`, do: readSettings},
		{body: `{"webhooks":"a"}`, do: readSettings},
		{body: `{"status":"ok"}`, do: readAgent},
		{body: `{"agent_id":null}`, do: readAgent},
	}
	for _, test := range tests {
		server := elevenlabstest.New(t)
		server.Fault(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, test.body) })
		assert.ErrorContains(t, test.do(t.Context(), newClient(t, server)), ": ElevenLabs's answer cannot be understood: ", test.body)
	}
}

func TestEveryRequestHasTheSameHeaders(t *testing.T) {
	server := elevenlabstest.New(t)
	server.Add(map[string]any{"webhook_id": "wh_1"})
	server.SetAgent("agent_1", nil)
	for _, do := range []func(context.Context, *Client) error{list, create, update, readSettings, writeSettings, readAgent, writeAgent, remove} {
		require.NoError(t, do(t.Context(), newClient(t, server)))
	}
	requests := server.Requests()
	require.Len(t, requests, 8)
	for _, r := range requests {
		assert.Equal(t, []string{elevenlabstest.Key}, r.Header["Xi-Api-Key"])
		assert.Equal(t, "application/json", r.Header.Get("Accept"))
		assert.Equal(t, "caddy-elevenlabs", r.Header.Get("User-Agent"))
		assert.Equal(t, len(r.Body) > 0, r.Header.Get("Content-Type") == "application/json", r.URI)
		assert.NotContains(t, r.URI+string(r.Body), elevenlabstest.Key)
	}
}
