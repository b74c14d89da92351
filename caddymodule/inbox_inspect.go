package caddymodule

import (
	"path/filepath"

	"go.uber.org/zap"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/inbox"
)

// inspect returns what doctor checks of an inbox. It opens nothing.
func (i *Inbox) inspect() *cmdutil.ConfigInbox {
	found := &cmdutil.ConfigInbox{
		Name: i.Name, Limit: i.Limit, Password: inbox.HasPassword(i.Database),
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
