package cli

import (
	"encoding/json"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/clitest"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/internal/buildinfo"
)

func TestVersionPrintsThemAsTextAndAsJSON(t *testing.T) {
	text, lines := run(clitest.Stopped, "", "version"), run(clitest.Stopped, "", "version", "--json")
	require.NoError(t, text.Err)
	assert.Regexp(t, `^caddy-elevenlabs  .+\n(commit +\w+\ndate +\S+Z\n)?caddy             .+\ngo\d\S+ +\w+/\w+\n$`, text.Stdout)
	var v versions
	require.NoError(t, json.Unmarshal([]byte(lines.Stdout), &v))
	assert.Equal(t, versionsOf(buildinfo.Read()), v)
	assert.Equal(t, runtime.Version(), v.Go)
}
