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
