package main

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// moody is a backend whose answer the test sets.
func moody(t *testing.T) (address string, status *atomic.Int32) {
	t.Helper()
	status = new(atomic.Int32)
	status.Store(http.StatusOK)
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(int(status.Load()))
	}))
	t.Cleanup(backend.Close)
	return backend.Listener.Addr().String(), status
}

// metric returns a line of /metrics, without our prefix and the handler's label.
func (s *server) metric(name string) string {
	s.t.Helper()
	for line := range strings.Lines(s.get("/metrics")) {
		line = strings.TrimPrefix(strings.TrimSpace(line), "caddy_elevenlabs_webhook_")
		line = strings.NewReplacer(`handler="end-to-end",`, "", `,handler="end-to-end"`, "", `{handler="end-to-end"}`, "").Replace(line)
		if value, found := strings.CutPrefix(line, name+" "); found {
			return value
		}
	}
	return ""
}

// shown decodes what the admin endpoint shows.
func shown(t *testing.T, s *server, path string) (all []map[string]any) {
	t.Helper()
	require.NoError(t, json.Unmarshal([]byte(s.get(path)), &all))
	return all
}

func TestTheOperatorSeesEveryDeliverysFateAlsoOverReloads(t *testing.T) {
	address, status := moody(t)
	config := "{\ndebug\n}\n" + webhook(address, "events post_call_transcription")
	s := start(t, config)
	client := s.client("HTTP/2.0")
	body := []byte(transcript)
	deliver := func(want int) {
		t.Helper()
		require.Equal(t, want, send(t, client, s.event(body)).status)
	}

	deliver(200)
	status.Store(500)
	for range 2 {
		deliver(500)
	}
	s.reload(config)
	deliver(500)
	require.Equal(t, 403, send(t, client, s.signed(body, secret, time.Now().Add(-time.Hour))).status)
	assert.Equal(t, 2, elevenlabs(t, "", "status", "--address", s.admin).code, "four failures in a row")
	require.Equal(t, 401, send(t, client, s.signed(body, "wsec_other", time.Now())).status)
	require.Equal(t, 200, send(t, client, s.event([]byte(`{"type":"post_call_audio","data":{"conversation_id":"conv_9"}}`))).status)
	status.Store(204)
	deliver(200)

	for name, want := range map[string]string{
		`deliveries_total{event_type="post_call_transcription",reason="",result="accepted"}`:                "2",
		`deliveries_total{event_type="post_call_transcription",reason="backend_answer",result="failed"}`:    "3",
		`deliveries_total{event_type="post_call_transcription",reason="timestamp_stale",result="rejected"}`: "1",
		`deliveries_total{event_type="none",reason="signature_mismatch",result="rejected"}`:                 "1",
		`deliveries_total{event_type="post_call_audio",reason="event_not_wanted",result="ignored"}`:         "1",
		`upstream_responses_total{class="5xx"}`:                                                             "3",
		`upstream_responses_total{class="2xx"}`:                                                             "2",
		`duration_seconds_count{phase="upstream"}`:                                                          "5",
		`duration_seconds_count{phase="receive"}`:                                                           "8",
		`body_bytes_count`:               "8",
		`clock_offset_seconds_count`:     "7",
		`consecutive_failures`:           "0",
		`requests_in_flight`:             "0",
		`spool_limit_bytes`:              "1.073741824e+09",
		`spooled_bytes{medium="memory"}`: "0",
	} {
		assert.Equal(t, want, s.metric(name), name)
	}
	assert.NotEqual(t, "0", s.metric("last_success_timestamp_seconds"))

	of := shown(t, s, "/elevenlabs/status")
	require.Len(t, of, 1)
	assert.Equal(t, "end-to-end", of[0]["handler"])
	assert.Equal(t, map[string]any{"accepted": 2., "rejected": 2., "ignored": 1., "failed": 3.}, of[0]["results"])
	assert.Zero(t, of[0]["failures_in_row"])
	assert.Equal(t, "timestamp_stale", of[0]["last_failure"].(map[string]any)["reason"])

	all := shown(t, s, "/elevenlabs/deliveries")
	told := make([]string, 0, len(all))
	for _, d := range all {
		reason, _ := d["reason"].(string)
		told = append(told, d["result"].(string)+" "+reason)
	}
	assert.Equal(t, []string{
		"accepted ", "ignored event_not_wanted", "rejected signature_mismatch", "rejected timestamp_stale",
		"failed backend_answer", "failed backend_answer", "failed backend_answer", "accepted ",
	}, told)
	assert.Len(t, shown(t, s, "/elevenlabs/deliveries?result=failed&limit=2"), 2)
	assert.Equal(t, "conv_9", shown(t, s, "/elevenlabs/deliveries?type=post_call_audio")[0]["conversation_id"])

	o := elevenlabs(t, "", "status", "--address", s.admin)
	assert.Zero(t, o.code)
	assert.Regexp(t, `(?s)^end-to-end\n  failures in a row   0\n.*2 accepted, 2 rejected, 1 ignored, 3 failed\n$`, o.stdout)
	o = elevenlabs(t, "", "tail", "--once", "--result", "failed", "--config", s.file)
	assert.Zero(t, o.code)
	assert.Regexp(t, `^(?:\S+ \S+  failed    backend_answer       post_call_transcription .* 500 .* conversation=conv_1  from=\S+\n){3}$`, o.stdout)

	assert.Contains(t, s.log.String(), "webhook deliveries fail")
	assert.Contains(t, s.log.String(), `"failures_in_row":3`)
	for _, event := range []string{"failing", "rejected"} {
		s.eventually("the event "+event, func() bool {
			return strings.Contains(s.log.String(), `"name":"elevenlabs_webhook_`+event+`"`)
		})
	}
	assert.Equal(t, 1, strings.Count(s.log.String(), "webhook deliveries succeed again"))
}

// The admin endpoint's server gives a request ten seconds.
func TestAStreamOfDeliveriesOutlivesTheAdminEndpointsReadTimeoutAndEndsAtAReload(t *testing.T) {
	address, _ := moody(t)
	s := start(t, webhook(address, ""))
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.admin+"/elevenlabs/deliveries", nil)
	require.NoError(t, err)
	request.Header.Set("Accept", "text/event-stream")
	began := time.Now()
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	for time.Since(began) < 11*time.Second {
		require.Equal(t, 200, send(t, s.client("HTTP/1.1"), s.event([]byte(transcript))).status)
		require.True(t, lines.Scan(), "the stream ended after %s: %v", time.Since(began), lines.Err())
		assert.Regexp(t, `^id: \d+$`, lines.Text())
		require.True(t, lines.Scan())
		assert.Contains(t, lines.Text(), `"result":"accepted"`)
		require.True(t, lines.Scan())
		time.Sleep(time.Second)
	}
	s.reload(webhook(address, "events post_call_audio"))
	assert.False(t, lines.Scan(), "the stream ends with its configuration")
}

func TestTailFollowsOverAReloadUntilItIsInterrupted(t *testing.T) {
	address, _ := moody(t)
	s := start(t, webhook(address, ""))
	tail := exec.Command(binary, "elevenlabs", "tail", "--json", "--address", s.admin)
	output, err := tail.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, tail.Start())
	lines := bufio.NewScanner(output)
	for i, name := range []string{"", "events post_call_transcription"} {
		if i > 0 {
			s.reload(webhook(address, name))
		}
		require.Equal(t, 200, send(t, s.client("HTTP/1.1"), s.event([]byte(transcript))).status)
		require.True(t, lines.Scan())
		var d struct{ Result, Handler string }
		require.NoError(t, json.Unmarshal(lines.Bytes(), &d))
		assert.Equal(t, "accepted end-to-end", d.Result+" "+d.Handler)
	}
	require.NoError(t, tail.Process.Signal(os.Interrupt))
	assert.False(t, lines.Scan(), "each is printed once")
	assert.NoError(t, tail.Wait(), "an interrupt is how it ends")
}

func TestTheAccessLogAndTheTraceSayWhatBecameOfAnEvent(t *testing.T) {
	t.Setenv("OTEL_TRACES_EXPORTER", "console")
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
	address, status := moody(t)
	status.Store(500)
	body := strings.TrimSuffix(webhook(address, ""), "}\n") + "tracing\nlog\n}\n"
	s := start(t, body)
	require.Equal(t, 500, send(t, s.client("HTTP/2.0"), s.event([]byte(transcript))).status)
	s.eventually("the access log", func() bool {
		for line := range strings.Lines(s.log.String()) {
			if strings.Contains(line, "handled request") {
				return assert.Contains(t, line, `"result":"failed","reason":"backend_answer"`)
			}
		}
		return false
	})
	s.eventually("the span", func() bool { return strings.Contains(s.log.String(), `"elevenlabs.result"`) })
	for _, value := range []string{`"Value":"failed"`, `"Value":"backend_answer"`, `"Value":"post_call_transcription"`, `"Value":"end-to-end"`} {
		assert.Contains(t, s.log.String(), value)
	}
}
