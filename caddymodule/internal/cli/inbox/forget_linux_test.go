package inbox

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/clitest"
)

func TestForgetDeletesOnlyAfterAYes(t *testing.T) {
	for typed, deleted := range map[string]bool{"y\n": true, "yes\n": true, "n\n": false, "\n": false} {
		e := newEndpoint("GET /elevenlabs/inbox/events?conversation=conv_1&limit=1000 200 [{},{}]\nPOST /elevenlabs/inbox/forget 200 {\"events\":2}\n")
		outside, inside := clitest.Terminal(t)
		_, err := outside.WriteString(typed)
		require.NoError(t, err)
		var stdout bytes.Buffer
		outcome := clitest.RunWith(t.Context(), NewCmdInbox, e.env(), inside, &stdout, "inbox", "forget", "conv_1")
		assert.Equal(t, "Delete 2 events of the conversation conv_1 and what is stored of them? [y/N] ", outcome.Stderr)
		if deleted {
			require.NoError(t, outcome.Err)
			assert.Equal(t, "2 events deleted\n", stdout.String())
			assert.Len(t, e.asked, 2)
			continue
		}
		assert.EqualError(t, outcome.Err, "nothing was deleted")
		assert.Len(t, e.asked, 1)
	}
}
