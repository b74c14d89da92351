package caddymodule

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/deliveries"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/envelope"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"
)

// matches runs the matcher, and the CEL function if there are types.
func matches(t *testing.T, types []string, r *http.Request) bool {
	t.Helper()
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
	defer cancel()
	matcher := MatchEvent(slices.Clone(types))
	require.NoError(t, matcher.Provision(ctx))
	got, err := matcher.MatchWithError(r)
	require.NoError(t, err)

	if len(types) > 0 {
		list, err := json.Marshal(types)
		require.NoError(t, err)
		expression := &caddyhttp.MatchExpression{Expr: "elevenlabs_event(" + string(list[1:len(list)-1]) + ")"}
		require.NoError(t, expression.Provision(ctx))
		byCEL, err := expression.MatchWithError(r)
		require.NoError(t, err)
		assert.Equal(t, got, byCEL, "the CEL function")
	}
	return got
}

func verifiedEvent(d deliveries.Delivery) *event {
	return &event{Event: deliveries.Event{Delivery: d, Verified: true}}
}

func TestMatcherIsTrueForVerifiedEventsOfTheTypeOnly(t *testing.T) {
	audio := deliveries.Delivery{Fields: envelope.Fields{EventType: "post_call_audio"}}
	otel := deliveries.Delivery{Fields: envelope.Fields{EventType: "post_call_transcription_otel"}}
	later := deliveries.Delivery{Fields: envelope.Fields{EventType: "of_next_year"}}
	rejected := audio
	rejected.Result, rejected.Reason = deliveries.Rejected, facts.SignatureMismatch.Code
	tests := []struct {
		name  string
		event *event // nil: the request did not pass the handler
		types []string
		want  bool
	}{
		{"the type", verifiedEvent(audio), []string{"post_call_audio"}, true},
		{"one of the types", verifiedEvent(audio), []string{"voice_removed", "post_call_audio"}, true},
		{"any type", verifiedEvent(audio), []string{}, true},
		{"any type, none known", verifiedEvent(deliveries.Delivery{}), []string{}, true},
		{"its subscription", verifiedEvent(audio), []string{"audio"}, true},
		{"a subscription of several types", verifiedEvent(otel), []string{"audio", "transcript"}, true},
		{"a type that nobody knows yet", verifiedEvent(later), []string{"of_next_year"}, true},
		{"another subscription", verifiedEvent(audio), []string{"transcript"}, false},
		{"another type of the subscription", verifiedEvent(otel), []string{"post_call_transcription"}, false},
		{"another type", verifiedEvent(audio), []string{"voice_removed"}, false},
		{"another case", verifiedEvent(audio), []string{"POST_CALL_AUDIO"}, false},
		{"rejected", &event{Event: deliveries.Event{Delivery: rejected}}, []string{"post_call_audio"}, false},
		{"rejected, its subscription", &event{Event: deliveries.Event{Delivery: rejected}}, []string{"audio"}, false},
		{"rejected, any type", &event{Event: deliveries.Event{Delivery: rejected}}, []string{}, false},
		{"not verified yet", &event{}, []string{}, false},
		{"no handler", nil, []string{}, false},
		{"no handler, a type", nil, []string{"post_call_audio"}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := requestOf(&response{event: test.event})
			if test.event == nil {
				caddyhttp.SetVar(r.Context(), eventVar, "true") // as a config could with vars
			}
			assert.Equal(t, test.want, matches(t, test.types, r))
		})
	}
}

func TestMatcherTakesNoBlock(t *testing.T) {
	var m MatchEvent
	require.ErrorContains(t, m.UnmarshalCaddyfile(caddyfile.NewTestDispenser("elevenlabs_event {\nx\n}")), "blocks are not supported")
}

func TestMatcherAcceptsOnlyStringsInCEL(t *testing.T) {
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
	defer cancel()
	require.Error(t, (&caddyhttp.MatchExpression{Expr: "elevenlabs_event(1)"}).Provision(ctx))
}

func TestMatcherTakesNoPlaceholderForAType(t *testing.T) {
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
	defer cancel()
	matcher := MatchEvent{"audio", "{env.TYPE}"}
	require.ErrorContains(t, matcher.Provision(ctx), `no event has "{env.TYPE}"`)
}
