package main

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// trustingProxy is a server that believes a proxy at the test's address.
const trustingProxy = "{\nservers {\ntrusted_proxies static 127.0.0.0/8 ::1/128\ntrusted_proxies_strict\n}\n}\n"

// from gives a request a client's address, as the proxy does.
func from(address string, request *http.Request) *http.Request {
	request.Header.Set("X-Forwarded-For", address)
	return request
}

const (
	elevenLabsAddress = "34.67.146.145"
	strangersAddress  = "203.0.113.7"
)

// flood sends requests, some at once.
func flood(t *testing.T, client *http.Client, count, status int, request func() *http.Request) {
	t.Helper()
	var senders sync.WaitGroup
	for range 4 {
		senders.Go(func() {
			for range count / 4 {
				got, err := try(client, request())
				assert.NoError(t, err)
				assert.Equal(t, status, got.status)
			}
		})
	}
	senders.Wait()
}

func TestAnOldRequestThatAStrangerReplaysDrivesNoWatchdog(t *testing.T) {
	t.Parallel()
	address, status := newStatusBackend(t)
	s := start(t, trustingProxy+webhook(address, ""))
	client := s.client("HTTP/2.0")
	status.Store(500)
	require.Equal(t, 500, send(t, client, from(elevenLabsAddress, s.event([]byte(transcript)))).status)
	captured := []byte(`{"type":"post_call_audio","data":{"conversation_id":"conv_captured"}}`)
	replayed := func() *http.Request {
		return from(strangersAddress, s.signed(captured, secret, time.Now().Add(-30*24*time.Hour)))
	}
	require.Equal(t, 403, send(t, client, replayed()).status)
	before := s.metric("last_delivery_timestamp_seconds")
	flood(t, client, 300, 403, replayed)

	assert.Equal(t, "2", s.metric("consecutive_failures"), "the genuine one, and the replayed one once")
	assert.Equal(t, before, s.metric("last_delivery_timestamp_seconds"))
	assert.Equal(t, "2", s.metric("clock_offset_seconds_count"))
	failed := shown(t, s, "/elevenlabs/deliveries?result=failed")
	require.Len(t, failed, 1, "what really failed is still there")
	assert.Equal(t, "conv_1", failed[0]["conversation_id"])
	last := shown(t, s, "/elevenlabs/deliveries?limit=1")[0]
	assert.Equal(t, []any{true, true, false}, []any{last["proven"], last["replay"], last["counts"]})

	for range 3 {
		require.Equal(t, 403, send(t, client, from(elevenLabsAddress, s.signed(captured, secret, time.Now().Add(-time.Hour)))).status)
	}
	assert.Equal(t, "5", s.metric("consecutive_failures"), "late retries of ElevenLabs count")
	s.awaitLog(`"failures_in_row":5`)
	assert.Len(t, s.logged("webhook deliveries fail"), 2, "at 3 and at 5")
}

func TestAFloodOfForgeriesPushesOutNothingThatElevenLabsSent(t *testing.T) {
	t.Parallel()
	address, _ := newStatusBackend(t)
	s := start(t, trustingProxy+webhook(address, "max_size 1KiB\nmemory_buffer 1KiB"))
	client := s.client("HTTP/2.0")
	large := audio(2000)
	forged := func() *http.Request { return from(strangersAddress, s.signed(large, "wsec_other", time.Now())) }
	flood(t, client, 40, 413, forged)
	require.Equal(t, 413, send(t, client, from(elevenLabsAddress, s.event(large))).status)
	flood(t, client, 320, 413, forged)

	var kept []map[string]any
	all := shown(t, s, "/elevenlabs/deliveries?result=rejected")
	for _, d := range all {
		if d["from_elevenlabs"] == true {
			kept = append(kept, d)
		}
	}
	assert.Len(t, all, 257)
	require.Len(t, kept, 1)
	assert.Equal(t, []any{"body_too_large", elevenLabsAddress, true}, []any{kept[0]["reason"], kept[0]["client_ip"], kept[0]["counts"]})
	assert.Equal(t, "1", s.metric("consecutive_failures"))
	s.awaitLog(`"client_ip":"` + elevenLabsAddress + `","from_elevenlabs":true`)
	assert.Len(t, s.logged("webhook rejected: body_too_large"), 11, "ten of the others")
}

// Caddy itself logs each error of 5xx with all headers of the request.
func TestAFloodThatIsRejectedAsOverloadedDoesNotFloodTheLog(t *testing.T) {
	t.Parallel()
	address, _ := newStatusBackend(t)
	config := trustingProxy + webhook(address, "spool_limit 1")
	errorRoute := func(route string) string { return strings.TrimSuffix(config, "}\n") + route + "}\n" }
	for _, test := range []struct {
		name, config, body string
		status             int
	}{
		{"without handle_errors", config, "", 503},
		{"with handle_errors", errorRoute("handle_errors {\nrespond \"{http.elevenlabs.rejection} {err.status_code}\" 503\n}\n"), "overloaded 503", 503},
		{"with handle_errors of another status", errorRoute("handle_errors 404 {\nrespond gone\n}\n"), "", 503},
		{"with an error route that changes the status", errorRoute("handle_errors 5xx {\nrespond later 429\n}\n"), "later", 429},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := start(t, test.config)
			client := s.client("HTTP/2.0")
			overload := func(address string) *http.Request {
				request := from(address, s.event([]byte(transcript)))
				request.Header.Set("Padding", strings.Repeat("x", 15<<10))
				return request
			}
			got := send(t, client, overload(strangersAddress))
			assert.Equal(t, []any{test.status, test.body}, []any{got.status, got.body})
			assert.Equal(t, []string{"overloaded", "5"}, []string{got.header.Get("X-ElevenLabs-Rejection"), got.header.Get("Retry-After")})
			flood(t, client, 300, test.status, func() *http.Request { return overload(strangersAddress) })
			send(t, client, overload(elevenLabsAddress))
			s.awaitLog(`"client_ip":"` + elevenLabsAddress + `"`)
			assert.Len(t, s.logged("webhook rejected: overloaded"), 11, "ten of the flood, and one from ElevenLabs")
			assert.NotContains(t, s.log.String(), "xxx", "the headers")
			assert.Less(t, len(s.log.String()), 40<<10)
		})
	}
}

func TestAFloodThatReportOnlyForwardsToADeadBackendDoesNotFloodTheLog(t *testing.T) {
	t.Parallel()
	config := trustingProxy + webhook("127.0.0.1:1", "report_only\nretries 0")
	for _, test := range []struct{ name, config, body string }{
		{"without handle_errors", config, ""},
		{"with handle_errors", strings.TrimSuffix(config, "}\n") + "handle_errors {\nrespond \"down {err.status_code}\"\n}\n}\n", "down 502"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := start(t, test.config)
			client := s.client("HTTP/2.0")
			forged := func(address string) *http.Request {
				request := from(address, s.signed([]byte(transcript), "wsec_other", time.Now()))
				request.Header.Set("Padding", strings.Repeat("x", 15<<10))
				return request
			}
			got := send(t, client, forged(strangersAddress))
			assert.Equal(t, []any{502, test.body}, []any{got.status, got.body})
			flood(t, client, 300, 502, func() *http.Request { return forged(strangersAddress) })
			send(t, client, forged(elevenLabsAddress))
			s.awaitLog(`"client_ip":"` + elevenLabsAddress + `"`)
			s.eventually("a line about each", func() bool { return len(s.logged("event not delivered")) >= 11 })
			assert.Len(t, s.logged("webhook would be rejected: signature_mismatch"), 11, "ten of the flood, and one from ElevenLabs")
			assert.Len(t, s.logged("event not delivered"), 11)

			genuine := s.event([]byte(transcript))
			genuine.Header.Set("Padding", strings.Repeat("x", 15<<10))
			assert.Equal(t, 502, send(t, client, genuine).status)
			s.eventually("a line about a genuine event", func() bool { return len(s.logged("event not delivered")) == 12 })
			send(t, client, from(elevenLabsAddress, s.signed([]byte(transcript), "wsec_other", time.Now())))
			s.eventually("the next line after all about it", func() bool { return len(s.logged("event not delivered")) == 13 })
			assert.NotContains(t, s.log.String(), "xxx", "the headers")
		})
	}
}
