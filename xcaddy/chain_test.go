package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// around returns a Caddyfile with the handler, and directives before and after it.
func around(before, after string) string {
	return site("route /webhooks/elevenlabs {\n" + before + "\nelevenlabs_webhook {\nsecret {env.WEBHOOK_SECRET} end-to-end\nretries 4\n}\n" + after + "\n}")
}

// The server's limit for reading a body must end when the body is complete. Otherwise
// the handler would take a slow backend for a client that has left.
func TestBackendMayTakeLongerThanTheServersReadBodyTimeout(t *testing.T) {
	t.Parallel()
	const limit = time.Second
	slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		time.Sleep(2 * limit) // longer than the limit
		w.WriteHeader(http.StatusOK)
	}))
	defer slow.Close()
	proxy := "reverse_proxy " + slow.Listener.Addr().String()
	for _, idle := range []string{"1m", "-1s"} {
		limits := fmt.Sprintf("{\nservers {\ntimeouts {\nread_body %s\nread_body_idle %s\n}\n}\n}\n", limit, idle)
		for name, config := range map[string]string{
			"one handler":  around("", proxy),
			"two in a row": around("elevenlabs_webhook {\nsecret {env.WEBHOOK_SECRET} first\n}", proxy),
		} {
			t.Run(name+", "+idle, func(t *testing.T) {
				s := start(t, limits+config)
				for _, proto := range protocols {
					client := s.client(proto)
					assert.Equal(t, 200, send(t, client, s.event([]byte(transcript))).status, proto)
					client.CloseIdleConnections()
				}
				for _, d := range shown(t, s, "/elevenlabs/deliveries") {
					assert.Equal(t, "accepted", d["result"], d)
				}
			})
		}
	}
}

func TestReadTimeoutAppliesWithAnyTimeoutsOfCaddy(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	for _, global := range []string{"", "{\nservers {\ntimeouts {\nread_body_idle -1s\n}\n}\n}\n"} {
		for _, local := range []string{"", "timeouts {\nread_timeout 1m\n}\n"} {
			s := start(t, global+site(local+"elevenlabs_webhook {\nsecret {env.WEBHOOK_SECRET}\nread_timeout 300ms\nreverse_proxy "+b.address()+"\n}"))
			for _, proto := range protocols {
				done := make(chan struct{})
				request := s.event([]byte(transcript))
				request.Body, request.ContentLength, request.GetBody = io.NopCloser(trickle{done}), -1, nil
				client := s.client(proto)
				client.Timeout = 5 * time.Second
				got, err := try(client, request)
				require.NoError(t, err, "%s, %q, %q", proto, global, local)
				requireRejected(t, b, got, 408, "body_timeout")
				close(done)
				client.CloseIdleConnections()
			}
		}
	}
}

func TestEventIsRetriedBehindForwardAuth(t *testing.T) {
	t.Parallel()
	auth := newBackend(t)
	for name, health := range map[string]string{"refused": "", "marked as down": "fail_duration 200ms"} {
		t.Run(name, func(t *testing.T) {
			b := newBackend(t)
			down := fmt.Sprintf("127.0.0.1:%d", freePort(t))
			s := start(t, around("", fmt.Sprintf("forward_auth %s {\nuri /auth\n}\nreverse_proxy %s {\n%s\n}", auth.address(), down, health)))
			b.comeUp(t, down, time.Second)
			client := s.client("HTTP/1.1")
			assert.Equal(t, 200, send(t, client, s.event([]byte(transcript))).status)
			requireDelivered(t, b, []byte(transcript))
			client.CloseIdleConnections()
		})
	}
}

// The backend's answer counts, even if handle_response or lb_retry_match changes it.
func TestBackendsAnswerCountsWhateverHandleResponseMakesOfIt(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		backend  int
		response string // handle_response's routes, and other options
		status   int
		want     []any
	}{
		"no answer of its own": {
			201, "handle_response {\ncopy_response_headers\n}", 200, []any{"accepted", nil, 201.},
		},
		"no answer of its own to a failure, which Caddy would make a 200": {
			500, "handle_response {\ncopy_response_headers\n}", 500, []any{"failed", "no_handler", 500.},
		},
		"no answer of its own to 101": {
			101, "handle_response {\ncopy_response_headers\n}", 502, []any{"failed", "backend_answer", 101.},
		},
		"an error": {
			500, "handle_response {\nerror 502\n}", 502, []any{"failed", "backend_answer", 500.},
		},
		"an answer that lb_retry_match gave up on": {
			503, "lb_retries 1\nlb_retry_match `{rp.status_code} == 503`\nrequest_buffers 1MiB", 503, []any{"failed", "backend_answer", 503.},
		},
		"another proxy, whose backend is down": {
			500, "handle_response {\nrewrite * /failed{uri}\nreverse_proxy 127.0.0.1:1 {\nmethod GET\n}\n}", 502, []any{"failed", "backend_answer", 500.},
		},
		"another proxy for an event that was accepted, whose backend is down": {
			200, "handle_response {\nrewrite * /accepted{uri}\nreverse_proxy 127.0.0.1:1 {\nmethod GET\n}\n}", 502, []any{"failed", "backend_unreachable", 200.},
		},
		"a page instead of a failure": {
			404, "handle_response {\nrespond sorry 503\n}", 503, []any{"failed", "backend_answer", 404.},
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBackend(t)
			b.status = test.backend
			proxy := b.address() + " {\n" + test.response + "\n}"
			for place, caddyfile := range map[string]string{"inside": webhook(proxy, ""), "after": around("", "reverse_proxy "+proxy)} {
				s := start(t, caddyfile)
				client := s.client("HTTP/1.1")
				assert.Equal(t, test.status, send(t, client, s.event([]byte(transcript))).status, place)
				client.CloseIdleConnections()
				for _, d := range b.take() {
					assert.Equal(t, "/webhooks/elevenlabs", d.path, "no answer is repeated elsewhere")
				}
				d := shown(t, s, "/elevenlabs/deliveries")[0]
				assert.Equal(t, test.want, []any{d["result"], d["reason"], d["upstream_status"]}, place)
				assert.EqualValues(t, 1, d["attempts"], place)
			}
		})
	}
}

// A handler around elevenlabs_webhook may use the request after it.
func TestInterceptCanProxyTheErrorPage(t *testing.T) {
	t.Parallel()
	b, pages := newBackend(t), newBackend(t)
	b.status, pages.status = 500, 503
	s := start(t, site(fmt.Sprintf(`
		intercept {
			@failed status 5xx
			handle_response @failed {
				reverse_proxy %s {
					method GET
					rewrite /sorry
				}
			}
		}
		handle /webhooks/elevenlabs {
			elevenlabs_webhook {
				secret {env.WEBHOOK_SECRET}
				reverse_proxy %s
			}
		}`, pages.address(), b.address())))
	for _, proto := range protocols {
		client := s.client(proto)
		assert.Equal(t, 503, send(t, client, s.event([]byte(transcript))).status)
		assert.Len(t, pages.take(), 1)
		client.CloseIdleConnections()
	}
}
