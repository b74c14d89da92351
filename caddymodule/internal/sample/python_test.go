package sample_test

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/sample"
)

var (
	jsonString = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)
	badSpace   = regexp.MustCompile(`[,:](?:[^ ]|$)|[^,:] | {2}`)
	floatKey   = regexp.MustCompile(`"(?:price|elapsed_time|\w+_consumed|start|end|logprob)": ([^",}]+)`)
)

func TestEverySampleIsWrittenAsPythonWritesIt(t *testing.T) {
	for _, eventType := range facts.EventTypeNames {
		for _, failed := range []bool{false, true} {
			body := read(t, newEvent(t, eventType, sample.Options{Now: options.Now, Turns: 60, Minutes: 0.01, Failed: failed}))
			assert.Empty(t, badSpace.FindAllString(jsonString.ReplaceAllString(body, `""`), -1), eventType)
			for _, number := range floatKey.FindAllStringSubmatch(body, -1) {
				assert.Regexp(t, `^-?(?:[0-9]+\.[0-9]+(?:e-[0-9]{2})?|[0-9]e-[0-9]{2})$`, number[1], eventType)
			}
		}
	}
	assert.GreaterOrEqual(t, len(floatKey.FindAllString(read(t, newEvent(t, "post_call_transcription", options)), -1)), 20)
}

// The order is that of public captures, where conversation_id comes early.
func TestTranscriptHasTheKeysOfRealOnesInTheirOrder(t *testing.T) {
	body := read(t, newEvent(t, "post_call_transcription", sample.Options{Now: options.Now, Turns: 3}))
	for path, want := range map[string]string{
		"": "type event_timestamp data",
		"data": "agent_id agent_name conversation_id status user_id branch_id version_id transcript metadata analysis " +
			"conversation_initiation_client_data environment has_audio has_user_audio has_response_audio has_auxiliary_audio",
		"data transcript 1": "role agent_metadata message multivoice_message tool_calls tool_results feedback llm_override time_in_call_secs " +
			"conversation_turn_metrics rag_retrieval_info llm_usage interrupted original_message source_medium",
		"data metadata": "start_time_unix_secs accepted_time_unix_secs call_duration_secs cost deletion_settings feedback authorization_method " +
			"charging phone_call batch_call termination_reason error warnings main_language rag_usage text_only features_usage eleven_assistant " +
			"initiator_id conversation_initiation_source conversation_initiation_source_version timezone async_metadata whatsapp " +
			"agent_created_from agent_last_updated_from",
		"data metadata charging": "dev_discount is_burst tier llm_usage llm_price llm_charge call_charge free_minutes_consumed free_llm_dollars_consumed",
	} {
		assert.Equal(t, want, strings.Join(keysAt(t, body, strings.Fields(path)), " "), path)
	}
}

// keysAt returns the keys of the object at a path, in their order.
func keysAt(t *testing.T, body string, path []string) (keys []string) {
	t.Helper()
	raw := json.RawMessage(body)
	for _, key := range path {
		if key == "1" {
			var elements []json.RawMessage
			require.NoError(t, json.Unmarshal(raw, &elements))
			raw = elements[1]
			continue
		}
		var members map[string]json.RawMessage
		require.NoError(t, json.Unmarshal(raw, &members))
		raw = members[key]
	}
	decoder := json.NewDecoder(strings.NewReader(string(raw)))
	_, err := decoder.Token()
	require.NoError(t, err)
	for decoder.More() {
		key, err := decoder.Token()
		require.NoError(t, err)
		keys = append(keys, key.(string))
		var value json.RawMessage
		require.NoError(t, decoder.Decode(&value))
	}
	return keys
}
