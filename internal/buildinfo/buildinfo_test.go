package buildinfo

import (
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestTheReleaseIsThatOfTheBuild(t *testing.T) {
	caddy := &debug.Module{Path: caddyPath, Version: "v2.11.0"}
	commit := []debug.BuildSetting{{Key: "vcs.revision", Value: "0123abc"}, {Key: "vcs.time", Value: "2026-11-29T22:06:00Z"}, {Key: "vcs.modified", Value: "false"}}
	for _, test := range []struct {
		name        string
		info        *debug.BuildInfo
		want        Info
		short, line string
	}{
		{
			"a release", &debug.BuildInfo{Main: debug.Module{Path: modulePath, Version: "v1.2.3"}, Deps: []*debug.Module{caddy}, Settings: commit},
			Info{"v1.2.3", "0123abc", "2026-11-29T22:06:00Z", "v2.11.0"},
			"v1.2.3", "caddy-elevenlabs v1.2.3 (0123abc, 2026-11-29T22:06:00Z)",
		},
		{
			"go run", &debug.BuildInfo{Main: debug.Module{Path: modulePath, Version: "(devel)"}, Deps: []*debug.Module{caddy}},
			Info{"(devel)", "", "", "v2.11.0"},
			"(devel)", "caddy-elevenlabs (devel)",
		},
		{
			"built by xcaddy", &debug.BuildInfo{Main: debug.Module{Path: "caddy"}, Deps: []*debug.Module{caddy, {Path: modulePath, Version: "v1.2.4"}}},
			Info{"v1.2.4", "", "", "v2.11.0"},
			"v1.2.4", "caddy-elevenlabs v1.2.4",
		},
		{
			"in a program of another repository", &debug.BuildInfo{Main: debug.Module{Path: "example.com/theirs", Version: "v9.0.0"}, Deps: []*debug.Module{caddy, {Path: modulePath, Version: "v1.2.4"}}, Settings: commit},
			Info{"v1.2.4", "", "", "v2.11.0"},
			"v1.2.4", "caddy-elevenlabs v1.2.4",
		},
		{
			"replaced by a folder", &debug.BuildInfo{Deps: []*debug.Module{caddy, {Path: modulePath, Version: "v0.0.0", Replace: &debug.Module{Path: "../here"}}}},
			Info{"v0.0.0 => ../here", "", "", "v2.11.0"},
			"v0.0.0", "caddy-elevenlabs v0.0.0 => ../here",
		},
		{
			"replaced by a fork", &debug.BuildInfo{Deps: []*debug.Module{{Path: caddyPath, Version: "v2.11.0", Replace: &debug.Module{Path: "example.com/fork", Version: "v2.11.1"}}}},
			Info{"unknown", "", "", "v2.11.0 => example.com/fork@v2.11.1"},
			"unknown", "caddy-elevenlabs unknown",
		},
		{"without notes of the Go command", nil, Info{"unknown", "", "", "unknown"}, "unknown", "caddy-elevenlabs unknown"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := Of(test.info)
			assert.Equal(t, test.want, got)
			assert.Equal(t, test.short, got.Short())
			assert.Equal(t, test.line, got.String())
		})
	}
}
