package caddymodule

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/deliveries"
)

// forgetUnused removes the groups without a handler, as in a new process.
func forgetUnused() {
	seenEvents = new(deliveries.Seen)
	groups.Lock()
	defer groups.Unlock()
	for name, hook := range groups.byName {
		if len(hook.handlers) > 0 {
			continue
		}
		delete(groups.byName, name)
		for _, vec := range perHandler {
			vec.(interface {
				DeletePartialMatch(labels prometheus.Labels) int
			}).DeletePartialMatch(prometheus.Labels{labelHandler: name})
		}
	}
}

// configure provisions a handler with these secrets. The returned function ends its
// configuration.
func configure(t *testing.T, secrets ...Secret) (h *Handler, end func()) {
	t.Helper()
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
	h = &Handler{Secrets: secrets, SpoolDir: t.TempDir(), now: func() time.Time { return signedAt }}
	require.NoError(t, h.Provision(ctx))
	h.logger = zap.NewNop()
	end = func() {
		cancel()
		require.NoError(t, h.Cleanup())
	}
	t.Cleanup(func() {
		end()
		forgetUnused()
	})
	return h, end
}

// statusOf returns the status of a group.
func statusOf(g *group) deliveries.Status { return deliveries.Total(g.counters.All()) }

// deliver sends a genuine event, which the backend answers with the status.
func deliver(t *testing.T, h *Handler, status int) {
	t.Helper()
	serveWith(t, h, newRequest(transcript), caddyhttp.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) error {
		w.WriteHeader(status)
		return nil
	}))
}

var (
	secretA = Secret{Value: "{env.TEST_SECRET}", Name: "a"}
	secretB = Secret{Value: "{env.TEST_OLD_SECRET}", Name: "b"}
)

func TestTheStreakContinuesUnderANewNameOfTheSameSecret(t *testing.T) {
	for name, secrets := range map[string][]Secret{
		"a second secret, as in a rotation": {secretA, secretB},
		"the secret has another name":       {{Value: secretA.Value, Name: "renamed"}},
		"the secret comes from elsewhere":   {{Value: testSecret}},
	} {
		t.Run(name, func(t *testing.T) {
			before, end := configure(t, secretA)
			deliver(t, before, 200)
			for range 4 {
				deliver(t, before, 500)
			}
			h, _ := configure(t, secrets...)
			end()
			was, is := statusOf(before.group), statusOf(h.group)
			assert.Equal(t, was.Streak, is.Streak)
			assert.Equal(t, 4, is.FailuresInRow)
			assert.Zero(t, is.Results, "the counters are each name's own")

			core, logs := observer.New(zapcore.DebugLevel)
			h.logger = zap.New(core)
			deliver(t, h, 500)
			logged := logs.FilterMessage("webhook deliveries fail").All()
			require.Len(t, logged, 1, "the alarm of the fifth")
			assert.Equal(t, zapcore.WarnLevel, logged[0].Level)
			assert.Equal(t, int64(5), logged[0].ContextMap()["failures_in_row"])
		})
	}
}

func TestAHandlerWithOtherSecretsStartsANewStreak(t *testing.T) {
	before, end := configure(t, secretA)
	deliver(t, before, 500)
	h, _ := configure(t, secretB)
	end()
	assert.Zero(t, statusOf(h.group))
}

func TestAHandlerThatIsRemovedAndAddedAgainContinuesItsStreak(t *testing.T) {
	before, end := configure(t, secretA)
	deliver(t, before, 500)
	end()
	for _, s := range allStatus() {
		assert.NotEqual(t, "a", s.Handler, "only those that there are")
	}
	h, _ := configure(t, secretA)
	deliver(t, h, 500)
	status := statusOf(h.group)
	assert.Equal(t, 2, status.FailuresInRow)
	assert.Equal(t, int64(2), status.Results.Failed)
}

func TestAHandlerWithItsOldNameContinuesTheLatestStreak(t *testing.T) {
	first, end1 := configure(t, secretA)
	for range 4 {
		deliver(t, first, 500)
	}
	second, end2 := configure(t, secretA, secretB)
	end1()
	deliver(t, second, 200)
	third, _ := configure(t, secretA)
	end2()
	assert.Zero(t, statusOf(third.group).FailuresInRow)
	assert.Equal(t, statusOf(second.group).LastSuccess, statusOf(third.group).LastSuccess)
}

func TestARequestThatOutlivesItsHandlerIsCountedButNotShown(t *testing.T) {
	h, end := configure(t, secretA)
	serveWith(t, h, newRequest(transcript), caddyhttp.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) error {
		end()
		w.WriteHeader(500)
		return nil
	}))
	assert.Equal(t, 1, int(testutil.ToFloat64(h.group.metrics.deliveries.WithLabelValues("failed", "backend_answer", "post_call_transcription"))))
	assert.NotContains(t, strings.Join(scrape(t, newRegistry(t))["consecutive_failures"], "\n"), "handler=a")
	again, _ := configure(t, secretA)
	assert.Equal(t, 1, statusOf(again.group).FailuresInRow)
}

func TestTheStatusShowsTheHandlersOfANameInTheOrderOfTheConfiguration(t *testing.T) {
	for i := range 20 {
		h, _ := configure(t, secretA)
		h.MaxSize = int64(i + 1)
	}
	all := allStatus()
	require.Len(t, all, 1)
	for i, config := range all[0].Config {
		assert.Equal(t, int64(i+1), config["max_size"])
	}
}

func TestHandlersAreNamedAfterTheirSecrets(t *testing.T) {
	for _, test := range []struct {
		secrets []Secret
		name    string
	}{
		{[]Secret{{Value: "{env.ELEVENLABS_WEBHOOK_SECRET}"}}, "ELEVENLABS_WEBHOOK_SECRET"},
		{[]Secret{{Value: "{file./run/secrets/webhook.key}"}}, "/run/secrets/webhook.key"},
		{[]Secret{{Value: "{env.A}", Name: "new"}, {Value: "{env.B}", Name: "old"}}, "new,old"},
		{[]Secret{{Value: "wsec_written_out"}, {Value: "wsec_written_out", Name: "b"}}, "secret 1,b"},
		{[]Secret{{Value: "{env.A}wsec_written_out{env.B}"}}, "secret 1"},
	} {
		assert.Equal(t, test.name, strings.Join(secretNames(test.secrets), ","))
	}
}

func TestTheStatusShowsTheConfigurationWithoutSecrets(t *testing.T) {
	h, _ := provision(t, &Handler{
		Secrets: []Secret{{Value: "{env.TEST_SECRET}", Name: "by variable"}, {Value: "wsec_written_out", Name: "literal"}},
	})
	h.ReverseProxyRaw = json.RawMessage(`{"upstreams":[{"dial":"localhost:1"}],"headers":{"request":{"set":{"Authorization":["hidden"]}}}}`)
	text, err := json.Marshal(allStatus())
	require.NoError(t, err)
	for _, hidden := range []string{"wsec_", "hidden", testSecret} {
		assert.NotContains(t, string(text), hidden)
	}
	var shown []struct {
		Handler string `json:"handler"`
		Config  []Handler
	}
	require.NoError(t, json.Unmarshal(text, &shown))
	require.Len(t, shown, 1)
	assert.Equal(t, "by variable,literal", shown[0].Handler)
	require.Len(t, shown[0].Config, 1)
	assert.Equal(t, []Secret{{Value: "{env.TEST_SECRET}", Name: "by variable"}, {Name: "literal"}}, shown[0].Config[0].Secrets)
	assert.Equal(t, h.MaxSize, shown[0].Config[0].MaxSize)
	assert.NotEmpty(t, h.Secrets[1].Value, "the handler keeps its own")
	assert.Contains(t, string(text), `"read_timeout":"1m0s","retries":{"count":3,"pause":"1ms"}`, "no nanoseconds")
	assert.Contains(t, string(text), `"tolerance":{"future":"5m0s","past":"30m0s"}`)
	assert.Equal(t, h.Tolerance, shown[0].Config[0].Tolerance, "as a configuration has it")
}

// The race detector finds what a handler still writes when others can see it.
func TestTheStatusCanBeReadWhileAHandlerJoins(t *testing.T) {
	registry := newRegistry(t)
	done, read := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(read)
		for {
			select {
			case <-done:
				return
			default:
				_, err := json.Marshal(allStatus())
				assert.NoError(t, err)
				_, err = registry.Gather()
				assert.NoError(t, err)
			}
		}
	}()
	for range 200 {
		h, end := configure(t, secretA)
		require.NoError(t, h.Validate())
		end()
	}
	close(done)
	<-read
}
