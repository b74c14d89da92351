package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptrace"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// proxyForm is a way to write reverse_proxy. $1 and $2 are the addresses of backends.
type proxyForm struct {
	name   string
	proxy  string
	kind   string              // of the backends
	status int                 // of their answer, if it is not 200
	around string              // what the handler stands in; $HANDLER is the handler
	proto  string              // of the client, if it is not HTTP/1.1
	change func(*http.Request) // of the event
	server string              // an option of Caddy's server
}

// one is the form with one backend and options.
func one(options string) string { return "$1 {\n" + options + "\n}" }

var placeholdersUp = func() string {
	var lines strings.Builder
	for i, name := range strings.Fields(`http.request.host http.request.hostport http.request.uri http.request.uri.path http.request.uri.query
		http.request.method http.request.remote http.request.remote.host http.request.remote.port http.request.local http.request.local.host
		http.request.local.port http.request.scheme http.request.proto http.request.tls.version http.request.tls.cipher_suite
		http.request.tls.proto http.request.tls.server_name http.request.tls.resumed http.request.header.X-Custom http.request.cookie.session
		http.request.orig_uri http.request.orig_method http.request.port http.vars.client_ip http.request.client_ip
		http.elevenlabs.event_id http.elevenlabs.event_type http.elevenlabs.conversation_id http.elevenlabs.secret_name
		http.reverse_proxy.upstream.hostport system.os http.auth.user.id`) {
		fmt.Fprintf(&lines, "header_up X-Placeholder-%d {%s}\n", i, name)
	}
	return lines.String()
}()

// The forms of the design, and some more.
var proxyForms = []proxyForm{
	{name: "plain", proxy: "$1"},
	{name: "plain, over HTTP/2", proxy: "$1", proto: "HTTP/2.0"},
	{name: "plain, over HTTP/3", proxy: "$1", proto: "HTTP/3.0"},
	{name: "from a chunked request", proxy: "$1", change: func(r *http.Request) { chunked(r) }},
	{name: "placeholders in header_up", proxy: one(placeholdersUp)},
	{name: "placeholders in header_up, over HTTP/2", proxy: one(placeholdersUp), proto: "HTTP/2.0"},
	{name: "header_up that adds, deletes and replaces", proxy: one("header_up +X-Custom third\nheader_up -User-Agent\nheader_up X-Custom fir(.*) $1\nheader_up Host {upstream_hostport}\nheader_down X-Down 1")},
	{name: "a Unix socket", proxy: "$1", kind: "unix"},
	{name: "HTTPS with HTTP/2", proxy: "https://$1 {\ntransport http {\ntls_insecure_skip_verify\nversions 2\n}\n}", kind: "h2"},
	{name: "HTTP/2 in the clear", proxy: "h2c://$1", kind: "h2c"},
	{name: "rewrite and method", proxy: one("method PUT\nrewrite /hook{uri}?from={http.request.host}")},
	{name: "lb_policy client_ip_hash", proxy: "$1 $2 {\nlb_policy client_ip_hash\n}"},
	{name: "lb_policy ip_hash", proxy: "$1 $2 {\nlb_policy ip_hash\n}"},
	{name: "lb_policy uri_hash", proxy: "$1 $2 {\nlb_policy uri_hash\n}"},
	{name: "lb_policy query", proxy: "$1 $2 {\nlb_policy query a\n}"},
	{name: "lb_policy first", proxy: "$1 $2 {\nlb_policy first\n}"},
	{name: "lb_policy header", proxy: "$1 $2 {\nlb_policy header X-Custom\n}"},
	{name: "lb_policy cookie", proxy: "$1 $2 {\nlb_policy cookie lb pepper\n}"}, // the event has the cookie of $2
	{name: "active and passive health", proxy: "$1 {\nhealth_uri /health\nhealth_interval 1s\nfail_duration 10s\nmax_fails 3\nunhealthy_status 5xx\n}"},
	{name: "dynamic a", proxy: "{\ndynamic a {\nname localhost\nport $PORT1\nversions ipv4\n}\n}"},
	{name: "buffers", proxy: one("request_buffers 4KiB\nresponse_buffers 4KiB")},
	{name: "flush_interval", proxy: one("flush_interval -1")},
	{name: "handle_response with respond", proxy: one("@bad status 500\nhandle_response @bad {\nrespond 200\n}"), status: 500},
	{name: "handle_response with copy_response", proxy: one("handle_response {\ncopy_response_headers\ncopy_response 202\n}")},
	{name: "handle_response with error", proxy: one("handle_response {\nerror 503\n}")},
	{name: "FastCGI", proxy: one("transport fastcgi {\nroot /srv\nsplit .php\nenv EXTRA {http.request.remote.host}\n}"), kind: "fastcgi"},
	{name: "PROXY protocol v1", proxy: one("transport http {\nproxy_protocol v1\n}")},
	{name: "PROXY protocol v2", proxy: one("transport http {\nproxy_protocol v2\n}")},
	{name: "trusted_proxies of reverse_proxy", proxy: one("trusted_proxies private_ranges")},
	{name: "trusted_proxies of the server", proxy: one("header_up X-Client {client_ip}"), server: "trusted_proxies static private_ranges"},
	{name: "replace_status", proxy: one("@missing status 404\nreplace_status @missing 200"), status: 404},
	{name: "replace_status of a success", proxy: one("replace_status 500")},
	{name: "verbose_logs", proxy: one("verbose_logs")},
	{name: "settings of the transport", proxy: one("transport http {\nkeepalive off\ncompression off\nread_buffer 8KiB\ndial_timeout 2s\nresponse_header_timeout 5s\n}")},
	{name: "lb_try_duration and lb_retries", proxy: one("lb_try_duration 2s\nlb_retries 2")},
	{name: "behind handle_path and request_header", proxy: "$1", around: "request_header X-Added {http.request.host}\nhandle_path /webhooks/* {\n$HANDLER\n}"},
}

func TestInboxDeliversTheRequestThatTheBackendWouldGetDirectly(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	database := newInboxFile(t)
	var globals, sites strings.Builder
	ports := make([][2]int, len(proxyForms)) // without and with an inbox
	all := make([]*upstreams, len(proxyForms))
	cookies := make([]string, len(proxyForms))
	for i, form := range proxyForms {
		all[i] = newUpstreams(t, max(form.status, 200))
		first, second := all[i].address(form.kind), all[i].address(form.kind)
		cookies[i] = lbCookie("pepper", second)
		_, port, _ := net.SplitHostPort(first)
		proxy := strings.NewReplacer("$1", first, "$2", second, "$PORT1", port).Replace(form.proxy)
		for n, inbox := range []string{"", fmt.Sprintf("inbox form-%d {\ndatabase %s\nretry 1h\n}\n", i, database)} {
			ports[i][n] = freePort(t)
			handler := "elevenlabs_webhook {\nsecret {env.WEBHOOK_SECRET} end-to-end\n" + inbox + "reverse_proxy " + proxy + "\n}"
			if form.around != "" {
				handler = strings.Replace(form.around, "$HANDLER", handler, 1)
			}
			fmt.Fprintf(&sites, "https://localhost:%d {\ntls internal\nroute {\n%s\n}\n}\n", ports[i][n], handler)
			if form.server != "" {
				fmt.Fprintf(&globals, "servers :%d {\n%s\n}\n", ports[i][n], form.server)
			}
		}
	}
	s.write("{\n" + globals.String() + "\n}\n" + site("respond 404") + sites.String())
	s.serve()

	defer func() { s.idle = s.goroutines("") }() // the proxies keep connections and check the health
	for i, form := range proxyForms {
		t.Run(form.name, func(t *testing.T) {
			body := fmt.Appendf(nil, `{"type":"post_call_transcription","event_timestamp":1739537297,"data":{"agent_id":"agent_1","conversation_id":"conv_%d"}}`, i)
			signed := s.event(body).Header // the same for both
			var seen [2]string
			var status int
			for n, port := range ports[i] {
				request := s.event(body)
				request.Header = signed.Clone()
				request.URL.Host = "localhost:" + strconv.Itoa(port)
				request.Host = "localhost"
				request.URL.Path, request.URL.RawPath, request.URL.RawQuery = "/webhooks/elevenlabs/a/b c", "/webhooks/elevenlabs/a%2Fb%20c", "a=1&b=%2F;c&d=\xe9"
				maps.Copy(request.Header, map[string][]string{
					"User-Agent": {"Python/3.12 aiohttp/3.11.16"}, "X-Custom": {"first", "second, \xe9"}, "Accept": {"*/*"}, "Accept-Encoding": {"gzip, deflate"},
					"Cookie": {"session=abc; lb=" + cookies[i]}, "X-Forwarded-For": {"203.0.113.7"}, "X-Forwarded-Proto": {"http"}, "X-Forwarded-Host": {"evil.example"},
					"X-Real-Ip": {"203.0.113.8"}, "Forwarded": {"for=203.0.113.9"}, "Te": {"trailers"}, "Via": {"1.1 edge"}, "X-ElevenLabs-Verified": {"forged"},
					"X-ElevenLabs-Attempt": {"99"}, "Webhook-Id": {"of the client"}, "Authorization": {"Bearer of the client"}, "Expect": {"100-continue"},
				})
				if form.change != nil {
					form.change(request)
				}
				var from string
				request = request.WithContext(httptrace.WithClientTrace(request.Context(), &httptrace.ClientTrace{
					GotConn: func(info httptrace.GotConnInfo) { _, from, _ = net.SplitHostPort(info.Conn.LocalAddr().String()) },
				}))
				proto := form.proto
				if proto == "" {
					proto = "HTTP/1.1"
				}
				got := send(t, s.client(proto), request)
				if n == 0 {
					status = got.status
				} else {
					require.Equal(t, 200, got.status)
					require.Equal(t, "stored", got.header.Get(headerInbox))
				}
				select {
				case seen[n] = <-all[i].requests:
				case <-time.After(patience):
					require.FailNow(t, "nothing reached the backend", s.log.String())
				}
				seen[n] = alike(seen[n], from, strconv.Itoa(port))
			}
			assert.Equal(t, seen[0], seen[1])
			want := "delivered"
			if status != 200 {
				want = "waiting" // for the next attempt
			}
			s.eventually("the event to be "+want, func() bool { return s.inboxNamed(fmt.Sprintf("form-%d", i)).Events[want] == 1 })
		})
	}
}

var receivedAt = regexp.MustCompile(`(?i)(x-elevenlabs-received-at: |HTTP_X_ELEVENLABS_RECEIVED_AT=)\d+`)

// alike replaces what must differ between two requests: the ports of the client and
// of the site, and the time.
func alike(request, from, to string) string {
	if from != "" {
		request = regexp.MustCompile(`\b`+from+`\b`).ReplaceAllString(request, "<the client's port>")
	}
	request = regexp.MustCompile(`\b`+to+`\b`).ReplaceAllString(request, "<the site's port>")
	return receivedAt.ReplaceAllString(request, "${1}<time>")
}

// lbCookie returns the cookie by which reverse_proxy finds an upstream again.
func lbCookie(secret, upstream string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(upstream))
	return hex.EncodeToString(mac.Sum(nil))
}

// inboxNamed returns what the admin endpoint shows of one inbox.
func (s *server) inboxNamed(name string) inboxState {
	s.t.Helper()
	for _, i := range s.inboxes() {
		if i.Inbox == name {
			return i
		}
	}
	return inboxState{}
}
