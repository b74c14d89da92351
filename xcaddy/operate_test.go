package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// newStatusBackend starts a backend that answers with a status that the test sets.
func newStatusBackend(t *testing.T) (address string, status *atomic.Int32) {
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

// metric returns the value of a series in /metrics. The name has neither the prefix
// caddy_elevenlabs_webhook_ nor the labels of the handler and of its secret.
func (s *server) metric(name string) string {
	s.t.Helper()
	for line := range strings.Lines(s.get("/metrics")) {
		line = strings.TrimPrefix(strings.TrimSpace(line), "caddy_elevenlabs_webhook_")
		line = strings.NewReplacer(`handler="end-to-end",`, "", `,handler="end-to-end"`, "", `{handler="end-to-end"}`, "",
			`{handler="end-to-end",secret="end-to-end"}`, "").Replace(line)
		if value, found := strings.CutPrefix(line, name+" "); found {
			return value
		}
	}
	return ""
}

// shown decodes a list of the admin endpoint.
func shown(t *testing.T, s *server, path string) (all []map[string]any) {
	t.Helper()
	require.NoError(t, json.Unmarshal([]byte(s.get(path)), &all))
	return all
}

func TestOperatorSeesTheResultOfEachDeliveryOverAReload(t *testing.T) {
	t.Parallel()
	address, status := newStatusBackend(t)
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
	require.Equal(t, 500, s.sendAfterReload(client, func() *http.Request { return s.event(body) }).status)
	require.Equal(t, 403, send(t, client, s.signed([]byte(`{"type":"post_call_transcription"}`), secret, time.Now().Add(-time.Hour))).status) // not a replay
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
	results := make([]string, 0, len(all))
	for _, d := range all {
		reason, _ := d["reason"].(string)
		results = append(results, d["result"].(string)+" "+reason)
	}
	assert.Equal(t, []string{
		"accepted ", "ignored event_not_wanted", "rejected signature_mismatch", "rejected timestamp_stale",
		"failed backend_answer", "failed backend_answer", "failed backend_answer", "accepted ",
	}, results)
	assert.Len(t, shown(t, s, "/elevenlabs/deliveries?result=failed&limit=2"), 2)
	assert.Equal(t, "conv_9", shown(t, s, "/elevenlabs/deliveries?type=post_call_audio")[0]["conversation_id"])

	o := elevenlabs(t, "", "status", "--address", s.admin)
	assert.Zero(t, o.code)
	assert.Regexp(t, `(?s)^end-to-end\n  failures in a row   0\n.*2 accepted, 2 rejected, 1 ignored, 3 failed\n$`, o.stdout)
	o = elevenlabs(t, "", "tail", "--once", "--result", "failed", "--config", s.file)
	assert.Zero(t, o.code)
	assert.Regexp(t, `^(?:\S+ \S+  failed    backend_answer       post_call_transcription .* 500 .* conversation=conv_1  from=\S+  handler=end-to-end\n){3}$`, o.stdout)

	s.awaitLog("webhook deliveries fail", `"failures_in_row":3`, "webhook deliveries succeed again",
		`"name":"elevenlabs_webhook_failing"`, `"name":"elevenlabs_webhook_rejected"`)
	assert.Equal(t, 1, strings.Count(s.log.String(), "webhook deliveries succeed again"))
}

// logged returns the lines of the log that have a message.
func (s *server) logged(message string) (all []map[string]any) {
	s.t.Helper()
	for line := range strings.Lines(s.log.String()) {
		var fields map[string]any
		if json.Unmarshal([]byte(line), &fields) == nil && fields["msg"] == message {
			all = append(all, fields)
		}
	}
	return all
}

func TestAlertsAreLoggedAt3And5And8FailuresAndOnceAtTheEnd(t *testing.T) {
	t.Parallel()
	address, status := newStatusBackend(t)
	s := start(t, webhook(address, ""))
	client := s.client("HTTP/2.0")
	status.Store(500)
	for range 9 {
		require.Equal(t, 500, send(t, client, s.event([]byte(transcript))).status)
	}
	status.Store(200)
	require.Equal(t, 200, send(t, client, s.event([]byte(transcript))).status)
	s.eventually("the end of the failures", func() bool { return len(s.logged("webhook deliveries succeed again")) > 0 })

	warned := make([]string, 0, 3)
	for _, line := range s.logged("webhook deliveries fail") {
		warned = append(warned, fmt.Sprint(line["level"], " ", line["failures_in_row"], " ", line["reason"]))
		assert.Contains(t, line["consequence"], "ElevenLabs retries it if retries are on")
	}
	assert.Equal(t, []string{"info 3 backend_answer", "warn 5 backend_answer", "error 8 backend_answer"}, warned)
	over := s.logged("webhook deliveries succeed again")
	require.Len(t, over, 1)
	assert.Equal(t, []any{"info", 9., "end-to-end"}, []any{over[0]["level"], over[0]["failures_in_row"], over[0]["handler"]})
}

// A rotation of secrets gives the group of handlers another name. Its streak of failures
// continues under that name, also with a request in flight.
func TestStreakOfFailuresContinuesUnderAnotherName(t *testing.T) {
	t.Parallel()
	came, answer := make(chan struct{}), make(chan struct{})
	release := sync.OnceFunc(func() { close(answer) })
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if r.Header.Get("X-ElevenLabs-Event-Type") == "post_call_audio" {
			close(came)
			<-answer
		}
		w.WriteHeader(http.StatusInternalServerError)
	}))
	t.Cleanup(backend.Close)
	t.Cleanup(release)
	address := backend.Listener.Addr().String()
	s := start(t, webhook(address, ""))
	status := func() (handler, failures string) {
		of := shown(t, s, "/elevenlabs/status")
		require.Len(t, of, 1, "status must show only the current group")
		return fmt.Sprint(of[0]["handler"]), fmt.Sprint(of[0]["failures_in_row"])
	}
	// For a moment after a reload, the old configuration may still answer.
	failUntil := func(want string) {
		t.Helper()
		s.eventually(want+" failures in a row", func() bool {
			_, err := try(s.client("HTTP/1.1"), s.event([]byte(transcript)))
			_, failures := status()
			return assert.NoError(t, err) && failures == want
		})
	}
	failUntil("4")

	ended := make(chan int, 1)
	go func() {
		got, err := try(s.client("HTTP/2.0"), s.event(audio(1000)))
		assert.NoError(t, err)
		ended <- got.status
	}()
	select {
	case <-came:
	case got := <-ended:
		t.Fatalf("answered %d", got)
	}
	renamed := webhook(address, "secret wsec_of_the_new_webhook new")
	s.load(renamed)
	release()
	require.Equal(t, 500, <-ended)
	handler, failures := status()
	assert.Equal(t, "end-to-end,new 4", handler+" "+failures)
	assert.Equal(t, "1", s.metric(`deliveries_total{event_type="post_call_audio",reason="backend_answer",result="failed"}`), "the request in flight counts under the old name")
	assert.Empty(t, s.metric("consecutive_failures"), "the series of the old name must end")

	failUntil("5")
	s.awaitLog(`"failures_in_row":5`)
	warned := s.logged("webhook deliveries fail")
	last := warned[len(warned)-1]
	assert.Equal(t, []any{"warn", 5., "end-to-end,new"}, []any{last["level"], last["failures_in_row"], last["handler"]})
	assert.Contains(t, s.get("/metrics"), `consecutive_failures{handler="end-to-end,new",secret="end-to-end"} 5`)

	s.load(site(`respond "closed for today"`))
	assert.Empty(t, shown(t, s, "/elevenlabs/status"))
	s.load(renamed)
	handler, failures = status()
	assert.Equal(t, "end-to-end,new 5", handler+" "+failures, "the streak must survive a configuration without the handler")
}

func TestOperatorSeesWhatOnlyReportOnlyForwarded(t *testing.T) {
	t.Parallel()
	address, _ := newStatusBackend(t)
	s := start(t, webhook(address, "report_only"))
	assert.Equal(t, "0", s.metric(`would_reject_total{reason="signature_mismatch"}`))
	for range 2 {
		require.Equal(t, 200, send(t, s.client("HTTP/1.1"), s.signed([]byte(transcript), "wsec_other", time.Now())).status)
	}
	assert.Equal(t, "2", s.metric(`would_reject_total{reason="signature_mismatch"}`))
	assert.Contains(t, elevenlabs(t, "", "status", "--address", s.admin).stdout, "\n  report_only         on: 2 forwarded that would have been rejected\n")
}

// pausing is a body that waits for resume before its last byte.
type pausing struct {
	body   []byte
	resume <-chan struct{}
}

func (h *pausing) Read(p []byte) (int, error) {
	switch len(h.body) {
	case 0:
		return 0, io.EOF
	case 1:
		<-h.resume
	default:
		p = p[:min(len(p), len(h.body)-1)]
	}
	n := copy(p, h.body)
	h.body = h.body[n:]
	return n, nil
}

func TestMetricsShowRequestsAndBytesInFlight(t *testing.T) {
	t.Parallel()
	address, _ := newStatusBackend(t)
	s := start(t, webhook(address, "memory_buffer 64KiB"))
	assert.Equal(t, "0", s.metric("last_delivery_timestamp_seconds"))
	body, resume := audio(1<<20), make(chan struct{})
	request := s.event(body)
	request.Body, request.GetBody = io.NopCloser(&pausing{body, resume}), nil
	ended := make(chan int, 1)
	go func() {
		got, err := try(s.client("HTTP/2.0"), request)
		assert.NoError(t, err)
		ended <- got.status
	}()
	number := func(name string) float64 {
		value, err := strconv.ParseFloat(s.metric(name), 64)
		require.NoError(t, err, name)
		return value
	}
	s.eventually("the body to be on its way", func() bool {
		return number(`spooled_bytes{medium="disk"}`) > 900_000 && number(`spooled_bytes{medium="memory"}`) > 0
	})
	assert.Equal(t, "1", s.metric("requests_in_flight"))
	close(resume)
	require.Equal(t, 200, <-ended)
	assert.InDelta(t, time.Now().Unix(), number("last_delivery_timestamp_seconds"), patience.Seconds())
	s.eventually("nothing to be in flight", func() bool {
		return number("requests_in_flight")+number(`spooled_bytes{medium="disk"}`)+number(`spooled_bytes{medium="memory"}`) == 0
	})
}

func TestForgeriesDoNotPushOutTheLast256GenuineDeliveries(t *testing.T) {
	t.Parallel()
	address, _ := newStatusBackend(t)
	s := start(t, webhook(address, ""))
	assert.Equal(t, "[]\n", s.get("/elevenlabs/deliveries"), "an empty list must not be null")
	client := s.client("HTTP/2.0")
	var senders sync.WaitGroup
	for range 8 {
		senders.Go(func() {
			for range 35 { // 280 of each
				got, err := try(client, s.event([]byte(transcript)))
				assert.NoError(t, err)
				assert.Equal(t, 200, got.status)
				_, err = try(client, s.signed([]byte(transcript), "wsec_other", time.Now()))
				assert.NoError(t, err)
			}
		})
	}
	senders.Wait()
	assert.Len(t, shown(t, s, "/elevenlabs/deliveries?result=accepted"), 256)
	assert.Len(t, shown(t, s, "/elevenlabs/deliveries?result=rejected"), 256)
	assert.Equal(t, "280", s.metric(`deliveries_total{event_type="post_call_transcription",reason="",result="accepted"}`))
}

// The admin endpoint's server has a read timeout of ten seconds.
func TestStreamOfDeliveriesOutlastsTheReadTimeoutAndEndsAtAReload(t *testing.T) {
	t.Parallel()
	address, _ := newStatusBackend(t)
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
	assert.False(t, lines.Scan(), "the stream must end with its configuration")
}

// If Caddy rejects a configuration, it keeps the admin server of that configuration, with
// its metrics.
func TestRejectedReloadKeepsTheMetricsAndTheStream(t *testing.T) {
	t.Parallel()
	address, status := newStatusBackend(t)
	config := webhook(address, "")
	s := start(t, config)
	s.write(strings.ReplaceAll(config, "{env.WEBHOOK_SECRET}", "{env.NOT_SET}"))
	output, err := exec.Command(binary, "reload", "--config", s.file, "--address", s.admin).CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(output), "NOT_SET")

	status.Store(500)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.admin+"/elevenlabs/deliveries", nil)
	require.NoError(t, err)
	request.Header.Set("Accept", "text/event-stream")
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	for n := range 3 {
		require.Equal(t, 500, send(t, s.client("HTTP/1.1"), s.event([]byte(transcript))).status)
		for range 3 {
			require.True(t, lines.Scan())
		}
		assert.Equal(t, strconv.Itoa(n+1), s.metric("consecutive_failures"))
	}
	s.reload(config)
	assert.False(t, lines.Scan(), "the stream must end at the reload")
	assert.Equal(t, "3", s.metric("consecutive_failures"))
}

func TestAccessLogAndTraceHaveTheResultOfAnEvent(t *testing.T) {
	t.Setenv("OTEL_TRACES_EXPORTER", "console")
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
	address, status := newStatusBackend(t)
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
	s.awaitLog(`"elevenlabs.result"`, `"Value":"failed"`, `"Value":"backend_answer"`, `"Value":"post_call_transcription"`, `"Value":"end-to-end"`)
}
