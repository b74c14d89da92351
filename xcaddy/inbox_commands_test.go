package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// An operator's evening: the application rejects everything, some events are given up
// for good, and the rest is delivered after the repair.
func TestDeadEventsAreDiscardedAndRedeliveredByCommands(t *testing.T) {
	t.Parallel()
	l := newInboxLedger(t)
	repaired := make(chan struct{})
	s := start(t, inboxSite(l.backend(func(http.ResponseWriter, *http.Request, int) int {
		select {
		case <-repaired:
			return http.StatusOK
		default:
			return http.StatusInternalServerError
		}
	}), newInboxFile(t), "retry 50ms\ngive_up 10ms"))
	s.awaitInbox()
	const many = 12
	client := s.client("HTTP/1.1")
	for range many {
		_, err := l.send(client, s, l.event(500))
		require.NoError(t, err)
	}
	s.eventually("the events to be dead", func() bool { return s.inboxCount("dead") == many })
	inbox := func(args ...string) outcome {
		return elevenlabs(t, "", append([]string{"inbox", args[0], "--address", s.admin}, args[1:]...)...)
	}
	type event struct {
		Seq            int64
		ConversationID string `json:"conversation_id"`
	}
	dead := objects[event](t, inbox("list", "--state", "dead", "--json"))
	require.Len(t, dead, many)
	found := objects[event](t, inbox("list", "--search", dead[3].ConversationID, "--json"))
	require.Len(t, found, 1)
	assert.Equal(t, dead[3].Seq, found[0].Seq)

	named := inbox("discard", fmt.Sprint(dead[0].Seq), fmt.Sprint(dead[1].Seq), "99999")
	assert.Equal(t, 2, named.code, named.stderr)
	assert.Equal(t, "2 events discarded\n", named.stdout)
	assert.Contains(t, named.stderr, "1 of 3 cannot be discarded")
	assert.Equal(t, 1, inbox("discard", fmt.Sprint(dead[0].Seq)).code, "it is discarded already")
	assert.Equal(t, 1, inbox("discard", "--state", "dead").code, "nobody can say yes")
	assert.Equal(t, 2, s.inboxCount("discarded"))
	assert.Equal(t, many-2, s.inboxCount("dead"))

	close(repaired)
	again := inbox("redeliver", "--state", "dead", "--since", "1h", "--yes")
	assert.Equal(t, outcome{stdout: fmt.Sprintf("%d events will be delivered again\n", many-2)}, again)
	s.eventually("the events to be delivered", func() bool { return s.inboxCount("delivered") == many-2 })
	assert.Equal(t, 2, s.inboxCount("discarded"), "they raise no alarm, and no attempt is made")

	stats := inbox("stats")
	require.Equal(t, 0, stats.code, stats.stderr)
	row := strings.Fields(strings.Split(stats.stdout, "\n")[1])
	assert.Equal(t, []string{"default", "post_call_transcription", "12", "0", "0", "10", "0", "2"}, row[:8], stats.stdout)
	assert.InDelta(t, 2, s.metricSum("caddy_elevenlabs_inbox_discarded_total", `inbox="default"`), 0)
	assert.InDelta(t, many-2, s.metricSum("caddy_elevenlabs_inbox_redelivered_total", `inbox="default"`), 0)

	assert.Equal(t, 0, inbox("redeliver", fmt.Sprint(dead[0].Seq)).code, "one that is discarded can be delivered after all")
	s.eventually("that event to be delivered", func() bool { return s.inboxCount("delivered") == many-1 })
}
