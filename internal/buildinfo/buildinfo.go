// Package buildinfo tells which release of this module a program has in it. All that
// it knows is what the Go command noted in the program, so no flag of the linker is
// needed.
package buildinfo

import (
	"cmp"
	"fmt"
	"runtime/debug"
	"strings"
	"sync"
)

// The paths of the Go modules whose versions are shown.
const (
	modulePath = "github.com/caddy-elevenlabs/caddy-elevenlabs"
	caddyPath  = "github.com/caddyserver/caddy/v2"
)

// unknown stands for a version that nothing tells.
const unknown = "unknown"

// Info tells what a program was built from.
type Info struct {
	Version  string // of this module, such as v1.2.3
	Revision string // the commit, if the program was built in a checkout of this module
	Date     string // of the commit, by RFC 3339
	Caddy    string // Caddy's version
}

// Read returns what the running program was built from.
var Read = sync.OnceValue(func() Info {
	info, _ := debug.ReadBuildInfo()
	return Of(info)
})

// Of returns what the Go command noted in a program, or in nothing.
func Of(info *debug.BuildInfo) (i Info) {
	if info == nil {
		info = &debug.BuildInfo{}
	}
	for _, module := range append([]*debug.Module{&info.Main}, info.Deps...) {
		version := module.Version
		if r := module.Replace; r != nil {
			version += " => " + r.Path
			if r.Version != "" {
				version += "@" + r.Version
			}
		}
		switch module.Path {
		case modulePath:
			i.Version = version
		case caddyPath:
			i.Caddy = version
		}
	}
	i.Version, i.Caddy = cmp.Or(i.Version, unknown), cmp.Or(i.Caddy, unknown)
	if info.Main.Path != modulePath { // otherwise the commit is one of another repository
		return i
	}
	for _, setting := range info.Settings {
		switch setting.Key {
		case "vcs.revision":
			i.Revision = setting.Value
		case "vcs.time":
			i.Date = setting.Value
		}
	}
	return i
}

// Short returns the version without what replaces it, which can be a folder's name.
func (i Info) Short() string {
	version, _, _ := strings.Cut(i.Version, " ")
	return version
}

// String returns the release with its commit and date, in one line.
func (i Info) String() string {
	if i.Revision == "" {
		return "caddy-elevenlabs " + i.Version
	}
	return fmt.Sprintf("caddy-elevenlabs %s (%s, %s)", i.Version, i.Revision, i.Date)
}
