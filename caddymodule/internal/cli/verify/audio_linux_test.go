//go:build !race

package verify

import (
	"encoding/base64"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// audioEvent has audio of a size in bytes, in the form of ElevenLabs.
func audioEvent(t *testing.T, size int) string {
	t.Helper()
	audio := make([]byte, size/4*3)
	_, err := rand.NewChaCha8([32]byte{}).Read(audio)
	require.NoError(t, err)
	return `{"type": "post_call_audio", "event_timestamp": 1795421654, "data": {"agent_id": "agent_1", "conversation_id": "conv_1", "full_audio": "` +
		base64.StdEncoding.EncodeToString(audio) + `"}}`
}

var compacted = strings.NewReplacer(`": `, `":`, `, "`, `,"`)

// byPHP is what json_encode writes.
func byPHP(body string) string { return strings.ReplaceAll(compacted.Replace(body), "/", `\/`) }

func TestExplainRestoresAudio(t *testing.T) {
	body := audioEvent(t, 3<<20)
	for _, test := range []struct{ name, change, body string }{
		{"JavaScript", reserialised, compacted.Replace(body)},
		{"PHP", reserialised, byPHP(body)},
		{"an array", "array_of_one", "[" + byPHP(body) + "]"},
		{"n8n", "n8n_item", `[{"webhookUrl":"x","body":` + compacted.Replace(body) + `}]`},
		{"base64", "body_base64", base64.StdEncoding.EncodeToString([]byte(body))},
		{"cut off", "body_end_lost", strings.TrimSuffix(body, "}}")},
	} {
		t.Run(test.name, func(t *testing.T) {
			e := explainedBy(t, captured(test.body, headerOf(explainedSecret, body)), explainedSecret, explainedAt)
			assert.Equal(t, test.change, e.Change)
			require.NotNil(t, e.Then, e.Sentence)
		})
	}
}

// The limit is twice what it takes. Without abridged strings, it took 22 seconds.
func TestExplainTakesSecondsForThirtyMegabytesOfAudio(t *testing.T) {
	body := audioEvent(t, 30<<20)
	for _, test := range []struct{ name, change, body string }{
		{"as received", "nothing_fits", body},
		{"by PHP", "body_rewritten", byPHP(body)},
		{"its data alone", "data_only", compacted.Replace(body[strings.Index(body, `{"agent_id"`) : len(body)-1])},
		{"of which a character changed", "nothing_fits", strings.Replace(body, "agent_1", "agent_é", 1)},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := captured(test.body, headerOf("wsec_another", body))
			before := usedCPU(t)
			e := explainedBy(t, c, explainedSecret, explainedAt)
			used := usedCPU(t) - before
			t.Log(used)
			assert.Equal(t, test.change, e.Change)
			assert.Less(t, used, 8*time.Second)
		})
	}
}

// usedCPU returns the time that this process has computed.
func usedCPU(t *testing.T) time.Duration {
	t.Helper()
	var usage syscall.Rusage
	require.NoError(t, syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
