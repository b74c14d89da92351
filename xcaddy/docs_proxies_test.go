package main

import (
	"cmp"
	"context"
	"maps"
	"net"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	ofElevenLabs = "34.67.146.145"
	ofAStranger  = "192.0.2.1"
	ofAProxy     = "127.0.0.1" // the page's proxies have this address in the test
	ofNoProxy    = "127.0.0.2"
)

// behindProxy is a page's Caddyfile for a proxy in front.
type behindProxy struct {
	page, begins string // of the block
	proxies      string // an address of the proxies in it
	tls          bool   // whether the proxy speaks TLS to Caddy
}

// Why an event is rejected that does not seem to come from ElevenLabs, over HTTPS.
const insecure, elsewhere = "insecure_transport", "source_not_allowed"

var (
	behindCloudflare = behindProxy{"docs/deploy/cloudflare.md", "{\n\tservers {\n\t\t# Cloudflare's addresses", "173.245.48.0/20", true}
	behindALB        = behindProxy{"docs/deploy/aws-load-balancer.md", "{\n\tservers {\n\t\t# the subnets of the load balancer", "10.0.1.0/24", false}
	behindCloudFront = behindProxy{"docs/deploy/aws-load-balancer.md", "{\n\tservers {\n\t\t# the subnets of the load balancer, which only CloudFront can reach", "10.0.1.0/24", false}
)

// start runs the page's Caddyfile, with the ports and the proxy's address of this
// machine, and with source_ips as the page says.
func (p behindProxy) start(t *testing.T, b *backend) *server {
	t.Helper()
	text := findBlock(t, p.page, "caddyfile", p.begins).text
	for _, part := range []string{p.proxies, "\t\t\treverse_proxy localhost:3000"} {
		require.Contains(t, text, part)
	}
	t.Setenv("ELEVENLABS_WEBHOOK_SECRET", secret)
	return start(t, strings.NewReplacer(
		p.proxies, ofAProxy+"/32",
		"hooks.example.com {", "https://$ADDRESS {\n\ttls internal",
		":8080 {", "http://:$PORT {",
		"\t\t\treverse_proxy localhost:3000", "\t\t\tsource_ips elevenlabs\n\t\t\treverse_proxy "+b.address(),
	).Replace(text))
}

// forwarded is a request as a proxy sends it to Caddy.
type forwarded struct {
	name   string
	behind behindProxy
	from   string // ofAProxy if empty
	header http.Header
	reason string // empty if the event passes
}

// Each has the headers that the product sends for what a client sent.
var forwardedRequests = []forwarded{
	{
		name: "Cloudflare", behind: behindCloudflare,
		header: http.Header{"Cf-Connecting-Ip": {ofElevenLabs}, "X-Forwarded-For": {ofElevenLabs}, "X-Forwarded-Proto": {"https"}, "Cf-Visitor": {`{"scheme":"https"}`}},
	},
	{
		name: "Cloudflare, a stranger", behind: behindCloudflare, reason: elsewhere,
		header: http.Header{"Cf-Connecting-Ip": {ofAStranger}, "X-Forwarded-For": {ofAStranger}, "X-Forwarded-Proto": {"https"}},
	},
	{
		name: "Cloudflare, a stranger who forges X-Forwarded-For", behind: behindCloudflare, reason: elsewhere,
		header: http.Header{"Cf-Connecting-Ip": {ofAStranger}, "X-Forwarded-For": {ofElevenLabs + "," + ofAStranger}, "X-Forwarded-Proto": {"https"}},
	},
	{
		name: "Cloudflare, ElevenLabs through a proxy that adds to X-Forwarded-For", behind: behindCloudflare,
		header: http.Header{"Cf-Connecting-Ip": {ofElevenLabs}, "X-Forwarded-For": {ofAStranger + "," + ofElevenLabs}},
	},
	{
		name: "Cloudflare, a Worker of another customer", behind: behindCloudflare, reason: elsewhere,
		header: http.Header{"Cf-Connecting-Ip": {"2a06:98c0:3600::103"}, "X-Forwarded-For": {ofElevenLabs}, "Cf-Worker": {"attacker.example"}, "X-Real-Ip": {ofElevenLabs}},
	},
	{
		name: "Cloudflare, a stranger over IPv6", behind: behindCloudflare, reason: elsewhere,
		header: http.Header{"Cf-Connecting-Ip": {"2001:db8::1"}, "X-Forwarded-For": {ofElevenLabs + ",2001:db8::1"}, "Cf-Pseudo-Ipv4": {"252.16.3.1"}},
	},
	{
		name: "Cloudflare, which removes visitors' addresses", behind: behindCloudflare, reason: elsewhere,
		header: http.Header{"X-Forwarded-Proto": {"https"}},
	},
	{
		name: "past Cloudflare, with forged headers", behind: behindCloudflare, from: ofNoProxy, reason: elsewhere,
		header: http.Header{"Cf-Connecting-Ip": {ofElevenLabs}, "X-Forwarded-For": {ofElevenLabs}, "True-Client-Ip": {ofElevenLabs}, "Forwarded": {"for=" + ofElevenLabs}},
	},

	{
		name: "ALB", behind: behindALB,
		header: http.Header{"X-Forwarded-For": {ofElevenLabs}, "X-Forwarded-Proto": {"https"}, "X-Forwarded-Port": {"443"}, "X-Amzn-Trace-Id": {"Root=1-67891233-abcdef012345678912345678"}},
	},
	{
		name: "ALB, which adds the client's port", behind: behindALB,
		header: http.Header{"X-Forwarded-For": {ofElevenLabs + ":41234"}, "X-Forwarded-Proto": {"https"}, "X-Forwarded-Port": {"443"}},
	},
	{
		name: "ALB on another port", behind: behindALB,
		header: http.Header{"X-Forwarded-For": {ofElevenLabs}, "X-Forwarded-Proto": {"https"}, "X-Forwarded-Port": {"8443"}},
	},
	{
		name: "ALB, a stranger", behind: behindALB, reason: elsewhere,
		header: http.Header{"X-Forwarded-For": {ofAStranger}, "X-Forwarded-Proto": {"https"}},
	},
	{
		name: "ALB, a stranger who forges X-Forwarded-For", behind: behindALB, reason: elsewhere,
		header: http.Header{"X-Forwarded-For": {ofElevenLabs + ", " + ofAStranger}, "X-Forwarded-Proto": {"https"}},
	},
	{
		name: "ALB, a stranger who forges it in a line of its own", behind: behindALB, reason: elsewhere,
		header: http.Header{"X-Forwarded-For": {ofElevenLabs, ofAStranger}, "X-Forwarded-Proto": {"https"}},
	},
	{
		name: "ALB, a stranger who forges it with a port", behind: behindALB, reason: elsewhere,
		header: http.Header{"X-Forwarded-For": {ofElevenLabs + ":443, " + ofAStranger + ":41234"}, "X-Forwarded-Proto": {"https"}},
	},
	{
		name: "ALB, a stranger who forges what Caddy does not read", behind: behindALB, reason: elsewhere,
		header: http.Header{"X-Forwarded-For": {ofAStranger}, "X-Forwarded-Proto": {"https"}, "Cf-Connecting-Ip": {ofElevenLabs}, "Forwarded": {"for=" + ofElevenLabs + ";proto=https"}, "X-Real-Ip": {ofElevenLabs}},
	},
	{
		name: "ALB, ElevenLabs through a proxy that adds to X-Forwarded-For", behind: behindALB,
		header: http.Header{"X-Forwarded-For": {"unknown, " + ofAStranger + ", " + ofElevenLabs}, "X-Forwarded-Proto": {"https"}},
	},
	{
		name: "ALB, plain HTTP", behind: behindALB, reason: insecure,
		header: http.Header{"X-Forwarded-For": {ofElevenLabs}, "X-Forwarded-Proto": {"http"}, "X-Forwarded-Port": {"80"}},
	},
	{
		name: "ALB with xff_header_processing.mode remove", behind: behindALB, reason: elsewhere,
		header: http.Header{"X-Forwarded-Proto": {"https"}},
	},
	{
		name: "past the ALB, with forged headers", behind: behindALB, from: ofNoProxy, reason: insecure,
		header: http.Header{"X-Forwarded-For": {ofElevenLabs}, "X-Forwarded-Proto": {"https"}},
	},

	{
		name: "CloudFront", behind: behindCloudFront,
		header: http.Header{"Cloudfront-Viewer-Address": {ofElevenLabs + ":46532"}, "X-Forwarded-For": {ofElevenLabs + ", 130.176.0.1"}, "X-Forwarded-Proto": {"https"}, "Via": {"1.1 abc.cloudfront.net (CloudFront)"}, "Cloudfront-Forwarded-Proto": {"https"}},
	},
	{
		name: "CloudFront, a stranger who forges X-Forwarded-For", behind: behindCloudFront, reason: elsewhere,
		header: http.Header{"Cloudfront-Viewer-Address": {ofAStranger + ":46532"}, "X-Forwarded-For": {ofElevenLabs + ", " + ofAStranger + ", 130.176.0.1"}, "X-Forwarded-Proto": {"https"}},
	},
	{
		name: "CloudFront, a stranger over IPv6", behind: behindCloudFront, reason: elsewhere,
		header: http.Header{"Cloudfront-Viewer-Address": {"2001:db8::1:46532"}, "X-Forwarded-For": {ofElevenLabs + ", 2001:db8::1, 130.176.0.1"}, "X-Forwarded-Proto": {"https"}},
	},
	{
		name: "CloudFront without its headers", behind: behindCloudFront, reason: elsewhere,
		header: http.Header{"X-Forwarded-For": {ofElevenLabs + ", 130.176.0.1"}, "X-Forwarded-Proto": {"https"}},
	},
	{
		name: "CloudFront that speaks plain HTTP to the load balancer", behind: behindCloudFront, reason: insecure,
		header: http.Header{"Cloudfront-Viewer-Address": {ofElevenLabs + ":46532"}, "X-Forwarded-Proto": {"http"}},
	},
	{
		name: "past CloudFront and the load balancer, with forged headers", behind: behindCloudFront, from: ofNoProxy, reason: insecure,
		header: http.Header{"Cloudfront-Viewer-Address": {ofElevenLabs + ":46532"}, "X-Forwarded-Proto": {"https"}},
	},
}

func TestBehindProxiesOnlyElevenLabsAddressesPassWithSourceIPs(t *testing.T) {
	for _, behind := range []behindProxy{behindCloudflare, behindALB, behindCloudFront} {
		b := newBackend(t)
		s := behind.start(t, b)
		for _, test := range forwardedRequests {
			if test.behind != behind {
				continue
			}
			t.Run(test.name, func(t *testing.T) {
				if test.reason != "" {
					requireRejected(t, b, test.send(t, s, secret), 403, test.reason)
					return
				}
				require.Equal(t, 200, test.send(t, s, secret).status)
				deliveries := b.take()
				require.Len(t, deliveries, 1)
				assert.Equal(t, digestOf([]byte(transcript)), deliveries[0].digest)
				requireRejected(t, b, test.send(t, s, "wsec_other"), 401, "signature_mismatch")
			})
		}
	}
}

// send sends an event that is signed with a key.
func (f forwarded) send(t *testing.T, s *server, key string) answer {
	t.Helper()
	request := s.signed([]byte(transcript), key, time.Now())
	request.Header.Set("User-Agent", elevenLabsAgent)
	maps.Copy(request.Header, f.header)
	transport := &http.Transport{DisableKeepAlives: true}
	if f.behind.tls {
		transport.TLSClientConfig = s.tlsConfig()
	} else {
		request.URL.Scheme = "http"
	}
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(cmp.Or(f.from, ofAProxy))}}
	transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return dialer.DialContext(ctx, network, "127.0.0.1"+strings.TrimPrefix(s.address, "localhost"))
	}
	return send(t, &http.Client{Transport: transport, Timeout: patience}, request)
}

// elevenLabsAgent is the User-Agent of a delivery that was captured.
const elevenLabsAgent = "Python/3.12 aiohttp/3.11.16"

// The pages test a firewall for bots by ElevenLabs' User-Agent. Where there is none,
// Caddy answers.
func TestPagesAskAsAPythonClient(t *testing.T) {
	runtimeOf(t, "curl")
	b := newBackend(t)
	s := start(t, webhook(b.address(), ""))
	for _, page := range []string{"docs/deploy/cloudflare.md", "docs/deploy/aws-load-balancer.md"} {
		command := findBlock(t, page, "sh", "curl -i -X POST -A").text
		assert.Contains(t, command, "-A '"+elevenLabsAgent+"'", page)
		command, answers, found := strings.Cut(command, "#")
		require.True(t, found)
		output, err := exec.Command("sh", "-c", strings.NewReplacer("curl ", "curl -sk ", "hooks.example.com", s.address).Replace(command)).CombinedOutput()
		require.NoError(t, err, "%s", output)
		words := strings.Split(strings.TrimSpace(answers), ", ")
		require.True(t, slices.Contains(words, "signature_missing"), page)
		for _, word := range words {
			assert.Contains(t, string(output), word, page)
		}
	}
	assert.Empty(t, b.take())
}
