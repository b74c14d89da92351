package caddymodule

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

// deliverBy sends an event that a secret signed, which the backend answers with the
// status.
func deliverBy(t *testing.T, h *Handler, key string, status int) {
	t.Helper()
	r := newRequest(transcript)
	sign(r, key, signedAt, transcript)
	serveWith(t, h, r, caddyhttp.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) error {
		w.WriteHeader(status)
		return nil
	}))
}

// failuresOf returns the failures in a row of each secret of a group.
func failuresOf(g *group) map[string]int {
	failures := map[string]int{}
	for _, s := range g.counters.All() {
		failures[s.Secret] = s.FailuresInRow
	}
	return failures
}

// gaugesOf returns the values of a metric of a handler, by the label secret.
func gaugesOf(t *testing.T, registry *prometheus.Registry, name, handler string) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	require.NoError(t, err)
	values := map[string]float64{}
	for _, family := range families {
		if family.GetName() != "caddy_elevenlabs_webhook_"+name {
			continue
		}
		for _, metric := range family.Metric {
			labels := map[string]string{}
			for _, label := range metric.Label {
				labels[label.GetName()] = label.GetValue()
			}
			if labels[labelHandler] == handler {
				values[labels[labelSecret]] = metric.GetGauge().GetValue()
			}
		}
	}
	return values
}

func TestAFailingWebhookDoesNotHideBehindAnotherOfItsHandler(t *testing.T) {
	h, _ := configure(t, secretA, secretB)
	core, logs := observer.New(zapcore.DebugLevel)
	h.logger = zap.New(core)
	s, _, _ := subscribe(t, h, eventFailing, eventRecovered)
	for range 3 {
		deliverBy(t, h, "wsec_old", 500)
		deliverBy(t, h, testSecret, 200)
	}

	e := s.next(t)
	assert.Equal(t, eventFailing, e.Name())
	assert.Equal(t, []any{"a,b", "b", 3}, []any{e.Data["handler"], e.Data["secret"], e.Data["failures_in_row"]})
	logged := logs.FilterMessage("webhook deliveries fail").All()
	require.Len(t, logged, 1)
	assert.Equal(t, "b", logged[0].ContextMap()["secret"])
	assert.Contains(t, logged[0].ContextMap()["consequence"], "no delivery has succeeded since Caddy started", "of b")

	registry := newRegistry(t)
	assert.Equal(t, map[string]float64{"a": 0, "b": 3, "": 0}, gaugesOf(t, registry, "consecutive_failures", "a,b"))
	success := gaugesOf(t, registry, "last_success_timestamp_seconds", "a,b")
	assert.NotZero(t, success["a"])
	assert.Zero(t, success["b"])
	assert.Zero(t, success[""], "in the worst case, the unproven delivery is of b")
	assert.Len(t, gaugesOf(t, registry, "last_delivery_timestamp_seconds", "a,b"), 2, "no delivery is both genuine and of no secret")

	text, err := json.Marshal(allStatus()[0])
	require.NoError(t, err)
	var status struct {
		FailuresInRow int        `json:"failures_in_row"`
		LastSuccess   *time.Time `json:"last_success"`
		LastFailure   struct {
			Secret string `json:"secret"`
		} `json:"last_failure"`
		Results struct{ Accepted, Failed int }
		Secrets []struct {
			Secret        string `json:"secret"`
			FailuresInRow int    `json:"failures_in_row"`
			Results       struct{ Accepted, Failed int }
		}
	}
	require.NoError(t, json.Unmarshal(text, &status))
	assert.Equal(t, 3, status.FailuresInRow, "of the one that fails most")
	assert.Nil(t, status.LastSuccess, "of the same")
	assert.Equal(t, "b", status.LastFailure.Secret)
	assert.Equal(t, []int{3, 3}, []int{status.Results.Accepted, status.Results.Failed}, "of all")
	require.Len(t, status.Secrets, 3)
	assert.Equal(t, []any{"b", 3, 0, 3}, []any{status.Secrets[1].Secret, status.Secrets[1].FailuresInRow, status.Secrets[1].Results.Accepted, status.Secrets[1].Results.Failed})

	deliverBy(t, h, "wsec_old", 200)
	e = s.next(t)
	assert.Equal(t, []any{eventRecovered, "b"}, []any{e.Name(), e.Data["secret"]})
}

// A webhook whose secret is wrong here never has a success. That of the other one does
// not end its failures.
func TestAWrongSecretDoesNotHideBehindARightOne(t *testing.T) {
	h, _ := configure(t, secretA, secretB)
	core, logs := observer.New(zapcore.DebugLevel)
	h.logger = zap.New(core)
	for range 3 {
		deliverBy(t, h, "wsec_of_another_webhook", 200)
		deliverBy(t, h, testSecret, 200)
	}
	assert.Equal(t, map[string]int{"a": 0, "b": 0, "": 3}, failuresOf(h.group))
	logged := logs.FilterMessage("webhook deliveries fail").All()
	require.Len(t, logged, 1)
	assert.Equal(t, []any{"", "signature_mismatch"}, []any{logged[0].ContextMap()["secret"], logged[0].ContextMap()["reason"]})

	deliverBy(t, h, "wsec_old", 200)
	deliverBy(t, h, testSecret, 200)
	assert.Equal(t, map[string]int{"a": 0, "b": 0, "": 0}, failuresOf(h.group), "each has succeeded since")
	assert.Equal(t, 1, logs.FilterMessage("webhook deliveries succeed again").Len())
}

func TestEachSecretContinuesItsStreakUnderAnotherName(t *testing.T) {
	both, end := configure(t, secretA, secretB)
	for range 4 {
		deliverBy(t, both, "wsec_old", 500)
		deliverBy(t, both, testSecret, 200)
		deliverBy(t, both, "wsec_of_another_webhook", 200)
	}
	third := Secret{Value: "wsec_third", Name: "third"}
	more, endMore := configure(t, third, Secret{Value: secretB.Value, Name: "renamed"})
	end()
	assert.Equal(t, map[string]int{"third": 0, "renamed": 4, "": 4}, failuresOf(more.group))
	alone, _ := configure(t, secretA)
	endMore()
	assert.Equal(t, map[string]int{"a": 0}, failuresOf(alone.group))
}

func TestADeliveryHasTheNameOfItsSecretAlsoIfTheNameIsThatOfAVariable(t *testing.T) {
	h, _ := provision(t, &Handler{})
	serve(t, h, newRequest(transcript))
	d := lastDelivery(t)
	assert.Equal(t, []string{"TEST_SECRET", ""}, []string{d.Secret, d.SecretName}, "the backend gets only a name that was given")
}
