package caddymodule

import (
	"bytes"
	"context"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// scrape returns all series of ours in the registry, by name and labels.
func scrape(t *testing.T, registry *prometheus.Registry) map[string][]string {
	t.Helper()
	families, err := registry.Gather()
	require.NoError(t, err)
	found := map[string][]string{}
	for _, family := range families {
		if name, ours := strings.CutPrefix(family.GetName(), "caddy_elevenlabs_webhook_"); ours {
			found[name] = []string{}
			for _, metric := range family.Metric {
				var labels []string
				for _, label := range metric.Label {
					labels = append(labels, label.GetName()+"="+label.GetValue())
				}
				found[name] = append(found[name], strings.Join(labels, " "))
			}
		}
	}
	return found
}

func newRegistry(t *testing.T) *prometheus.Registry {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	require.NoError(t, registerMetrics(registry))
	return registry
}

func TestMetricsAreNamedByTheConventions(t *testing.T) {
	h, _ := provision(t, &Handler{})
	serve(t, h, newRequest(transcript))
	h.webhook.metrics.wouldReject.WithLabelValues("signature_mismatch")
	problems, err := testutil.GatherAndLint(newRegistry(t))
	require.NoError(t, err)
	assert.Empty(t, problems)
}

func TestEachMetricIsInTheREADME(t *testing.T) {
	h, _ := provision(t, &Handler{})
	serve(t, h, newRequest(transcript))
	h.webhook.metrics.wouldReject.WithLabelValues("signature_mismatch")
	readme, err := os.ReadFile("../README.md")
	require.NoError(t, err)
	found := scrape(t, newRegistry(t))
	assert.Len(t, found, 12)
	for name := range found {
		assert.True(t, bytes.Contains(readme, []byte("| `"+name+"`")), "%s is missing in the table of metrics", name)
	}
}

func TestEachReasonOfARefusalIsThereBeforeItOccurs(t *testing.T) {
	provision(t, &Handler{})
	series := strings.Join(scrape(t, newRegistry(t))["deliveries_total"], "\n")
	source, err := os.ReadFile("rejection.go")
	require.NoError(t, err)
	codes := regexp.MustCompile(`&reason\{"(\w+)"`).FindAllSubmatch(source, -1)
	require.Len(t, codes, len(reasons))
	for _, code := range codes {
		assert.Contains(t, series, "reason="+string(code[1])+" result=rejected")
	}
}

func TestNoLabelHasAValueOfTheClients(t *testing.T) {
	h, _ := provision(t, &Handler{ReportOnly: true})
	for _, body := range []string{`{"type":"evil"}`, `{"type":"post_call_audio"}`, `{"type":"forged"}`} {
		r := newRequest(body)
		if strings.Contains(body, "forged") {
			sign(r, "wsec_other", signedAt, body)
		}
		r.Method = "POST"
		r.Host = "evil"
		serve(t, h, r)
	}
	for name, series := range scrape(t, newRegistry(t)) {
		for _, labels := range series {
			assert.NotContains(t, labels, "evil", name)
			assert.NotContains(t, labels, "forged", name)
		}
	}
}

func TestMetricsGoOnOverReloadsAndEndWithTheHandler(t *testing.T) {
	t.Setenv("TEST_RELOADED", testSecret)
	load := func() (*Handler, *prometheus.Registry, context.CancelFunc) {
		ctx, unload := caddy.NewContext(caddy.Context{Context: context.Background()})
		h := &Handler{
			Secrets: []Secret{{Value: "{env.TEST_RELOADED}"}}, SpoolDir: t.TempDir(),
			now: func() time.Time { return signedAt },
		}
		require.NoError(t, h.Provision(ctx))
		return h, ctx.GetMetricsRegistry(), func() {
			unload()
			require.NoError(t, h.Cleanup())
		}
	}
	h1, _, unload1 := load()
	serve(t, h1, newRequest(transcript))
	h2, registry, unload2 := load()
	unload1()
	serve(t, h2, newRequest(transcript))
	count := func() int {
		return int(testutil.ToFloat64(h2.webhook.metrics.deliveries.WithLabelValues("accepted", "", "post_call_transcription")))
	}
	assert.Equal(t, 2, count())
	assert.Contains(t, scrape(t, registry)["consecutive_failures"], "handler=TEST_RELOADED")
	unload2()
	for name, series := range scrape(t, registry) {
		for _, labels := range series {
			assert.NotContains(t, labels, "TEST_RELOADED", name)
		}
	}
}

func TestTwoHandlersOfAConfigurationShareTheRegistry(t *testing.T) {
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
	defer cancel()
	for _, name := range []string{"one", "two"} {
		h := &Handler{Secrets: []Secret{{Value: "{env.TEST_SECRET}", Name: name}}, SpoolDir: t.TempDir()}
		require.NoError(t, h.Provision(ctx))
		defer func() { require.NoError(t, h.Cleanup()) }()
	}
	series := scrape(t, ctx.GetMetricsRegistry())["consecutive_failures"]
	assert.Subset(t, series, []string{"handler=one", "handler=two"})
}

func TestTheClockOffsetIsThatOfGenuineDeliveries(t *testing.T) {
	h, _ := provision(t, &Handler{})
	for _, age := range []time.Duration{90 * time.Second, -2 * time.Second} {
		r := newRequest(transcript)
		sign(r, testSecret, signedAt.Add(-age), transcript)
		serve(t, h, r)
	}
	forged := newRequest(transcript)
	sign(forged, "wsec_other", signedAt.Add(-time.Hour), transcript)
	serve(t, h, forged)
	families, err := newRegistry(t).Gather()
	require.NoError(t, err)
	for _, family := range families {
		if family.GetName() == "caddy_elevenlabs_webhook_clock_offset_seconds" {
			require.Len(t, family.Metric, 1)
			assert.Equal(t, uint64(2), family.Metric[0].Histogram.GetSampleCount())
			assert.Equal(t, 88, int(family.Metric[0].Histogram.GetSampleSum()))
			return
		}
	}
	t.Error("there is no such metric")
}
