package webhooks

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/clitest"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/elevenlabs/elevenlabstest"
)

func TestHeadersFromStandardInputAreNotPrinted(t *testing.T) {
	e := newElevenLabs(t)
	addOne(e)
	got := clitest.Run(NewCmdWebhooks, e.env(), "X-Token: hidden", "webhooks", "update", "wh_1", "--header-file", "-")
	require.NoError(t, got.Err)
	assert.Equal(t, map[string]any{"X-Token": "hidden"}, e.Webhook("wh_1")["request_headers"])
	assert.NotContains(t, got.Stdout, "hidden")
}

func TestALineThatIsNoHeaderIsNamedByItsNumberOnly(t *testing.T) {
	for name, line := range map[string]string{
		"no colon":            "hidden",
		"a name with a blank": "hidden token: a",
		"no name":             ": hidden",
		"a control character": "X-Token: hidden\x00",
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("ELEVENLABS_API_KEY", elevenlabstest.Key)
			got := clitest.Run(NewCmdWebhooks, cmdutil.Env{}, "X-Env: prod\n\n"+line+"\n", "webhooks", "update", "wh_1", "--header-file", "-")
			require.ErrorContains(t, got.Err, "line 3 of --header-file must be `Name: value`")
			assert.Equal(t, 1, got.Code)
			assert.NotContains(t, got.Err.Error(), "hidden")
		})
	}
}
