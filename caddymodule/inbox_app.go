package caddymodule

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/inbox"
)

func init() {
	caddy.RegisterModule(App{})
}

// App delivers the events from the inboxes of `elevenlabs_webhook` handlers while the
// configuration runs. It has no options, and Caddy loads it if a handler has an inbox.
type App struct {
	logger  *zap.Logger
	inboxes []*Handler // one for each inbox
}

// CaddyModule returns the Caddy module information.
func (App) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "elevenlabs", New: func() caddy.Module { return new(App) }}
}

// Provision keeps the logger.
func (a *App) Provision(ctx caddy.Context) error {
	a.logger = ctx.Logger()
	return nil
}

// add adds the inbox of a handler. Handlers of one inbox must deliver alike, since any
// of them may deliver the events of the others.
func (a *App) add(h *Handler, location string, destinations []*destination) error {
	database, err := joinDatabase(location, a.logger)
	if err != nil {
		return err
	}
	for _, d := range destinations {
		d.queue, d.metrics = database.queue(d.options.Queue), newQueueMetrics(d.options.Queue)
	}
	h.inbox = &inboxState{database: database, destinations: destinations, metrics: newInboxMetrics(h.Inbox.Name)}
	for _, other := range a.inboxes {
		if other.Inbox.Name != h.Inbox.Name {
			continue
		}
		if other.inbox.database != database {
			return fmt.Errorf("two databases have an inbox %q: give one of them another name, as in \"inbox NAME\"", h.Inbox.Name)
		}
		if !slices.EqualFunc(other.inbox.destinations, destinations, (*destination).sameDelivery) {
			return fmt.Errorf("two handlers deliver the inbox %q differently: give one of them another name, as in \"inbox NAME\"", h.Inbox.Name)
		}
		return nil
	}
	a.inboxes = append(a.inboxes, h)
	return nil
}

// Start opens the databases, and begins to deliver. A database that may come later, as a
// Postgres that does not answer, is only logged.
func (a *App) Start() error {
	for i, h := range a.inboxes {
		if err := h.inbox.database.start(a.logger); err != nil {
			var ending sync.WaitGroup
			for _, started := range a.inboxes[:i] {
				started.inbox.end(&ending)
			}
			ending.Wait()
			return fmt.Errorf("inbox %s: %w", h.Inbox.Name, err)
		}
		for _, d := range h.inbox.destinations {
			d.queue.add(d)
		}
	}
	for _, h := range a.inboxes {
		h.inbox.database.logLeftovers()
	}
	return nil
}

// Stop ends the deliveries, except if another configuration goes on with them.
func (a *App) Stop() error {
	var ending sync.WaitGroup
	for _, h := range a.inboxes {
		h.inbox.end(&ending)
	}
	ending.Wait()
	for _, h := range a.inboxes {
		if len(h.inbox.database.served()) > 0 { // a reload may have taken an inbox or a destination out
			h.inbox.database.logLeftovers()
		}
	}
	return nil
}

// end ends the deliveries of an inbox, except if another configuration goes on with them.
func (i *inboxState) end(ending *sync.WaitGroup) {
	for _, d := range i.destinations {
		ending.Go(func() { d.queue.remove(d) })
	}
}

// sameProxy reports whether two configurations of reverse_proxy do the same. Caddy numbers
// the groups of routes through the whole Caddyfile, so their names do not count.
func sameProxy(a, b json.RawMessage) bool {
	var configs [2]any
	for i, raw := range []json.RawMessage{a, b} {
		if json.Unmarshal(raw, &configs[i]) != nil {
			return false
		}
		renameGroups(configs[i], map[string]string{})
	}
	return reflect.DeepEqual(configs[0], configs[1])
}

// renameGroups names the groups of routes by the order in which they come.
func renameGroups(config any, names map[string]string) {
	switch config := config.(type) {
	case []any:
		for _, element := range config {
			renameGroups(element, names)
		}
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(config)) {
			if group, ok := config[key].(string); ok && key == "group" {
				if names[group] == "" {
					names[group] = fmt.Sprint(len(names))
				}
				config[key] = names[group]
			}
			renameGroups(config[key], names)
		}
	}
}

var errNoDatabase = errors.New("it is empty: write the path of a file, or postgres://user:password@host/database")

// location returns the path of the database, absolute and without symbolic links, or its
// URL. It is the key of the open database.
func (i *Inbox) location(logger *zap.Logger) (string, error) {
	if i.Database == "" {
		return filepath.Join(defaultFolder(), "inbox.db"), nil
	}
	location, err := caddy.NewReplacer().ReplaceOrErr(i.Database, true, true)
	if err != nil {
		return "", placeholderProblem(i.Database, err, "the path or the URL of the database")
	}
	location = strings.TrimSpace(location)
	if location == "" {
		return "", errNoDatabase
	}
	if !inbox.IsPostgres(location) {
		return filePath(location)
	}
	if location == i.Database && inbox.HasPassword(location) {
		logger.Warn("the password of the inbox's database is written out in the configuration, where others may read it: set the URL as {env.NAME} or {file./path}")
	}
	return location, inbox.CheckLocation(location)
}

// filePath returns the absolute path of a file, without symbolic links. The file need not
// be there.
func filePath(location string) (string, error) {
	if strings.Contains(location, "://") {
		return "", errors.New("its URL is not that of a Postgres: write postgres://user:password@host/database, or the path of a file")
	}
	path, err := filepath.Abs(location)
	if err != nil {
		return "", err
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real, nil
	}
	return filepath.Join(realPath(filepath.Dir(path)), filepath.Base(path)), nil
}

// realPath resolves symbolic links. A folder that is not there stays as it is.
func realPath(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	return path
}

// defaultFolder is the folder of the default database. It is made if it is missing. A
// folder that is configured must be there: it may be on a disk that is not mounted.
func defaultFolder() string { return filepath.Join(realPath(caddy.AppDataDir()), "elevenlabs") }

// Interface guards
var (
	_ caddy.App         = (*App)(nil)
	_ caddy.Provisioner = (*App)(nil)
)
