package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/signature"
)

type rejectedRequest struct {
	name   string
	change func(*http.Request)
}

// rejectedRequests returns changes for which the handler rejects a request, before or
// after it has read the body.
func rejectedRequests(body []byte) []rejectedRequest {
	return []rejectedRequest{
		{"unsigned", func(r *http.Request) { r.Header.Del(signature.HeaderName) }},
		{"malformed", func(r *http.Request) { r.Header.Set(signature.HeaderName, "t=1") }},
		{"signed by another secret", func(r *http.Request) {
			r.Header.Set(signature.HeaderName, signature.Sign([]byte("wsec_other"), time.Now(), body))
		}},
		{"stale", func(r *http.Request) {
			r.Header.Set(signature.HeaderName, signature.Sign([]byte(secret), time.Now().Add(-time.Hour), body))
		}},
		{"declared too large", func(r *http.Request) {
			r.Body, r.GetBody, r.ContentLength = io.NopCloser(bytes.NewReader(bytes.Repeat(body, 20))), nil, int64(20*len(body))
		}},
		{"too large, chunked", func(r *http.Request) {
			r.Body, r.GetBody, r.ContentLength = io.NopCloser(bytes.NewReader(bytes.Repeat(body, 20))), nil, -1
		}},
		{"unsigned, chunked", func(r *http.Request) { r.Header.Del(signature.HeaderName); chunked(r) }},
		{"unsigned, that waits for 100 Continue", func(r *http.Request) {
			r.Header.Del(signature.HeaderName)
			r.Header.Set("Expect", "100-continue")
		}},
		{"unsigned, with trailers", func(r *http.Request) {
			r.Header.Del(signature.HeaderName)
			r.Trailer = http.Header{"X-Elevenlabs-Verified": {"true"}}
			chunked(r)
		}},
	}
}

// What is left of a rejected body must not be read as the next request: behind a proxy
// that shares connections, it would be somebody else's.
func TestTheRestOfARejectedBodyIsNotTheNextRequest(t *testing.T) {
	t.Parallel() // it mostly waits
	for _, before := range []string{"", "tracing", "request_body {\nmax_size 10MB\n}"} {
		t.Run(before, func(t *testing.T) {
			t.Parallel()
			s := start(t, site(before+"\nhandle /webhooks/elevenlabs {\nelevenlabs_webhook {\nsecret {env.WEBHOOK_SECRET}\nmax_size 2MiB\nreverse_proxy 127.0.0.1:1\n}\n}\nrespond smuggled"))
			smuggled := strings.Repeat("\r\n", 32<<10) + "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
			for _, size := range []int{100, 200 << 10, 300 << 10, 1 << 20, 3 << 20} {
				for _, chunks := range []bool{false, true} {
					for _, headers := range []string{"", "Expect: 100-continue\r\n", signature.HeaderName + ": " + signature.Sign([]byte("wsec_other"), time.Now(), nil) + "\r\n"} {
						what := fmt.Sprintf("%d bytes, chunked %t, %q", size, chunks, headers)
						body := strings.Repeat(smuggled, size/len(smuggled)+1)[:size]
						framing := fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body), body)
						if chunks {
							framing = fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(body), body)
						}
						config := s.tlsConfig()
						config.NextProtos = []string{"http/1.1"}
						conn, err := tls.Dial("tcp", s.address, config)
						require.NoError(t, err)
						sent := make(chan struct{})
						go func() {
							defer close(sent)
							_, _ = io.WriteString(conn, "POST /webhooks/elevenlabs HTTP/1.1\r\nHost: localhost\r\n"+headers+framing+"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
						}()
						require.NoError(t, conn.SetReadDeadline(time.Now().Add(patience)))
						answers := bufio.NewReader(conn)
						var statuses []int
						for {
							response, err := http.ReadResponse(answers, nil)
							if err != nil {
								break
							}
							text, _ := io.ReadAll(response.Body)
							if response.StatusCode != http.StatusContinue {
								statuses = append(statuses, response.StatusCode)
							}
							if len(statuses) > 1 {
								assert.Equal(t, "smuggled", string(text), what) // the request after the body, and whole
							}
						}
						conn.Close()
						<-sent
						if assert.NotEmpty(t, statuses, what) {
							assert.Contains(t, []int{400, 401, 413}, statuses[0], what)
							assert.LessOrEqual(t, len(statuses), 2, what)
							if len(statuses) == 2 {
								assert.Equal(t, 200, statuses[1], what)
							}
						}
					}
				}
			}
		})
	}
}

// After a rejection, handlers that forward the request to an application must not hand
// it a forgery. The application's answer comes through: the proxy works.
func TestARejectedRequestCarriesNothingToAnErrorRoute(t *testing.T) {
	t.Parallel() // it mostly waits
	const handler = "elevenlabs_webhook {\nsecret {env.WEBHOOK_SECRET}\nmax_size 64KiB\nmemory_buffer 1KiB\n$OPTIONS\nreverse_proxy $APP\n}"
	proxyPage := "handle_errors {\nreverse_proxy $PAGE\n}"
	for _, route := range []struct {
		name, caddyfile string
		options         string
	}{
		{name: "handle_errors", caddyfile: site("handle /webhooks/elevenlabs {\n" + handler + "\n}\n" + proxyPage)},
		{name: "handle_errors with handle_response", caddyfile: site("handle /webhooks/elevenlabs {\n" + handler + "\n}\nhandle_errors {\nreverse_proxy $PAGE {\n@any status 2xx\nhandle_response @any {\ncopy_response_headers\nreverse_proxy $PAGE\n}\n}\n}")},
		{name: "invoke and a named route", caddyfile: "&(hook) {\n" + handler + "\n}\n&(page) {\nreverse_proxy $PAGE\n}\n" + site("handle /webhooks/elevenlabs {\ninvoke hook\n}\nhandle_errors {\ninvoke page\n}")},
		{name: "intercept", caddyfile: site("intercept {\n@any status 4xx\nhandle_response @any {\nreverse_proxy $PAGE\n}\n}\nhandle /webhooks/elevenlabs {\n" + handler + "\n}\n" + proxyPage)},
		{name: "middleware", caddyfile: site("route /webhooks/elevenlabs {\nelevenlabs_webhook {\nsecret {env.WEBHOOK_SECRET}\nmax_size 64KiB\nmemory_buffer 1KiB\n$OPTIONS\n}\nreverse_proxy $APP\n}\n" + proxyPage)},
		{name: "from a wrong address", options: "source_ips us", caddyfile: site("handle /webhooks/elevenlabs {\n" + handler + "\n}\n" + proxyPage)},
	} {
		t.Run(route.name, func(t *testing.T) {
			t.Parallel()
			app, page := newBackend(t), newBackend(t)
			s := start(t, strings.NewReplacer("$APP", app.address(), "$PAGE", page.address(), "$OPTIONS", route.options).Replace(route.caddyfile))
			forged := bytes.Repeat([]byte("forged"), 1000)
			for _, proto := range protocols {
				client := s.client(proto)
				for _, request := range rejectedRequests(forged) {
					what := fmt.Sprintf("%s %s", proto, request.name)
					r := s.event(forged)
					request.change(r)
					r.Header.Set("X-ElevenLabs-Verified", "true")
					began := time.Now()
					got, err := try(client, r)
					assert.Less(t, time.Since(began), patience/2, what)
					assert.Empty(t, app.take(), what)
					reached := page.take()
					if !assert.NoError(t, err, what) {
						continue
					}
					assert.Equal(t, 200, got.status, what)
					if assert.NotEmpty(t, reached, what) {
						for _, d := range reached {
							assert.Equal(t, digestOf(nil), d.digest, what)
							assert.Zero(t, d.length, what)
							assert.Empty(t, d.encoding, what)
							assert.Empty(t, d.trailer, what)
							for name := range d.header {
								assert.NotContains(t, strings.ToLower(name), "elevenlabs", what)
								assert.NotContains(t, []string{"Trailer", "Expect", "Idempotency-Key"}, name, what)
							}
						}
					}
				}
				client.CloseIdleConnections()
			}
			// the gate still works, and the connection is in order
			client := s.client("HTTP/1.1")
			if route.options == "" {
				assert.Equal(t, 200, send(t, client, s.event([]byte(transcript))).status)
				assert.Len(t, app.take(), 1)
			}
			client.CloseIdleConnections()
			page.take()
		})
	}
}

// With tracing, the error route has a copy of the request, which keeps the length. Its
// proxy cannot send the body, since that is gone.
func TestARejectedRequestCarriesNoBodyToAnErrorRouteWithTracing(t *testing.T) {
	t.Parallel() // it mostly waits
	var received atomic.Int64
	app := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		received.Add(n)
	}))
	defer app.Close()
	s := start(t, site("tracing\nhandle /webhooks/elevenlabs {\nelevenlabs_webhook {\nsecret {env.WEBHOOK_SECRET}\nmax_size 64KiB\nreverse_proxy "+app.Listener.Addr().String()+"\n}\n}\nhandle_errors {\nreverse_proxy "+app.Listener.Addr().String()+"\n}"))
	forged := bytes.Repeat([]byte("forged"), 1000)
	for _, proto := range protocols {
		for _, request := range rejectedRequests(forged) {
			client := s.client(proto)
			r := s.event(forged)
			request.change(r)
			if got, err := try(client, r); err == nil && r.ContentLength > 0 {
				assert.NotEqual(t, 200, got.status, "%s %s", proto, request.name)
			}
			assert.Zero(t, received.Load(), "%s %s", proto, request.name)
			client.CloseIdleConnections()
		}
	}
	client := s.client("HTTP/1.1")
	assert.Equal(t, 200, send(t, client, s.event(forged)).status)
	assert.EqualValues(t, len(forged), received.Load())
	client.CloseIdleConnections()
}
