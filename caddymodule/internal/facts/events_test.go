package facts_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"
)

func TestANameStandsForTypesAndForASubscription(t *testing.T) {
	for _, test := range []struct {
		name         string
		types        []string
		subscription string
	}{
		{name: "post_call_audio", types: []string{"post_call_audio"}, subscription: "audio"},
		{name: "audio", types: []string{"post_call_audio"}, subscription: "audio"},
		{name: "transcript", types: []string{"post_call_transcription", "post_call_transcription_otel"}, subscription: "transcript"},
		{name: "post_call_transcription_otel", types: []string{"post_call_transcription_otel"}, subscription: "transcript"},
		{name: "call_initiation_failure", types: []string{"call_initiation_failure"}, subscription: "call_initiation_failure"},
		{name: "flows", types: []string{"flows_generation", "flows_template_run"}, subscription: "flows"},
		{name: "voice_removed", types: []string{"voice_removed"}, subscription: "voice_library_removal_notice"},
		{name: "agent_qa", subscription: "agent_qa"},
		{name: "unredacted_audio", subscription: "unredacted_audio"},
		{name: "dubbing_project_ready", types: []string{"dubbing_project_ready"}},
		{name: "nope"},
		{name: ""},
	} {
		assert.Equal(t, test.types, facts.EventTypesNamed(test.name), test.name)
		assert.Equal(t, test.subscription, facts.SubscriptionNamed(test.name), test.name)
	}
}

func TestNamesInNoVocabularyStayAsTheyAre(t *testing.T) {
	assert.Equal(t,
		[]string{"post_call_audio", "of_next_year", "flows_generation", "flows_template_run", "agent_qa"},
		facts.EventTypesNamedBy([]string{"audio", "of_next_year", "flows", "agent_qa"}))
	assert.Empty(t, facts.EventTypesNamedBy(nil))
}

func TestEverySubscriptionOfATypeIsOne(t *testing.T) {
	for _, eventType := range facts.EventTypes {
		if eventType.Subscription != "" {
			assert.True(t, facts.IsSubscription(eventType.Subscription), eventType.Name)
		}
	}
}
