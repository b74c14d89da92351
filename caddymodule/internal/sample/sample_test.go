package sample_test

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/envelope"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/sample"
)

var options = sample.Options{Now: time.Unix(1795421654, 0), Turns: 3, Minutes: 0.01}

func newEvent(t *testing.T, eventType string, options sample.Options) sample.Event {
	t.Helper()
	event, err := sample.New(eventType, options)
	require.NoError(t, err)
	return event
}

func read(t *testing.T, event sample.Event) string {
	t.Helper()
	body, err := io.ReadAll(event.Body())
	require.NoError(t, err)
	assert.EqualValues(t, len(body), event.Size())
	return string(body)
}

// noIDs are the types whose samples have none of the ids that the envelope reads.
var noIDs = []string{
	"flows_generation", "flows_template_run",
	"dubbing_project_ready", "dubbing_project_failed", "dubbing_language_completed", "dubbing_language_failed",
}

func TestEveryTypeHasASampleWithTestIDs(t *testing.T) {
	for _, eventType := range facts.EventTypeNames {
		t.Run(eventType, func(t *testing.T) {
			body := read(t, newEvent(t, eventType, options))
			require.True(t, json.Valid([]byte(body)), body)
			assert.NotContains(t, body, "\n")

			var scanner envelope.Scanner
			_, _ = io.WriteString(&scanner, body)
			fields := scanner.Fields()
			assert.Equal(t, eventType, fields.EventType)
			assert.Equal(t, "1795421654", fields.EventTimestamp)
			ids := slices.DeleteFunc(
				[]string{fields.ConversationID, fields.AgentID, fields.RequestID, fields.VoiceID},
				func(id string) bool { return id == "" },
			)
			assert.Equal(t, slices.Contains(noIDs, eventType), len(ids) == 0)
			for _, id := range ids {
				assert.Contains(t, id, "test_")
			}
		})
	}
}

func TestEachSampleHasNewIDs(t *testing.T) {
	random := regexp.MustCompile(`_test_[0-9a-f]{24}`)
	for _, eventType := range facts.EventTypeNames {
		first := random.FindAllString(read(t, newEvent(t, eventType, options)), -1)
		second := random.FindAllString(read(t, newEvent(t, eventType, options)), -1)
		require.NotEmpty(t, first, eventType)
		for _, id := range first {
			assert.NotContains(t, second, id, eventType)
		}
	}
}

func TestNewRejectsOtherTypes(t *testing.T) {
	_, err := sample.New("other", options)
	require.Error(t, err)
}

func TestDocumentedNamesTheTypesWithADocumentedShape(t *testing.T) {
	documented := slices.DeleteFunc(slices.Clone(facts.EventTypeNames), func(name string) bool { return !sample.Documented(name) })
	assert.Equal(t, []string{
		"post_call_transcription", "post_call_transcription_otel", "post_call_audio", "call_initiation_failure",
		"speech_to_text_transcription", "flows_generation", "flows_template_run",
	}, documented)
}

func TestTranscriptHasTheTurnsAskedFor(t *testing.T) {
	for _, turns := range []int{1, 2, 25} {
		body := read(t, newEvent(t, "post_call_transcription", sample.Options{Now: options.Now, Turns: turns}))
		var event struct {
			Data struct {
				Transcript []struct {
					Role   string
					Second int `json:"time_in_call_secs"`
				}
				Metadata struct {
					Start    int64 `json:"start_time_unix_secs"`
					Duration int   `json:"call_duration_secs"`
				}
			}
		}
		require.NoError(t, json.Unmarshal([]byte(body), &event))
		require.Len(t, event.Data.Transcript, turns)
		last := event.Data.Transcript[turns-1]
		assert.Equal(t, []string{"agent", "user"}[(turns+1)%2], last.Role)
		assert.Less(t, last.Second, event.Data.Metadata.Duration)
		assert.Equal(t, options.Now.Unix(), event.Data.Metadata.Start+int64(event.Data.Metadata.Duration))

		otel := read(t, newEvent(t, "post_call_transcription_otel", sample.Options{Now: options.Now, Turns: turns}))
		assert.Equal(t, turns, strings.Count(otel, "elevenlabs.recv."))
	}
}

func TestAudioIsBase64OfMP3OfTheLengthAskedFor(t *testing.T) {
	tests := []struct {
		minutes float64
		frames  int
	}{
		{minutes: 0.00001, frames: 1},
		{minutes: 0.5, frames: 1250},
		{minutes: 2, frames: 5000},
	}
	for _, test := range tests {
		event := newEvent(t, "post_call_audio", sample.Options{Now: options.Now, Minutes: test.minutes})
		assert.True(t, event.Chunked())
		audio := audioOf(t, event)
		require.Equal(t, "ID3", string(audio[:3]))
		audio = audio[45:]                     // the tag
		require.Len(t, audio, test.frames*384) // 128 kbit/s for 24 ms
		for i := 0; i < len(audio); i += 384 {
			require.Equal(t, []byte{0xff, 0xfb, 0x94, 0xc4}, audio[i:i+4], "no frame begins at byte %d", i)
		}
	}
}

func TestBodyFulfilsTheContractOfIoReader(t *testing.T) {
	event := newEvent(t, "post_call_audio", sample.Options{Now: options.Now, Minutes: 0.001})
	require.NoError(t, iotest.TestReader(event.Body(), []byte(read(t, event))))
}

func TestOnlyAudioIsChunked(t *testing.T) {
	for _, eventType := range facts.EventTypeNames {
		assert.Equal(t, eventType == "post_call_audio", newEvent(t, eventType, options).Chunked(), eventType)
	}
	assert.False(t, sample.FromBody("post_call_audio", []byte("{}")).Chunked())
}

func TestChangedBodyIsStillJSON(t *testing.T) {
	tests := []struct{ body, want string }{
		{body: `{"a":1,"b":2}`, want: `{"a":2,"b":2}`},
		{body: `{"a":0}`, want: `{"a":1}`},
		{body: `{"a":9}`, want: `{"a":8}`},
		{body: `{"a":"\u00e9"}`, want: `{"a":"\u10e9"}`},
		{body: `{"a":"no digit there"}`, want: `{"a":"no digit there"} `},
		{body: ``, want: ` `},
	}
	for _, test := range tests {
		assert.Equal(t, test.want, read(t, sample.FromBody("", []byte(test.body)).Changed()), test.body)
	}
	event := newEvent(t, "post_call_audio", options)
	assert.NotEqual(t, read(t, event), read(t, event.Changed()))
	assert.Equal(t, event.Size(), event.Changed().Size())
}

func TestFailedCallHasNoTurnsAndAudioWithoutFrames(t *testing.T) {
	failed := sample.Options{Now: options.Now, Turns: 3, Minutes: 1, Failed: true}
	var transcript struct {
		Data struct {
			Status     string
			Transcript []any
			Metadata   struct {
				Error    map[string]any
				Duration int `json:"call_duration_secs"`
			}
			Analysis struct {
				Successful string `json:"call_successful"`
			}
		}
	}
	require.NoError(t, json.Unmarshal([]byte(read(t, newEvent(t, "post_call_transcription", failed))), &transcript))
	assert.Equal(t, "failed", transcript.Data.Status)
	assert.Equal(t, []any{}, transcript.Data.Transcript)
	assert.Equal(t, map[string]any{"code": 1010., "reason": "Missing required dynamic variables in first message: {'user_name'}"}, transcript.Data.Metadata.Error)
	assert.Equal(t, 1, transcript.Data.Metadata.Duration)
	assert.Equal(t, "unknown", transcript.Data.Analysis.Successful)

	event := newEvent(t, "post_call_audio", failed)
	assert.True(t, event.Chunked())
	assert.Len(t, audioOf(t, event), 45)
}

// audioOf returns the audio of an event.
func audioOf(t *testing.T, event sample.Event) []byte {
	t.Helper()
	var decoded struct {
		Data struct {
			Audio string `json:"full_audio"`
		}
	}
	require.NoError(t, json.Unmarshal([]byte(read(t, event)), &decoded))
	audio, err := base64.StdEncoding.DecodeString(decoded.Data.Audio)
	require.NoError(t, err)
	return audio
}

func TestOnlySomeTypesDependOnMoreThanTheTime(t *testing.T) {
	size := func(eventType string, options sample.Options) int64 {
		options.Now = time.Unix(1795421654, 0)
		return newEvent(t, eventType, options).Size()
	}
	usual := sample.Options{Turns: 4, Minutes: 1}
	for _, eventType := range facts.EventTypeNames {
		was := size(eventType, usual)
		assert.Equal(t, sample.HasTurns(eventType), was != size(eventType, sample.Options{Turns: 5, Minutes: 1}), eventType)
		assert.Equal(t, sample.HasAudio(eventType), was != size(eventType, sample.Options{Turns: 4, Minutes: 2}), eventType)
		assert.Equal(t, sample.OfCall(eventType), was != size(eventType, sample.Options{Turns: 4, Minutes: 1, Failed: true}), eventType)
		assert.Equal(t, was, size(eventType, usual), "%s: every sample of a type has the same size", eventType)
	}
}

// A transcript of 44 minutes has 199 KB.
func TestTranscriptsReachTheSizeOfRealOnes(t *testing.T) {
	assert.InDelta(t, 11_500, newEvent(t, "post_call_transcription", sample.Options{Now: options.Now, Turns: 10}).Size(), 1_500)
	assert.InDelta(t, 200_000, newEvent(t, "post_call_transcription", sample.Options{Now: options.Now, Turns: 265}).Size(), 2_000)
}
