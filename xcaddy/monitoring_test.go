package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const monitoring = "../examples/monitoring"

func TestEachAlertFiresInItsTestAndStaysQuietInTheHealthyOne(t *testing.T) {
	t.Parallel()
	runtimeOf(t, "promtool")
	if raceDetector {
		t.Skip("promtool takes long, and runs none of our code")
	}
	checks := commandsOf(t, "monitoring", "promtool ")
	require.Len(t, checks, 3)
	for _, line := range checks {
		promtool, _ := commandLine(line)
		promtool.Dir = monitoring
		output, err := promtool.CombinedOutput()
		assert.NoError(t, err, "%s: %s", line, output)
	}
	rules, err := os.ReadFile(monitoring + "/rules.yml")
	require.NoError(t, err)
	tests, err := os.ReadFile(monitoring + "/rules_test.yml")
	require.NoError(t, err)
	alerts := regexp.MustCompile(`- alert: (\w+)`).FindAllSubmatch(rules, -1)
	require.NotEmpty(t, alerts)
	for _, alert := range alerts {
		asked := regexp.MustCompile(`(?m)alertname: ` + string(alert[1]) + `$(?:\n +exp_alerts: (\[\])?)?`)
		var fires, quiet bool
		for _, match := range asked.FindAllSubmatch(tests, -1) {
			fires = fires || len(match[1]) == 0
			quiet = quiet || len(match[1]) > 0
		}
		assert.True(t, fires, "%s fires in no test", alert[1])
		assert.True(t, quiet, "%s stays quiet in no test", alert[1])
	}
}

// prometheus starts Prometheus by the example's README, with another address and
// shorter intervals.
func prometheus(t *testing.T, s *server) (address string) {
	t.Helper()
	runtimeOf(t, "prometheus")
	config, err := os.ReadFile(monitoring + "/prometheus.yml")
	require.NoError(t, err)
	dir := t.TempDir()
	require.Contains(t, string(config), "localhost:2019")
	text := strings.ReplaceAll(string(config), "localhost:2019", s.admin)
	text = regexp.MustCompile(`(?m)_interval: \S+$`).ReplaceAllString(text, "_interval: 1s")
	text = regexp.MustCompile(`(?m)scrape_timeout: \S+$`).ReplaceAllString(text, "scrape_timeout: 1s")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "prometheus.yml"), []byte(text), 0o600))
	rules, err := os.ReadFile(monitoring + "/rules.yml")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "rules.yml"), rules, 0o600))

	address = fmt.Sprintf("127.0.0.1:%d", freePort(t))
	line := commandsOf(t, "monitoring", "prometheus --config.file=")[0]
	command, _ := commandLine(strings.ReplaceAll(line, "/tmp/prometheus", "data") + " --web.listen-address=" + address)
	command.Dir = dir
	log := new(lockedBuffer)
	command.Stderr = log
	require.NoError(t, command.Start())
	t.Cleanup(func() {
		_ = command.Process.Signal(os.Interrupt)
		_ = command.Wait()
		if t.Failed() {
			t.Log(log)
		}
	})
	return address
}

// query asks Prometheus, and returns the values by their handler.
func query(address, expression string) (values map[string]string, err error) {
	response, err := http.Get("http://" + address + "/api/v1/query?" + url.Values{"query": {expression}}.Encode())
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	var answer struct {
		Status, Error string
		Data          struct {
			Result []struct {
				Metric map[string]string
				Value  [2]any
			}
		}
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, fmt.Errorf("%s: %w", body, err)
	}
	if answer.Status != "success" {
		return nil, fmt.Errorf("%s: %s", expression, answer.Error)
	}
	values = map[string]string{}
	for _, result := range answer.Data.Result {
		values[result.Metric["handler"]] = fmt.Sprint(result.Value[1])
	}
	return values, nil
}

func TestPrometheusScrapesTheServerAndEachQueryOfTheDashboardHasData(t *testing.T) {
	t.Parallel()
	address, status := newStatusBackend(t)
	public, inboxed := nowhere(t), nowhere(t)
	s := start(t, webhook(address, "report_only")+"http://"+public+" {\n\tmetrics /metrics\n}\n"+fmt.Sprintf(`
http://%s {
	elevenlabs_webhook {
		secret wsec_inboxed inboxed
		allow_http
		inbox {
			database %s
		}
		reverse_proxy %s
	}
}
`, inboxed, filepath.Join(t.TempDir(), "inbox.db"), address))
	s.awaitInboxes(1)
	at := prometheus(t, s)
	require.Equal(t, 200, send(t, s.client("HTTP/1.1"), s.event([]byte(transcript))).status)
	require.Equal(t, 200, send(t, s.client("HTTP/1.1"), s.signed([]byte(transcript), "wsec_other", time.Now())).status)
	stored := s.signed([]byte(transcript), "wsec_inboxed", time.Now())
	stored.URL.Scheme, stored.URL.Host = "http", inboxed
	require.Equal(t, 200, send(t, http.DefaultClient, stored).status)
	status.Store(500)
	for range 4 {
		require.Equal(t, 500, send(t, s.client("HTTP/1.1"), s.event([]byte(transcript))).status)
	}
	look := exec.Command("sh", "-c", strings.ReplaceAll(commandsOf(t, "monitoring", "curl ")[0], "localhost:2019", s.admin))
	shown, err := look.CombinedOutput()
	require.NoError(t, err, "%s", shown)
	assert.Contains(t, string(shown), "caddy_elevenlabs_webhook_deliveries_total{")
	s.eventually("a scrape", func() bool {
		values, err := query(at, "caddy_elevenlabs_webhook_consecutive_failures")
		return err == nil && values["end-to-end"] == "4"
	})
	s.eventually("the alert", func() bool {
		values, err := query(at, `ALERTS{alertname="ElevenLabsWebhookFailing"}`)
		return err == nil && values["end-to-end"] == "1"
	})

	response, err := http.Get("http://" + public + "/metrics")
	require.NoError(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	assert.Contains(t, string(body), `caddy_elevenlabs_webhook_consecutive_failures{handler="end-to-end",secret="end-to-end"} 4`)

	dashboard, err := os.ReadFile(monitoring + "/grafana.json")
	require.NoError(t, err)
	var parsed any
	require.NoError(t, json.Unmarshal(dashboard, &parsed))
	expressions := regexp.MustCompile(`"expr": ("(?:[^"\\]|\\.)*")`).FindAllSubmatch(dashboard, -1)
	require.Greater(t, len(expressions), 8)
	for _, match := range expressions {
		var expression string
		require.NoError(t, json.Unmarshal(match[1], &expression))
		expression = strings.NewReplacer("$__rate_interval", "5m", "$__range", "1h", "$__interval", "1m", "$handler", ".*", "$instance", ".*").Replace(expression)
		s.eventually("an answer to "+expression, func() bool { // a rate needs two scrapes
			values, err := query(at, expression)
			return assert.NoError(t, err) && len(values) > 0
		})
	}
}

func TestTheDashboardSplitsByInstanceAndShowsTheRatioOfFailuresAndTheTests(t *testing.T) {
	text, err := os.ReadFile(monitoring + "/grafana.json")
	require.NoError(t, err)
	var dashboard struct {
		Templating struct {
			List []struct{ Name string }
		}
		Panels []struct {
			ID      int
			Title   string
			GridPos struct{ X, Y, W, H int }
			Targets []struct{ Expr string }
		}
	}
	require.NoError(t, json.Unmarshal(text, &dashboard))
	var expressions []string
	variables := make([]string, 0, len(dashboard.Templating.List))
	for _, variable := range dashboard.Templating.List {
		variables = append(variables, variable.Name)
	}
	assert.Equal(t, []string{"datasource", "instance", "handler"}, variables)
	taken := map[[2]int]string{} // of the grid
	for _, panel := range dashboard.Panels {
		for _, target := range panel.Targets {
			expressions = append(expressions, target.Expr)
			metrics := strings.Count(target.Expr, "caddy_elevenlabs_")
			assert.Positive(t, metrics, panel.Title)
			assert.Equal(t, metrics, strings.Count(target.Expr, `{instance=~"$instance"`), "%s: %s", panel.Title, target.Expr)
		}
		for x := range panel.GridPos.W {
			for y := range panel.GridPos.H {
				cell := [2]int{panel.GridPos.X + x, panel.GridPos.Y + y}
				assert.Empty(t, taken[cell], "%s lies on it", panel.Title)
				taken[cell] = panel.Title
			}
		}
	}
	all := strings.Join(expressions, "\n")
	for _, metric := range []string{
		"events", "oldest_waiting_seconds", "events_total", "bypassed_total", "attempts_total", "delivered_after_seconds_bucket", "bytes", "limit_bytes",
	} {
		assert.Contains(t, all, "caddy_elevenlabs_inbox_"+metric+"{")
	}
	assert.Regexp(t, `genuine_deliveries_total\{.*result=~"failed\|rejected"\}\[1h\]\)\) / `, all)
	assert.Contains(t, all, "test_deliveries_total")
	for _, metric := range []string{"consecutive_failures", "last_success_timestamp_seconds", "last_delivery_timestamp_seconds"} {
		assert.Regexp(t, `by \(handler, secret\) \(caddy_elevenlabs_webhook_`+metric, all)
	}
}
