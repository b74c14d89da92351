package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/signature"
)

func requireRejected(t testing.TB, b *backend, got answer, status int, reason string) {
	t.Helper()
	assert.Equal(t, status, got.status)
	assert.Equal(t, reason, got.header.Get("X-ElevenLabs-Rejection"))
	assert.Empty(t, b.take(), "the request reached the backend")
}

func TestRequestsThatAreNotGenuineAreRejectedOverEachProtocol(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	s := start(t, webhook(b.address(), "max_size 1MiB\nmemory_buffer 64KiB"))
	body := []byte(transcript)
	now := time.Now()
	replaced := func(body []byte) func(*http.Request) {
		return func(r *http.Request) {
			r.Body, r.ContentLength, r.GetBody = io.NopCloser(bytes.NewReader(body)), int64(len(body)), nil
		}
	}
	tests := []struct {
		name    string
		request func() *http.Request
		change  func(*http.Request)
		status  int
		reason  string
	}{
		{"signed by another secret", func() *http.Request { return s.signed(body, "wsec_other", now) }, nil, 401, "signature_mismatch"},
		{"stale", func() *http.Request { return s.signed(body, secret, now.Add(-31*time.Minute)) }, nil, 403, "timestamp_stale"},
		{"future", func() *http.Request { return s.signed(body, secret, now.Add(6*time.Minute)) }, nil, 403, "timestamp_future"},
		{"tampered", func() *http.Request { return s.event(body) }, replaced(bytes.Replace(body, []byte("conv_1"), []byte("conv_2"), 1)), 401, "signature_mismatch"},
		{"re-serialised", func() *http.Request { return s.event(body) }, replaced(append([]byte(" "), body...)), 401, "signature_mismatch"},
		{"shortened", func() *http.Request { return s.event(body) }, replaced(body[:len(body)-1]), 401, "signature_mismatch"},
		{"tampered in a spilled body", func() *http.Request { return s.event(audio(500_000)) }, replaced(audio(500_100)), 401, "signature_mismatch"},
		{"without signature", func() *http.Request { return s.event(body) }, func(r *http.Request) { r.Header.Del(signature.HeaderName) }, 400, "signature_missing"},
		{"with two signatures", func() *http.Request { return s.event(body) }, func(r *http.Request) {
			r.Header.Add(signature.HeaderName, r.Header.Get(signature.HeaderName))
		}, 400, "signature_malformed"},
		{"signature in another header", func() *http.Request { return s.event(body) }, func(r *http.Request) {
			r.Header.Set("X-"+signature.HeaderName, r.Header.Get(signature.HeaderName))
			r.Header.Del(signature.HeaderName)
		}, 400, "signature_missing"},
		{"declared too large", func() *http.Request { return s.event(audio(1 << 20)) }, nil, 413, "body_too_large"},
		{"too large, chunked", func() *http.Request { return chunked(s.event(audio(1 << 20))) }, nil, 413, "body_too_large"},
		{"GET", func() *http.Request { return s.event(body) }, func(r *http.Request) { r.Method = http.MethodGet }, 405, "method_not_allowed"},
		{"PUT", func() *http.Request { return s.event(body) }, func(r *http.Request) { r.Method = http.MethodPut }, 405, "method_not_allowed"},
		{"HEAD", func() *http.Request { return s.event(nil) }, func(r *http.Request) { r.Method = http.MethodHead }, 405, "method_not_allowed"},
		{"with early data, according to a proxy", func() *http.Request { return s.event(body) }, func(r *http.Request) { r.Header.Set("Early-Data", "1") }, 425, "early_data"},
	}
	for _, proto := range protocols {
		client := s.client(proto)
		for _, test := range tests {
			t.Run(proto+"/"+test.name, func(t *testing.T) {
				request := test.request()
				if test.change != nil {
					test.change(request)
				}
				request.Header.Set("X-ElevenLabs-Verified", "true")
				requireRejected(t, b, send(t, client, request), test.status, test.reason)
			})
		}
		client.CloseIdleConnections()
	}
	assert.NotContains(t, s.log.String(), secret)
}

func TestSpoofedHeadersDoNotReachTheBackend(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	s := start(t, webhook(b.address(), ""))
	for _, proto := range protocols {
		request := s.event([]byte(transcript))
		for _, name := range []string{"X-ElevenLabs-Verified", "X-ElevenLabs-Voice-Id", "X-ElevenLabs-Anything", "x_elevenlabs_voice_id", "Idempotency-Key"} {
			request.Header[name] = []string{"spoofed"}
		}
		send(t, s.client(proto), request)
		d := requireDelivered(t, b, []byte(transcript))
		for name, values := range d.header {
			assert.NotContains(t, values, "spoofed", name)
		}
	}
}

// raw lets a function write to a connection over HTTP/1.1 and TLS, and reads one answer.
func (s *server) raw(t testing.TB, send func(io.Writer)) answer {
	t.Helper()
	config := s.tlsConfig()
	config.NextProtos = []string{"http/1.1"}
	conn, err := tls.Dial("tcp", s.address, config)
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
	send(conn)
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	defer response.Body.Close()
	return answer{status: response.StatusCode, header: response.Header}
}

// head returns the head of a request with the signature of a body.
func (s *server) head(body []byte, lengthHeader string) string {
	return fmt.Sprintf("POST /webhooks/elevenlabs HTTP/1.1\r\nHost: %s\r\n%s\r\n%s: %s\r\n\r\n",
		s.address, lengthHeader, signature.HeaderName, signature.Sign([]byte(secret), time.Now(), body))
}

func TestTrailersAreRemoved(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	s := start(t, webhook(b.address(), ""))
	requireNoTrailer := func(t *testing.T) {
		t.Helper()
		d := requireDelivered(t, b, []byte(transcript))
		assert.Empty(t, d.header.Values("X-ElevenLabs-Voice-Id"))
		assert.Empty(t, d.header.Values("Trailer"))
		assert.Empty(t, d.trailer)
	}
	for name, declared := range map[string]string{"declared": "\r\nTrailer: X-ElevenLabs-Voice-Id", "not declared": ""} {
		t.Run(name, func(t *testing.T) {
			got := s.raw(t, func(w io.Writer) {
				_, _ = io.WriteString(w, s.head([]byte(transcript), "Transfer-Encoding: chunked"+declared))
				fmt.Fprintf(w, "%x\r\n%s\r\n0\r\nX-ElevenLabs-Voice-Id: spoofed\r\n\r\n", len(transcript), transcript)
			})
			assert.Equal(t, 200, got.status)
			requireNoTrailer(t)
		})
	}
	for _, proto := range protocols[1:] {
		t.Run(proto, func(t *testing.T) {
			client := s.client(proto)
			request := chunked(s.event([]byte(transcript)))
			request.Trailer = http.Header{"X-Elevenlabs-Voice-Id": {"spoofed"}}
			assert.Equal(t, 200, send(t, client, request).status)
			client.CloseIdleConnections()
			requireNoTrailer(t)
		})
	}
	t.Run("a signature", func(t *testing.T) {
		line := signature.HeaderName + ": " + signature.Sign([]byte(secret), time.Now(), []byte(transcript))
		got := s.raw(t, func(w io.Writer) {
			fmt.Fprintf(w, "POST /webhooks/elevenlabs HTTP/1.1\r\nHost: %s\r\nTransfer-Encoding: chunked\r\nTrailer: %s\r\n\r\n", s.address, signature.HeaderName)
			fmt.Fprintf(w, "%x\r\n%s\r\n0\r\n%s\r\n\r\n", len(transcript), transcript, line)
		})
		requireRejected(t, b, got, 400, "signature_missing")
	})
}

func TestTruncatedBodiesAreRejected(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	s := start(t, webhook(b.address(), "memory_buffer 4KiB"))
	body := audio(100_000)
	for name, write := range map[string]func(io.Writer){
		"shorter than declared": func(w io.Writer) {
			_, _ = io.WriteString(w, s.head(body, fmt.Sprintf("Content-Length: %d", len(body)+1)))
			_, _ = w.Write(body)
			_ = w.(*tls.Conn).CloseWrite()
		},
		"chunks without an end": func(w io.Writer) {
			_, _ = io.WriteString(w, s.head(body, "Transfer-Encoding: chunked"))
			fmt.Fprintf(w, "%x\r\n%s\r\n", len(body), body)
			_ = w.(*tls.Conn).CloseWrite()
		},
		"a bad chunk": func(w io.Writer) {
			_, _ = io.WriteString(w, s.head(body, "Transfer-Encoding: chunked"))
			fmt.Fprintf(w, "%x\r\n%s\r\nzz\r\n", len(body), body)
		},
	} {
		t.Run(name, func(t *testing.T) {
			requireRejected(t, b, s.raw(t, write), 400, "body_incomplete")
		})
	}
	t.Run("the client leaves", func(t *testing.T) {
		config := s.tlsConfig()
		conn, err := tls.Dial("tcp", s.address, config)
		require.NoError(t, err)
		_, _ = io.WriteString(conn, s.head(body, fmt.Sprintf("Content-Length: %d", len(body))))
		_, _ = conn.Write(body[:50_000])
		conn.Close()
		s.eventually("the log", func() bool { return strings.Count(s.log.String(), "body_incomplete") >= 4 })
	})
	assert.Empty(t, b.take())
}

// A request that sends no body holds little, even if it declares a large one.
func TestIdleRequestsDoNotUseUpTheSpool(t *testing.T) {
	b := newBackend(t)
	// No timeout may end the first requests before the last one comes.
	s := start(t, "{\nservers {\ntimeouts {\nread_body_idle 10m\n}\n}\n}\n"+webhook(b.address(), "spool_limit 16MiB\nmax_size 8MiB\nread_timeout 10m"))
	config := s.tlsConfig()
	config.NextProtos = []string{"http/1.1"}
	for range 500 { // with 64 KiB each, half of them would reach spool_limit
		conn, err := tls.Dial("tcp", s.address, config)
		require.NoError(t, err)
		defer conn.Close()
		_, err = io.WriteString(conn, s.head(nil, "Content-Length: 5000000"))
		require.NoError(t, err)
	}
	s.eventually("the handler to read all bodies", func() bool { return s.goroutines("spool.Read") == 500 })
	assert.Equal(t, 200, send(t, s.client("HTTP/2.0"), s.event([]byte(transcript))).status)
}

func TestNoSpellingOfThePathReachesTheBackendUnverified(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	paths := []string{
		"/hook", "/hook/", "//hook", "/HOOK", "/Hook", "/hook%2f", "/hook%2F", "/%68ook", "/./hook", "/x/../hook", "/hook/.", "/hook/..", "/hook//",
		"/hook;x", "/hook?x", "/hook%00", "/hook%20", "/hook.", "\\hook", "/hook\\", "/hook%5c", "/..%2fhook", "/hook/../hook", "/hook%3f", "/", "/other", "*",
	}
	for name, config := range map[string]string{
		"on the directive": site("elevenlabs_webhook /hook {\nsecret {env.WEBHOOK_SECRET}\nreverse_proxy " + b.address() + "\n}"),
		"in a handle":      site("handle /hook {\nelevenlabs_webhook {\nsecret {env.WEBHOOK_SECRET}\nreverse_proxy " + b.address() + "\n}\n}"),
		"in a handle_path": site("handle_path /hook* {\nelevenlabs_webhook {\nsecret {env.WEBHOOK_SECRET}\nreverse_proxy " + b.address() + "\n}\n}"),
		"for all paths":    site("elevenlabs_webhook {\nsecret {env.WEBHOOK_SECRET}\nreverse_proxy " + b.address() + "\n}"),
		"as a middleware":  site("handle /hook* {\nelevenlabs_webhook {\nsecret {env.WEBHOOK_SECRET}\n}\nreverse_proxy " + b.address() + "\n}"),
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, config)
			var verified int
			for _, path := range paths {
				for _, key := range []string{secret, "wsec_other", ""} {
					header := "X-None: 1"
					if key != "" {
						header = signature.HeaderName + ": " + signature.Sign([]byte(key), time.Now(), []byte(transcript))
					}
					got := s.raw(t, func(w io.Writer) {
						fmt.Fprintf(w, "POST %s HTTP/1.1\r\nHost: %s\r\nX-ElevenLabs-Verified: true\r\nContent-Length: %d\r\n%s\r\n\r\n%s", path, s.address, len(transcript), header, transcript)
					})
					for _, d := range b.take() {
						require.Equal(t, secret, key, "%s reached the backend", path)
						require.Equal(t, "true", d.header.Get("X-ElevenLabs-Verified"))
						require.Len(t, d.header.Get("X-ElevenLabs-Event-Id"), 64, "the client set the header, not the handler")
						require.Equal(t, 200, got.status)
						verified++
					}
				}
			}
			assert.NotZero(t, verified, "no path reached the backend with a genuine event")
		})
	}
}

func TestErrorRoutesCanUseTheReason(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	s := start(t, strings.TrimSuffix(webhook(b.address(), ""), "}\n")+`
	handle_errors {
		respond "{http.elevenlabs.rejection}/{http.elevenlabs.verified}/{err.status_code}/{err.message}" {err.status_code}
	}
}
`)
	request := s.event([]byte(transcript))
	request.Header.Del(signature.HeaderName)
	got := send(t, s.client("HTTP/2.0"), request)
	requireRejected(t, b, got, 400, "signature_missing")
	assert.Equal(t, "signature_missing/false/400/there is no signature header", got.body)
}

func TestPlainHTTPIsRejectedExceptIfATrustedProxySaysHTTPS(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	for _, test := range []struct {
		name, globals, options string
		proto                  []string
		status                 int
	}{
		{"plain", "", "", nil, 403},
		{"a stranger says https", "", "", []string{"https"}, 403},
		{"a trusted proxy says https", "servers {\ntrusted_proxies static 127.0.0.0/8 ::1/128\n}", "", []string{"https"}, 200},
		{"a trusted proxy says http", "servers {\ntrusted_proxies static 127.0.0.0/8 ::1/128\n}", "", []string{"http"}, 403},
		{"a trusted proxy appends to the client's value", "servers {\ntrusted_proxies static 127.0.0.0/8 ::1/128\n}", "", []string{"http", "https"}, 403},
		{"allow_http", "", "allow_http", nil, 200},
	} {
		t.Run(test.name, func(t *testing.T) {
			config := strings.NewReplacer("https://$ADDRESS", "http://$ADDRESS", "\ttls internal\n", "").Replace(webhook(b.address(), test.options))
			if test.globals != "" {
				config = "{\n" + test.globals + "\n}\n" + config
			}
			s := start(t, config)
			request := s.event([]byte(transcript))
			request.URL.Scheme = "http"
			request.Header["X-Forwarded-Proto"] = test.proto
			got := send(t, http.DefaultClient, request)
			assert.Equal(t, test.status, got.status)
			if test.status == 200 {
				requireDelivered(t, b, []byte(transcript))
			} else {
				requireRejected(t, b, got, 403, "insecure_transport")
			}
		})
	}
}

func TestSourceIPsAreComparedWithCaddysClientAddress(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	s := start(t, "{\nservers {\ntrusted_proxies static 127.0.0.0/8 ::1/128\ntrusted_proxies_strict\n}\n}\n"+webhook(b.address(), "source_ips elevenlabs"))
	for client, status := range map[string]int{"34.67.146.145": 200, "192.0.2.1": 403, "34.67.146.145, 192.0.2.1": 403, "": 403} {
		request := s.event([]byte(transcript))
		if client != "" {
			request.Header.Set("X-Forwarded-For", client)
		}
		got := send(t, s.client("HTTP/1.1"), request)
		if status == 200 {
			assert.Equal(t, 200, got.status)
			b.take()
		} else {
			requireRejected(t, b, got, 403, "source_not_allowed")
		}
	}
}

func TestReportOnlyForwardsForgeriesMarkedAsSuch(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	s := start(t, webhook(b.address(), "report_only"))
	request := s.signed([]byte(transcript), "wsec_other", time.Now())
	request.Header.Set("X-ElevenLabs-Verified", "true")
	request.Header.Set("Connection", "X-ElevenLabs-Verified, X-ElevenLabs-Rejection")
	assert.Equal(t, 200, send(t, s.client("HTTP/1.1"), request).status)
	deliveries := b.take()
	require.Len(t, deliveries, 1)
	assert.Equal(t, []string{"false"}, deliveries[0].header.Values("X-ElevenLabs-Verified"))
	assert.Equal(t, "signature_mismatch", deliveries[0].header.Get("X-ElevenLabs-Rejection"))
	s.awaitLog("webhook would be rejected: signature_mismatch", "report_only is set")
}

func TestSecretsAreNotShownAnywhere(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	s := start(t, "{\ndebug\nservers {\ntrace\n}\n}\n"+strings.TrimSuffix(webhook(b.address(), ""), "}\n")+"\nlog\n}\n")
	send(t, s.client("HTTP/2.0"), s.event([]byte(transcript)))
	send(t, s.client("HTTP/2.0"), s.signed([]byte(transcript), "wsec_other", time.Now()))
	b.take()
	s.awaitLog(`"elevenlabs":{"verified":"true"`, `"reason":"signature_mismatch"`) // in the access log
	adapt := exec.Command(binary, "adapt", "--config", s.file)
	adapt.Env = append(os.Environ(), "WEBHOOK_SECRET="+secret)
	adapted, err := adapt.Output()
	require.NoError(t, err)
	for what, text := range map[string]string{
		"adapt": string(adapted), "/config/": s.get("/config/"), "the log": s.log.String(), "status": s.get("/elevenlabs/status"),
	} {
		assert.Contains(t, text, "{env.WEBHOOK_SECRET}", what)
		assert.NotContains(t, text, secret, what)
	}
	for _, path := range []string{"/elevenlabs/deliveries", "/metrics"} {
		assert.NotContains(t, s.get(path), secret, path)
		assert.Contains(t, s.get(path), "end-to-end", path)
	}
}

func TestInvalidConfigurationsAreRejected(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, config, want string }{
		{"unset secret", "localhost:1 {\nelevenlabs_webhook {\nsecret {env.NOT_SET_ANYWHERE}\n}\n}", "{env.NOT_SET_ANYWHERE}"},
		{"missing secret file", "localhost:1 {\nelevenlabs_webhook {\nsecret {file./nonexistent}\n}\n}", "the file /nonexistent does not exist"},
		{"unknown option", "localhost:1 {\nelevenlabs_webhook {\nsecret {env.HOME}\nsecrets x\n}\n}", "Caddyfile:4"},
		{"unwritable spool_dir", unwritableSpoolDir, "spool_dir: making a temporary file: open /nonexistent/"},
		{"no secret", "localhost:1 {\nelevenlabs_webhook\n}", "secret"},
		{"placeholder of a request", "localhost:1 {\nelevenlabs_webhook {\nsecret {http.request.header.X}\n}\n}", "{http.request.header.X}"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			file := t.TempDir() + "/Caddyfile"
			require.NoError(t, os.WriteFile(file, []byte(test.config), 0o600))
			validate := exec.Command(binary, "validate", "--config", file)
			output, err := validate.CombinedOutput()
			require.Error(t, err)
			assert.Contains(t, string(output), test.want)
		})
	}
}

// unwritableSpoolDir is a Caddyfile whose spool_dir this machine cannot write to.
const unwritableSpoolDir = "localhost:1 {\nelevenlabs_webhook {\nsecret {env.HOME}\nspool_dir /nonexistent\n}\n}"

// Caddy may adapt a Caddyfile on another machine than the server's.
func TestAdaptDoesNotTouchTheSpoolDir(t *testing.T) {
	t.Parallel()
	file := t.TempDir() + "/Caddyfile"
	require.NoError(t, os.WriteFile(file, []byte(unwritableSpoolDir), 0o600))
	output, err := exec.Command(binary, "adapt", "--config", file).Output()
	require.NoError(t, err)
	assert.Contains(t, string(output), `"spool_dir":"/nonexistent"`)
}
