package caddymodule

import (
	"net/http"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/stretchr/testify/assert"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/deliveries"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"
)

const strangersAddress = "203.0.113.7:4711"

// replay makes a genuine request that was signed long ago, or will be.
func replay(body, address string, age time.Duration) *http.Request {
	r := newRequest(body)
	sign(r, testSecret, signedAt.Add(-age), body)
	r.RemoteAddr = address
	return r
}

func TestAnEventOfAWrongTimeCountsFromElevenLabsOrOnce(t *testing.T) {
	const month, fromNow = 30 * 24 * time.Hour, -time.Hour
	const elevenLabsAddress = "34.67.146.145:4711"
	other := `{"type":"post_call_audio"}`
	for _, test := range []struct {
		name     string
		requests []*http.Request
		counted  int
		replays  int
	}{
		{"an old one, again and again", []*http.Request{replay(transcript, strangersAddress, month), replay(transcript, strangersAddress, month), replay(transcript, strangersAddress, month)}, 1, 2},
		{"one from the future", []*http.Request{replay(transcript, strangersAddress, fromNow), replay(transcript, strangersAddress, fromNow)}, 1, 1},
		{"one of each time", []*http.Request{replay(transcript, strangersAddress, month), replay(transcript, strangersAddress, fromNow)}, 1, 1},
		{"one that came in time", []*http.Request{replay(transcript, strangersAddress, 0), replay(transcript, strangersAddress, month)}, 0, 1},
		{"several, if this clock is wrong", []*http.Request{replay(transcript, strangersAddress, month), replay(other, strangersAddress, month)}, 2, 0},
		{"late retries of ElevenLabs", []*http.Request{replay(transcript, elevenLabsAddress, month), replay(transcript, elevenLabsAddress, month)}, 2, 0},
		{"an event in time that comes twice", []*http.Request{replay(transcript, strangersAddress, 0), replay(transcript, strangersAddress, time.Minute)}, 0, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			h, _ := provision(t, &Handler{})
			_, follower := deliveryLog.Follow(deliveries.Filter{})
			for _, r := range test.requests {
				serve(t, h, r)
			}
			deliveryLog.Unfollow(follower)
			replays := 0
			for d := range follower.C {
				if d.Replay {
					replays++
					assert.True(t, d.Proven)
					assert.False(t, d.Counts)
				}
			}
			assert.Equal(t, test.replays, replays)
			assert.Equal(t, test.counted, statusOf(h.group).FailuresInRow)
		})
	}
}

// A replay is no sign that ElevenLabs still sends, nor of what the time is there.
func TestAReplayChangesNeitherTheLastDeliveryNorTheClocksOffset(t *testing.T) {
	h, _ := provision(t, &Handler{})
	serve(t, h, replay(transcript, strangersAddress, 30*24*time.Hour))
	before := statusOf(h.group)
	assert.Equal(t, 1, clockSamples(t))
	for range 3 {
		serve(t, h, replay(transcript, strangersAddress, 30*24*time.Hour))
	}
	after := statusOf(h.group)
	assert.Equal(t, before.Streak, after.Streak)
	assert.Equal(t, int64(4), after.Results.Rejected)
	assert.Equal(t, 1, clockSamples(t))
}

// clockSamples returns how often the clock's offset was measured.
func clockSamples(t *testing.T) (samples int) {
	t.Helper()
	families, err := newRegistry(t).Gather()
	assert.NoError(t, err)
	for _, family := range families {
		if family.GetName() == "caddy_elevenlabs_webhook_clock_offset_seconds" {
			for _, metric := range family.Metric {
				samples += int(metric.GetHistogram().GetSampleCount())
			}
		}
	}
	return samples
}

func TestAReplayOfATestEventIsAReplay(t *testing.T) {
	h, _ := provision(t, &Handler{})
	for n := range 2 {
		r := replay(transcript, strangersAddress, time.Hour)
		r.Header.Set(facts.HeaderTest, facts.TestMark("v1.2.3"))
		serve(t, h, r)
		d := lastDelivery(t)
		assert.Equal(t, []bool{true, false, n > 0}, []bool{d.Test, d.Counts, d.Replay})
	}
}

func TestAReplayThatReportOnlyForwardsDoesNotCountEither(t *testing.T) {
	h, _ := provision(t, &Handler{ReportOnly: true})
	for range 2 {
		serveWith(t, h, replay(transcript, strangersAddress, time.Hour), caddyhttp.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) error {
			w.WriteHeader(http.StatusInternalServerError)
			return nil
		}))
	}
	assert.Equal(t, 1, statusOf(h.group).FailuresInRow)
}
