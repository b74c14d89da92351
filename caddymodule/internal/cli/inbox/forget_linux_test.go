package inbox

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/clitest"
)

func TestACommandChangesEventsOnlyAfterAYes(t *testing.T) {
	for _, test := range []struct{ command, list, question, route, done string }{
		{"forget conv_1", "conversation=conv_1&limit=1000", "Delete 2 events of the conversation conv_1 and what is stored of them?", "forget", "2 events deleted\n"},
		{"discard --state dead --inbox sales", "inbox=sales&limit=1000&state=dead", "Discard 2 events?", "discard", "2 events discarded\n"},
		{"redeliver --state dead --inbox sales", "inbox=sales&limit=1000&state=dead", "Deliver 2 events again?", "redeliver", "2 events will be delivered again\n"},
	} {
		for typed, changed := range map[string]bool{"y\n": true, "yes\n": true, "n\n": false, "\n": false} {
			e := newEndpoint("GET /elevenlabs/inbox/events?" + test.list + " 200 [{},{}]\nPOST /elevenlabs/inbox/" + test.route + " 200 {\"events\":2}\n")
			outside, inside := clitest.Terminal(t)
			_, err := outside.WriteString(typed)
			require.NoError(t, err)
			var stdout bytes.Buffer
			outcome := clitest.RunWith(t.Context(), NewCmdInbox, e.env(), inside, &stdout, append([]string{"inbox"}, strings.Fields(test.command)...)...)
			assert.Equal(t, test.question+" [y/N] ", outcome.Stderr)
			if changed {
				require.NoError(t, outcome.Err)
				assert.Equal(t, test.done, stdout.String())
				assert.Len(t, e.asked, 2)
				continue
			}
			assert.EqualError(t, outcome.Err, "nothing was changed")
			assert.Len(t, e.asked, 1)
		}
	}
}

func TestTheQuestionCountsAnEventOnceForAllItsDestinations(t *testing.T) {
	const shared = `[{"inbox":"default","destination":"archive","event_id":"5b1c"},{"inbox":"default","destination":"crm","event_id":"5b1c"},{"inbox":"default","event_id":"5b1c"},{"inbox":"default","event_id":"17aa"}]`
	for command, question := range map[string]string{
		"forget conv_1":                            "Delete 2 events of the conversation conv_1, for all destinations, and what is stored of them?",
		"redeliver --to archive --agent a":         "Deliver 2 events to archive, unless it has them already?",
		"redeliver --state dead --destination crm": "Deliver 4 events again?",
	} {
		e := newEndpoint("GET /elevenlabs/inbox 200 [{\"inbox\":\"default\",\"destination\":\"archive\",\"handlers\":1}]\n" +
			"GET /elevenlabs/inbox/events?conversation=conv_1&limit=1000 200 " + shared + "\nGET /elevenlabs/inbox/events?agent=a&inbox=default&limit=1000 200 " + shared +
			"\nGET /elevenlabs/inbox/events?destination=crm&limit=1000&state=dead 200 " + shared + "\n")
		outside, inside := clitest.Terminal(t)
		_, err := outside.WriteString("n\n")
		require.NoError(t, err)
		outcome := clitest.RunWith(t.Context(), NewCmdInbox, e.env(), inside, new(bytes.Buffer), append([]string{"inbox"}, strings.Fields(command)...)...)
		assert.Equal(t, question+" [y/N] ", outcome.Stderr)
		assert.EqualError(t, outcome.Err, "nothing was changed")
	}
}
