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

// timed notes when each request is made.
type timed struct {
	http.RoundTripper
	at []time.Time
}

func (r *timed) RoundTrip(request *http.Request) (*http.Response, error) {
	r.at = append(r.at, time.Now())
	return r.RoundTripper.RoundTrip(request)
}

func TestRequestsAreRepeatedWhereThatDoesNoHarm(t *testing.T) {
	type faults = []http.HandlerFunc
	status := elevenlabstest.Answer
	soon := func(s int) http.HandlerFunc { return status(s, "Retry-After", "1") }
	slow := func(http.ResponseWriter, *http.Request) { time.Sleep(attemptTimeout + time.Second) }
	const unknown = "ElevenLabs may have done it all the same"
	for name, test := range map[string]struct {
		do     func(context.Context, *Client) error
		faults faults
		tries  int
		want   string // of the error; empty for success
	}{
		"a list, after 429":                          {list, faults{status(429)}, 2, ""},
		"a list, after 500, 502, 504":                {list, faults{status(500), status(502), status(504)}, 4, ""},
		"a list, after 408":                          {list, faults{status(408)}, 2, ""},
		"a list, after a lost answer":                {list, faults{elevenlabstest.Drop}, 2, ""},
		"a list, after no answer":                    {list, faults{slow}, 2, ""},
		"a list, not for ever":                       {list, slices.Repeat(faults{status(503)}, 9), maxTries, "listing webhooks: ElevenLabs answered 503: try again later"},
		"a list, not after 400":                      {list, faults{status(400)}, 1, "answered 400"},
		"a list, not after 404":                      {list, faults{status(404)}, 1, "answered 404"},
		"a list, not after 422":                      {list, faults{status(422)}, 1, "answered 422"},
		"settings, after 500":                        {readSettings, faults{status(500)}, 2, ""},
		"an agent, after 500":                        {readAgent, faults{status(500)}, 2, ""},
		"an update, after 500":                       {update, faults{status(500)}, 2, ""},
		"an update, that was done":                   {update, faults{nil}, 2, ""},
		"new settings, that were done":               {writeSettings, faults{nil}, 2, ""},
		"an agent's, after 503":                      {writeAgent, faults{status(503)}, 2, ""},
		"a delete, after 429":                        {remove, faults{status(429)}, 2, ""},
		"a delete, that was done":                    {remove, faults{nil}, 2, ""},
		"a create, after 429":                        {create, faults{status(429), soon(429)}, 3, ""},
		"a create, after a refusing 503":             {create, faults{soon(503)}, 2, ""},
		"a create, not after another 503":            {create, faults{status(503)}, 1, "creating a webhook: ElevenLabs answered 503: try again later: " + unknown},
		"a create, not after 500":                    {create, faults{status(500)}, 1, unknown},
		"a create, not after a 500 with Retry-After": {create, faults{soon(500)}, 1, unknown},
		"a create, not after 408":                    {create, faults{status(408)}, 1, unknown},
		"a create, not if it was done":               {create, faults{nil}, 1, unknown},
		"a create, not after no answer":              {create, faults{slow}, 1, unknown},
		"a create, not after 429 and then 502":       {create, faults{status(429), status(502)}, 2, unknown},
		"a create, not after 400":                    {create, faults{status(400)}, 1, "answered 400: try again later"},
	} {
		t.Run(name, func(t *testing.T) {
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
			assert.Nil(t, server.Webhook("wh_new_2"), "it was created twice")
		})
	}
}

func TestACreateIsRepeatedIfTheServerWasNotReached(t *testing.T) {
	for name, test := range map[string]struct {
		err   error
		tries int
	}{
		"no connection":               {&net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host"}}, 2},
		"no connection to a proxy":    {&net.OpError{Op: "proxyconnect", Err: &net.OpError{Op: "read", Err: io.EOF}}, 2},
		"a connection that broke off": {&net.OpError{Op: "read", Err: io.ErrUnexpectedEOF}, 1},
		"anything else":               {io.ErrUnexpectedEOF, 1},
	} {
		t.Run(name, func(t *testing.T) {
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

// A real connection that is refused, and one that breaks off, are told apart.
func TestTheErrorsOfRealConnections(t *testing.T) {
	broken := httptest.NewServer(http.HandlerFunc(elevenlabstest.Drop))
	defer broken.Close()
	closed := httptest.NewServer(nil)
	closed.Close()
	for url, want := range map[string]bool{broken.URL: false, closed.URL: true} {
		c := newClient(t, nil)
		c.base = url
		err := c.try(t.Context(), operation{method: http.MethodPost, path: "/"}, nil)
		require.Error(t, err)
		assert.Equal(t, want, notDone(err), err)
		assert.True(t, passing(err), err)
	}
}

func TestAServerWithoutAValidCertificateIsNotAskedAgain(t *testing.T) {
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
	require.NotErrorIs(t, create(t.Context(), c), ErrUnknown, "nothing was sent")
	server.Close()
	assert.Equal(t, 2, handshakes)
}

func TestTheTimeBetweenTriesGrowsAndIsNeverShorterThanAsked(t *testing.T) {
	for name, test := range map[string]struct {
		fault    http.HandlerFunc
		from, to []time.Duration
		want     string
	}{
		"unasked": {
			elevenlabstest.Answer(500),
			[]time.Duration{250 * time.Millisecond, 500 * time.Millisecond, time.Second, 2 * time.Second},
			[]time.Duration{750 * time.Millisecond, 1500 * time.Millisecond, 3 * time.Second, 6 * time.Second},
			"answered 500",
		},
		"asked, in seconds": {
			elevenlabstest.Answer(429, "Retry-After", "10"),
			[]time.Duration{10 * time.Second, 10 * time.Second, 10 * time.Second, 10 * time.Second},
			[]time.Duration{11 * time.Second, 12 * time.Second, 13 * time.Second, 16 * time.Second},
			"it asks to come again in 10s",
		},
		"asked, by a date": {
			func(w http.ResponseWriter, r *http.Request) {
				at := time.Now().Add(20 * time.Second).UTC().Format(http.TimeFormat)
				elevenlabstest.Answer(503, "Retry-After", at)(w, r)
			},
			[]time.Duration{20 * time.Second, 19 * time.Second, 19 * time.Second, 19 * time.Second}, // a date has whole seconds
			[]time.Duration{21 * time.Second, 22 * time.Second, 23 * time.Second, 26 * time.Second},
			"answered 503",
		},
		"asked for too long":   {elevenlabstest.Answer(503, "Retry-After", "3600"), nil, nil, "it asks to come again in 1h0m0s"},
		"asked for a lifetime": {elevenlabstest.Answer(503, "Retry-After", "99999999999999999999"), nil, nil, "it asks to come again in 596523h14m7s"},
	} {
		t.Run(name, func(t *testing.T) {
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

func TestThePauseIsNotTheSameForAll(t *testing.T) {
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

func TestAnInterruptEndsTheWaiting(t *testing.T) {
	for name, fault := range map[string]http.HandlerFunc{
		"between tries":     elevenlabstest.Answer(503, "Retry-After", "60"),
		"before the answer": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
	} {
		t.Run(name, func(t *testing.T) {
			server := elevenlabstest.New(t)
			server.Fault(fault)
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

func TestOneTryTakesNoLongerThanItMay(t *testing.T) {
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

func TestAnAnswerThatCannotBeUnderstoodIsAnError(t *testing.T) {
	for body, want := range map[string]string{
		"":                            "unexpected end of JSON input",
		"<html>":                      "invalid character '<'",
		`{"webhooks":{}}`:             "cannot unmarshal object",
		`{}`:                          "it has no list",
		`{"webhooks":null}`:           "it has no list",
		`{"webhooks":[{"name":"a"}]}`: "there is a webhook without webhook_id",
		`{"webhooks":[` + strings.Repeat(" ", maxAnswer) + `]}`: "it is longer than 16777216 bytes",
	} {
		server := elevenlabstest.New(t)
		server.Fault(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) })
		_, err := newClient(t, server).Webhooks(t.Context())
		require.ErrorContains(t, err, "listing webhooks: ElevenLabs's answer cannot be understood: ")
		require.ErrorContains(t, err, want)
		assert.Len(t, server.Requests(), 1)
	}
}

func TestADeleteOfWhatNeverWasIsAnError(t *testing.T) {
	server := elevenlabstest.New(t)
	server.Fault(elevenlabstest.Answer(429))
	synctest.Test(t, func(t *testing.T) {
		assert.ErrorContains(t, remove(t.Context(), newClient(t, server)), "deleting webhook wh_1: ElevenLabs answered 404")
	})
	assert.Len(t, server.Requests(), 2)
}

func TestSettingsThatCannotBeReadAreAnError(t *testing.T) {
	for body, do := range map[string]func(context.Context, *Client) error{
		`{}`:                readSettings,
		`{"webhooks":"a"}`:  readSettings,
		`{"status":"ok"}`:   readAgent,
		`{"agent_id":null}`: readAgent,
	} {
		server := elevenlabstest.New(t)
		server.Fault(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) })
		assert.ErrorContains(t, do(t.Context(), newClient(t, server)), ": ElevenLabs's answer cannot be understood: ", body)
	}
}

func TestWhatIsSentWithEveryRequest(t *testing.T) {
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
