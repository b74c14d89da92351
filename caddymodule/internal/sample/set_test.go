package sample_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/sample"
)

// assign returns an event of a type with assignments.
func assign(t *testing.T, eventType string, assignments ...string) (sample.Event, error) {
	t.Helper()
	o := options
	for _, text := range assignments {
		a, err := sample.ParseAssignment(text)
		require.NoError(t, err)
		o.Set = append(o.Set, a)
	}
	return sample.New(eventType, o)
}

func TestSetReplacesAValueAndNothingElse(t *testing.T) {
	event, err := assign(t, "voice_removed", `data.voice_id=v=1 <"a">`, "event_timestamp=7")
	require.NoError(t, err)
	assert.Equal(t, `{"type": "voice_removed", "event_timestamp": 7, "data": {"voice_id": "v=1 <\"a\">"}}`, read(t, event))

	for assignment, want := range map[string]string{
		`data={"a":[1,2.0,1e-05],"b":"x,y:z"}`: `{"type": "voice_removed", "event_timestamp": 1795421654, "data": {"a": [1, 2.0, 1e-05], "b": "x,y:z"}}`,
		`data=null`:                            `{"type": "voice_removed", "event_timestamp": 1795421654, "data": null}`,
		`data="7"`:                             `{"type": "voice_removed", "event_timestamp": 1795421654, "data": "7"}`,
		`data=`:                                `{"type": "voice_removed", "event_timestamp": 1795421654, "data": ""}`,
	} {
		event, err := assign(t, "voice_removed", assignment)
		require.NoError(t, err)
		assert.Equal(t, want, read(t, event))
	}
}

func TestSetReachesIntoTranscriptsAndAudio(t *testing.T) {
	event, err := assign(t, "post_call_transcription", "data.transcript.2.message=Zoë", "data.conversation_initiation_client_data.dynamic_variables={}")
	require.NoError(t, err)
	body := read(t, event)
	assert.Contains(t, body, `"message": "Zoë", "multivoice_message"`)
	assert.Contains(t, body, `"dynamic_variables": {}}`)

	event, err = assign(t, "post_call_audio", "data.full_audio=AAAA")
	require.NoError(t, err)
	assert.Contains(t, read(t, event), `"full_audio": "AAAA"}}`)
	assert.True(t, event.Chunked())
}

func TestSetOfTheTypeShowsIt(t *testing.T) {
	event, err := assign(t, "voice_removed", "type=of_next_year")
	require.NoError(t, err)
	assert.Equal(t, "of_next_year", event.Type)
}

func TestSetOfWhatIsNotThereSaysWhatIs(t *testing.T) {
	for assignment, want := range map[string]string{
		"data.voiceid=x":    "there is no data.voiceid: data has voice_id, in voice_removed",
		"Type=x":            "there is no Type: the event has type, event_timestamp, data, in voice_removed",
		"data.voice_id.x=1": "there is no data.voice_id.x: data.voice_id has nothing in it, in voice_removed",
	} {
		_, err := assign(t, "voice_removed", assignment)
		assert.EqualError(t, err, want)
	}
	_, err := assign(t, "post_call_transcription", "data.transcript.3.message=x")
	assert.EqualError(t, err, "there is no data.transcript.3: data.transcript has 3 elements, from 0, in post_call_transcription")
	_, err = assign(t, "post_call_transcription", "data.transcript.0.tool_calls.0=x")
	assert.EqualError(t, err, "there is no data.transcript.0.tool_calls.0: data.transcript.0.tool_calls has nothing in it, in post_call_transcription")
}

func TestAnAssignmentIsAPathAndAValue(t *testing.T) {
	for _, text := range []string{"", "=", "data", "=x", ".=x", "data.=x", ".data=x", "data..x=y"} {
		_, err := sample.ParseAssignment(text)
		assert.ErrorContains(t, err, "must be path=value", text)
	}
}
