package caddymodule

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/internal/buildinfo"
)

// scrape returns the labels of all series of this module in the registry, by name.
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

func TestMetricNamesFollowTheConventions(t *testing.T) {
	h, _ := provision(t, &Handler{})
	serve(t, h, newRequest(transcript))
	h.group.metrics.wouldReject.WithLabelValues("signature_mismatch")
	problems, err := testutil.GatherAndLint(newRegistry(t))
	require.NoError(t, err)
	assert.Empty(t, problems)
}

func TestTheLabelsOfBuildInfoTellTheRelease(t *testing.T) {
	i := buildinfo.Read()
	assert.NoError(t, testutil.GatherAndCompare(newRegistry(t), strings.NewReader(fmt.Sprintf(`
		# HELP caddy_elevenlabs_build_info Always 1. The labels tell what this program was built from.
		# TYPE caddy_elevenlabs_build_info gauge
		caddy_elevenlabs_build_info{goversion=%q,revision=%q,version=%q} 1
	`, runtime.Version(), i.Revision, i.Version)), "caddy_elevenlabs_build_info"))
}

func TestEveryMetricIsInTheDocs(t *testing.T) {
	h, _ := provision(t, &Handler{})
	serve(t, h, newRequest(transcript))
	h.group.metrics.wouldReject.WithLabelValues("signature_mismatch")
	page, err := os.ReadFile("../docs/reference/metrics.md")
	require.NoError(t, err)
	found := scrape(t, newRegistry(t))
	assert.Len(t, found, 14)
	for name := range found {
		assert.True(t, bytes.Contains(page, []byte("| `"+name+"`")), "%s is missing in the table of metrics", name)
	}
}

func TestEverySeriesExistsBeforeItsFirstOccurrence(t *testing.T) {
	provision(t, &Handler{Events: []string{"post_call_audio"}})
	there := scrape(t, newRegistry(t))
	all := strings.Join(there["deliveries_total"], "\n")
	for _, rejection := range facts.Rejections {
		assert.Contains(t, all, "reason="+rejection.Code+" result=rejected")
	}
	for _, typ := range append(slices.Clone(facts.EventTypeNames), "other") {
		assert.Contains(t, all, "event_type="+typ+" handler=TEST_SECRET reason= result=accepted")
		assert.Contains(t, all, "event_type="+typ+" handler=TEST_SECRET reason=event_not_wanted result=ignored")
		for _, failure := range facts.Failures {
			assert.Contains(t, all, "event_type="+typ+" handler=TEST_SECRET reason="+failure.Code+" result=failed")
		}
	}
	for _, class := range []string{"2xx", "3xx", "4xx", "5xx", "none"} {
		assert.Contains(t, there["upstream_responses_total"], "class="+class+" handler=TEST_SECRET")
	}
	assert.NotContains(t, there, "would_reject_total")
}

func TestReportOnlyAddsItsSeriesBeforeTheFirstOccurrence(t *testing.T) {
	provision(t, &Handler{ReportOnly: true})
	there := scrape(t, newRegistry(t))
	var forwarded []string
	for _, rejection := range facts.Rejections {
		if rejection.ReportOnly {
			forwarded = append(forwarded, rejection.Code)
		}
	}
	assert.ElementsMatch(t, forwarded, reasonsOf(there["would_reject_total"]))
	assert.Contains(t, there["deliveries_total"], "event_type=none handler=TEST_SECRET reason= result=accepted")
	assert.Contains(t, there["deliveries_total"], "event_type=none handler=TEST_SECRET reason=backend_answer result=failed")
	assert.NotContains(t, strings.Join(there["deliveries_total"], "\n"), "ignored", "without events, nothing is")
}

func reasonsOf(series []string) (all []string) {
	for _, labels := range series {
		_, reason, _ := strings.Cut(labels, "reason=")
		all = append(all, reason)
	}
	return all
}

func TestNoLabelHasAValueThatAClientChose(t *testing.T) {
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

func TestMetricsContinueOverReloadsAndTheStatusEndsWithTheHandler(t *testing.T) {
	h1, end1 := configure(t, secretA)
	deliver(t, h1, 200)
	h2, end2 := configure(t, secretA)
	end1()
	deliver(t, h2, 200)
	registry := newRegistry(t)
	assert.Contains(t, scrape(t, registry)["consecutive_failures"], "handler=a secret=a")
	end2()
	there := scrape(t, registry)
	for _, name := range []string{"consecutive_failures", "last_success_timestamp_seconds", "last_delivery_timestamp_seconds", "spool_limit_bytes"} {
		assert.NotContains(t, strings.Join(there[name], "\n"), "handler=a")
	}
	assert.Contains(t, there["deliveries_total"], "event_type=post_call_transcription handler=a reason= result=accepted")
	assert.Equal(t, 2, int(testutil.ToFloat64(h2.group.metrics.deliveries.WithLabelValues("accepted", "", "post_call_transcription"))))
}

func TestTwoHandlersOfAConfigurationShareTheRegistry(t *testing.T) {
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
	defer cancel()
	for _, name := range []string{"one", "two"} {
		h := &Handler{Secrets: []Secret{{Value: "{env.TEST_SECRET}", Name: name}}, SpoolDir: t.TempDir()}
		require.NoError(t, h.Provision(ctx))
		defer func() {
			require.NoError(t, h.Cleanup())
			forgetUnused()
		}()
	}
	series := scrape(t, ctx.GetMetricsRegistry())["consecutive_failures"]
	assert.Subset(t, series, []string{"handler=one secret=one", "handler=two secret=two"})
}

func TestTheClockOffsetIsMeasuredOnGenuineDeliveriesOnly(t *testing.T) {
	h, _ := provision(t, &Handler{})
	for _, age := range []time.Duration{90 * time.Second, -2 * time.Second} {
		r := newRequest(transcript)
		sign(r, testSecret, signedAt.Add(-age), transcript)
		serve(t, h, r)
	}
	forged := newRequest(transcript)
	sign(forged, "wsec_other", signedAt.Add(-time.Hour), transcript)
	serve(t, h, forged)
	tested := newRequest(transcript)
	tested.Header.Set(facts.HeaderTest, facts.TestMark("v1.2.3"))
	sign(tested, testSecret, signedAt.Add(-time.Hour), transcript)
	serve(t, h, tested)
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

func TestGenuineDeliveriesAreCountedBySecretWithoutTestsForgeriesAndReplays(t *testing.T) {
	h, _ := configure(t, secretA, secretB)
	deliver(t, h, 200)
	deliverBy(t, h, "wsec_old", 500)
	deliverBy(t, h, "wsec_of_another_webhook", 200) // from an address of ElevenLabs

	forged := newRequest(transcript)
	sign(forged, "wsec_of_another_webhook", signedAt, transcript)
	forged.RemoteAddr = strangersAddress
	serve(t, h, forged)
	serve(t, h, replay(transcript, strangersAddress, time.Hour))
	for _, key := range []string{testSecret, "wsec_of_another_webhook"} { // only the first is proven
		tested := newRequest(transcript)
		sign(tested, key, signedAt, transcript)
		tested.RemoteAddr = "127.0.0.1:4711"
		tested.Header.Set(facts.HeaderTest, facts.TestMark("v1.2.3"))
		serve(t, h, tested)
	}

	m := h.group.metrics
	for _, test := range []struct {
		secret, result, typ string
		want                int
	}{
		{"a", "accepted", "post_call_transcription", 1},
		{"a", "rejected", "post_call_transcription", 0},
		{"b", "failed", "post_call_transcription", 1},
		{"b", "accepted", "post_call_transcription", 0},
		{"", "rejected", "none", 1},
	} {
		got := testutil.ToFloat64(m.genuine.WithLabelValues(test.secret, test.result, test.typ))
		assert.Equal(t, test.want, int(got), "%+v", test)
	}
	assert.Equal(t, 1, int(testutil.ToFloat64(m.tests.WithLabelValues("accepted"))))
	assert.Equal(t, 0, int(testutil.ToFloat64(m.tests.WithLabelValues("rejected"))))
}

func TestEverySeriesOfGenuineDeliveriesExistsBeforeItsFirstOccurrence(t *testing.T) {
	configure(t, secretA)
	configure(t, secretA, secretB)
	there := scrape(t, newRegistry(t))
	for _, secret := range []string{"a", "b"} {
		for _, typ := range append(slices.Clone(facts.EventTypeNames), "other") {
			for _, result := range []string{"accepted", "rejected", "failed"} {
				assert.Contains(t, there["genuine_deliveries_total"], "event_type="+typ+" handler=a,b result="+result+" secret="+secret)
			}
		}
	}
	assert.Contains(t, there["genuine_deliveries_total"], "event_type=none handler=a,b result=rejected secret=")
	assert.Contains(t, there["genuine_deliveries_total"], "event_type=none handler=a result=rejected secret=a")
	assert.NotContains(t, strings.Join(there["genuine_deliveries_total"], "\n"), "result=ignored", "without events, nothing is")
	assert.Contains(t, there["test_deliveries_total"], "handler=a result=failed")
}
