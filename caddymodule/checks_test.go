package caddymodule

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestPlainHTTPIsAcceptedOnlyFromATrustedProxyThatSaysHTTPS(t *testing.T) {
	tests := []struct {
		name    string
		trusted bool
		protos  []string
		allow   bool
		want    int
	}{
		{"direct", false, nil, false, 403},
		{"client's own word", false, []string{"https"}, false, 403},
		{"proxy says https", true, []string{"https"}, false, 200},
		{"proxy says HTTPS", true, []string{" HTTPS "}, false, 200},
		{"proxy says nothing", true, nil, false, 403},
		{"proxy says blank", true, []string{""}, false, 403},
		{"proxy says http", true, []string{"http"}, false, 403},
		{"two proxies say https", true, []string{"https, https"}, false, 200},
		{"first of two http", true, []string{"http, https"}, false, 403},
		{"last of two http", true, []string{"https,http"}, false, 403},
		{"second line http", true, []string{"https", "http"}, false, 403},
		{"empty element", true, []string{"https,"}, false, 403},
		{"lookalike", true, []string{"httpsx"}, false, 403},
		{"allow_http", false, nil, true, 200},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h, _ := provision(t, &Handler{AllowHTTP: test.allow})
			r := newRequest(transcript)
			r.TLS = nil
			if test.trusted {
				r.Header.Set("Test-Trusted-Proxy", "yes")
			}
			if test.protos != nil {
				r.Header["X-Forwarded-Proto"] = test.protos
			}
			res := serve(t, h, r)
			assert.Equal(t, test.want, res.status())
			if test.want != http.StatusOK {
				requireRejected(t, res, "insecure_transport", 403)
			}
		})
	}
}

func TestEarlyDataIsRejectedEvenWithAllowHTTPAndFromAProxy(t *testing.T) {
	for name, change := range map[string]func(*http.Request){
		"to us":      func(r *http.Request) { r.TLS.HandshakeComplete = false },
		"to a proxy": func(r *http.Request) { r.Header.Set("Early-Data", "1") },
		// RFC 8470, section 5.1: several values or an invalid one count as 1
		"twice in a line": func(r *http.Request) { r.Header.Set("Early-Data", "1, 0") },
		"in two lines":    func(r *http.Request) { r.Header["Early-Data"] = []string{"0", "1"} },
		"invalid":         func(r *http.Request) { r.Header.Set("Early-Data", "01") },
		"not 1":           func(r *http.Request) { r.Header.Set("Early-Data", "2") },
		"empty":           func(r *http.Request) { r.Header.Set("Early-Data", "") },
	} {
		t.Run(name, func(t *testing.T) {
			h, _ := provision(t, &Handler{AllowHTTP: true})
			r := newRequest(transcript)
			r.Header.Set("Test-Trusted-Proxy", "yes")
			r.Header.Set("X-Forwarded-Proto", "https")
			change(r)
			requireRejected(t, serve(t, h, r), "early_data", 425)
		})
	}
}

func TestSourceAddresses(t *testing.T) {
	tests := []struct {
		sources []string
		client  string
		want    bool
	}{
		{[]string{"elevenlabs"}, "34.67.146.145", true},
		{[]string{"elevenlabs"}, "34.126.179.103", true},
		{[]string{"elevenlabs"}, "34.67.146.146", false},
		{[]string{"us"}, "34.59.11.47", true},
		{[]string{"us"}, "35.204.38.71", false},
		{[]string{"eu"}, "35.204.38.71", true},
		{[]string{"asia"}, "35.247.157.189", true},
		{[]string{"eu_residency"}, "34.140.184.144", true},
		{[]string{"india_residency"}, "34.93.252.69", true},
		{[]string{"singapore_residency"}, "34.87.23.17", true},
		{[]string{"us", "192.0.2.0/24"}, "192.0.2.77", true},
		{[]string{"us", "192.0.2.0/24"}, "34.67.146.145", true},
		{[]string{"192.0.2.1"}, "192.0.2.1", true},
		{[]string{"192.0.2.1"}, "192.0.2.2", false},
		{[]string{"192.0.2.1"}, "::ffff:192.0.2.1", true},
		{[]string{"::ffff:192.0.2.1"}, "192.0.2.1", true},
		{[]string{"::ffff:192.0.2.0/120"}, "192.0.2.77", true},
		{[]string{"::ffff:192.0.2.0/120"}, "192.0.3.77", false},
		{[]string{"2001:db8::/32"}, "2001:db8::1", true},
		{[]string{"fe80::/10"}, "fe80::1%eth0", true},
		{[]string{"elevenlabs"}, "", false},
		{[]string{"elevenlabs"}, "@", false}, // a unix socket
	}
	for _, test := range tests {
		prefixes, err := parseSources(test.sources)
		require.NoError(t, err)
		assert.Equal(t, test.want, contains(prefixes, test.client), "%v %s", test.sources, test.client)
	}
}
