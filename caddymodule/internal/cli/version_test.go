package cli

import (
	"encoding/json"
	"runtime"
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/clitest"
)

func TestVersionsAreThoseOfTheBuild(t *testing.T) {
	caddy := &debug.Module{Path: caddyPath, Version: "v2.11.0"}
	for _, test := range []struct {
		name          string
		info          *debug.BuildInfo
		module, caddy string
	}{
		{"the ready-made server", &debug.BuildInfo{Main: debug.Module{Path: modulePath, Version: "v1.2.3"}, Deps: []*debug.Module{caddy}}, "v1.2.3", "v2.11.0"},
		{"built by xcaddy", &debug.BuildInfo{Main: debug.Module{Path: "caddy"}, Deps: []*debug.Module{caddy, {Path: modulePath, Version: "v1.2.4"}}}, "v1.2.4", "v2.11.0"},
		{"replaced by a folder", &debug.BuildInfo{Deps: []*debug.Module{caddy, {Path: modulePath, Version: "v0.0.0", Replace: &debug.Module{Path: "../here"}}}}, "v0.0.0 => ../here", "v2.11.0"},
		{"replaced by a fork", &debug.BuildInfo{Deps: []*debug.Module{{Path: caddyPath, Version: "v2.11.0", Replace: &debug.Module{Path: "example.com/fork", Version: "v2.11.1"}}}}, "unknown", "v2.11.0 => example.com/fork@v2.11.1"},
		{"without notes of the linker", nil, "unknown", "unknown"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := versionsOf(test.info)
			assert.Equal(t, versions{test.module, test.caddy, runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH}, got)
		})
	}
}

func TestVersionPrintsThemAsTextAndAsJSON(t *testing.T) {
	text, lines := run(clitest.Stopped, "", "version"), run(clitest.Stopped, "", "version", "--json")
	require.NoError(t, text.Err)
	assert.Regexp(t, `^caddy-elevenlabs  .+\ncaddy             .+\ngo\d\S+ +\w+/\w+\n$`, text.Stdout)
	var v versions
	require.NoError(t, json.Unmarshal([]byte(lines.Stdout), &v))
	assert.Equal(t, runtime.Version(), v.Go)
}
