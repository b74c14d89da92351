package caddymodule

import (
	"path/filepath"
	"slices"

	"go.uber.org/zap"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/inbox"
)

// forwardedTypes returns the types of events that a handler forwards, or nil for all: those
// of events that some destination takes. It looks at no agent and no matcher.
func (h *Handler) forwardedTypes() []string {
	types := facts.EventTypesNamedBy(h.Events)
	if h.Inbox == nil || len(h.Inbox.Destinations) == 0 {
		return types
	}
	var taken []string
	for _, d := range h.Inbox.Destinations {
		if len(d.Events) == 0 {
			return types
		}
		for _, typ := range facts.EventTypesNamedBy(d.Events) {
			if !slices.Contains(taken, typ) && (len(types) == 0 || slices.Contains(types, typ)) {
				taken = append(taken, typ)
			}
		}
	}
	return taken
}

// unknownTypes returns what the handler and its destinations name in events and no type that
// is known has. ElevenLabs may have added one, or somebody mistyped it.
func (h *Handler) unknownTypes() (unknown []string) {
	names := slices.Clone(h.Events)
	if h.Inbox != nil {
		for _, d := range h.Inbox.Destinations {
			names = append(names, d.Events...)
		}
	}
	for _, name := range names {
		if !slices.Contains(facts.EventNames, name) && !slices.Contains(unknown, name) {
			unknown = append(unknown, name)
		}
	}
	return unknown
}

// inspect returns what doctor checks of an inbox. It opens nothing.
func (i *Inbox) inspect() *cmdutil.ConfigInbox {
	found := &cmdutil.ConfigInbox{
		Name: i.Name, Limit: i.Limit, Password: inbox.HasPassword(i.Database),
	}
	for _, d := range i.Destinations {
		found.Destinations = append(found.Destinations, d.Name)
	}
	location, err := i.location(zap.NewNop())
	found.Database = inbox.Shown(location)
	switch {
	case err != nil:
		found.Problem = err
	case !inbox.IsPostgres(location):
		found.Path, found.MakesFolder = location, filepath.Dir(location) == defaultFolder()
	}
	return found
}
