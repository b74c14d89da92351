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

func makeEvent(t *testing.T, eventType string, options sample.Options) sample.Event {
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

// noIDs are the types whose events have none of the ids that the envelope reads.
var noIDs = []string{
	"flows_generation", "flows_template_run",
	"dubbing_project_ready", "dubbing_project_failed", "dubbing_language_completed", "dubbing_language_failed",
}

func TestEveryTypeHasASampleThatTellsItIsATest(t *testing.T) {
	for _, eventType := range facts.EventTypeNames {
		t.Run(eventType, func(t *testing.T) {
			body := read(t, makeEvent(t, eventType, options))
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

func TestEveryIDIsNew(t *testing.T) {
	random := regexp.MustCompile(`_test_[0-9a-f]{24}`)
	for _, eventType := range facts.EventTypeNames {
		first := random.FindAllString(read(t, makeEvent(t, eventType, options)), -1)
		second := random.FindAllString(read(t, makeEvent(t, eventType, options)), -1)
		require.NotEmpty(t, first, eventType)
		for _, id := range first {
			assert.NotContains(t, second, id, eventType)
		}
	}
}

func TestThereIsNoOtherType(t *testing.T) {
	_, err := sample.New("other", options)
	require.Error(t, err)
}

func TestDocumentedTellsShapesFromNames(t *testing.T) {
	documented := slices.DeleteFunc(facts.EventTypeNames, func(name string) bool { return !sample.Documented(name) })
	assert.Equal(t, []string{
		"post_call_transcription", "post_call_transcription_otel", "post_call_audio", "call_initiation_failure",
		"speech_to_text_transcription", "flows_generation", "flows_template_run",
	}, documented)
}

func TestATranscriptHasItsTurns(t *testing.T) {
	for _, turns := range []int{1, 2, 25} {
		body := read(t, makeEvent(t, "post_call_transcription", sample.Options{Now: options.Now, Turns: turns}))
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

		otel := read(t, makeEvent(t, "post_call_transcription_otel", sample.Options{Now: options.Now, Turns: turns}))
		assert.Equal(t, turns, strings.Count(otel, "elevenlabs.recv."))
	}
}

func TestAudioIsBase64OfMP3OfItsLength(t *testing.T) {
	for minutes, frames := range map[float64]int{0.00001: 1, 0.5: 1250, 2: 5000} {
		event := makeEvent(t, "post_call_audio", sample.Options{Now: options.Now, Minutes: minutes})
		assert.True(t, event.Chunked())
		var decoded struct {
			Data struct {
				Audio string `json:"full_audio"`
			}
		}
		require.NoError(t, json.Unmarshal([]byte(read(t, event)), &decoded))
		audio, err := base64.StdEncoding.DecodeString(decoded.Data.Audio)
		require.NoError(t, err)
		require.Len(t, audio, frames*384) // 128 kbit/s for 24 ms
		for i := 0; i < len(audio); i += 384 {
			require.Equal(t, []byte{0xff, 0xfb, 0x94, 0xc4}, audio[i:i+4], "the header of a frame")
		}
	}
}

func TestABodyReadsTheSameInPiecesOfAnySize(t *testing.T) {
	event := makeEvent(t, "post_call_audio", sample.Options{Now: options.Now, Minutes: 0.001})
	require.NoError(t, iotest.TestReader(event.Body(), []byte(read(t, event))))
}

func TestOnlyAudioIsChunked(t *testing.T) {
	for _, eventType := range facts.EventTypeNames {
		assert.Equal(t, eventType == "post_call_audio", makeEvent(t, eventType, options).Chunked(), eventType)
	}
	assert.False(t, sample.FromBody("post_call_audio", []byte("{}")).Chunked())
}

func TestAChangedBodyIsStillJSON(t *testing.T) {
	for body, want := range map[string]string{
		`{"a":1,"b":2}`:          `{"a":2,"b":2}`,
		`{"a":0}`:                `{"a":1}`,
		`{"a":9}`:                `{"a":8}`,
		`{"a":"\u00e9"}`:         `{"a":"\u10e9"}`,
		`{"a":"no digit there"}`: `{"a":"no digit there"} `,
		``:                       ` `,
	} {
		assert.Equal(t, want, read(t, sample.FromBody("", []byte(body)).Changed()))
	}
	event := makeEvent(t, "post_call_audio", options)
	assert.NotEqual(t, read(t, event), read(t, event.Changed()))
	assert.Equal(t, event.Size(), event.Changed().Size())
}
