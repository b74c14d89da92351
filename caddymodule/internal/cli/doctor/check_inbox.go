package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/dustin/go-humanize"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"
)

// checkInbox checks the inboxes of the configuration, and asks the running server about
// them. It opens no database: the running server has it open.
func (e *examination) checkInbox(ctx context.Context) []finding {
	var findings []finding
	configured := map[string]*cmdutil.ConfigInbox{}
	for _, h := range e.handlers() {
		if h.Inbox == nil || configured[h.Inbox.Name] != nil {
			continue
		}
		configured[h.Inbox.Name] = h.Inbox
		findings = append(findings, checkDatabase(*h.Inbox)...)
	}
	if len(configured) == 0 {
		return nil
	}
	compared := map[string]bool{}
	for _, s := range e.runningInboxes(ctx) {
		i := configured[s.Name]
		if i != nil || s.Orphans() > 0 {
			findings = append(findings, judgeInbox(s)...)
		}
		if i != nil && i.Problem == nil && s.Handlers > 0 && s.Database != i.Database && !compared[s.Name] {
			compared[s.Name] = true
			findings = append(findings, found(statusWarn, "inbox %s: the running server has it in %s, and for doctor it would be in %s", s.Name, s.Database, i.Database).
				withRemedy("Run doctor as the server's user and with its environment, which decide where the default database is. Or load this configuration: caddy reload."))
		}
	}
	return findings
}

// checkDatabase checks the database of an inbox as far as it can without opening it.
func checkDatabase(i cmdutil.ConfigInbox) []finding {
	label := "inbox " + i.Name
	var findings []finding
	if i.Password {
		findings = append(findings, found(statusWarn, "%s: the password of the database is written out in the configuration, where others may read it", label).
			withRemedy("Put the whole URL into the environment or a file, and write {env.NAME} or {file./path} instead."))
	}
	switch {
	case i.Problem != nil:
		return append(findings, found(statusFail, "%s: the database cannot be read: %s", label, facts.HideCredentials(i.Problem.Error(), "…")).
			withRemedy("Set it where Caddy runs. If it is missing only here, run doctor as the server's user and with its environment."))
	case i.Path == "":
		return append(findings, found(statusOK, "%s: the URL of the database can be read: %s", label, i.Database))
	}
	return append(findings, checkFile(label, i))
}

// checkFile checks the place of a SQLite file.
func checkFile(label string, i cmdutil.ConfigInbox) finding {
	folder := filepath.Dir(i.Path)
	info, err := os.Stat(folder)
	for i.MakesFolder && errors.Is(err, fs.ErrNotExist) && folder != filepath.Dir(folder) {
		folder = filepath.Dir(folder) // Caddy makes what is missing
		info, err = os.Stat(folder)
	}
	const other = "Let Caddy's user enter and write the folder. If it may, and only you may not, run doctor as the server's user."
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return found(statusFail, "%s: the folder %s does not exist", label, folder).
			withRemedy("Create it, and let only Caddy's user enter it. If it is on a disk of its own, mount that first.")
	case err != nil:
		return found(statusFail, "%s: the folder of %s cannot be reached by this user: %s", label, i.Path, err).withRemedy(other)
	case !info.IsDir():
		return found(statusFail, "%s: %s is not a folder", label, folder).withRemedy("Name the path of a file in a folder.")
	}
	place, what := folder, "the folder"
	if file, err := os.Stat(i.Path); err == nil {
		if file.IsDir() {
			return found(statusFail, "%s: %s is a folder", label, i.Path).withRemedy("Name the file of the database in it.")
		}
		place, what, info = i.Path, "the database", file
	}
	if owner, me := ownerOf(info), os.Geteuid(); owner >= 0 && owner != me {
		return found(statusWarn, "%s: %s %s belongs to %s, and doctor runs as %s: whether Caddy can write it is not known", label, what, place, userName(owner), userName(me)).
			withRemedy("Run doctor as the server's user, such as by sudo -u caddy.")
	}
	if err := writable(place); err != nil {
		return found(statusFail, "%s: %s %s cannot be written by this user: %s", label, what, place, err).withRemedy(other)
	}
	return checkSpace(label, i, folder, info)
}

// checkSpace compares the free space with what the bodies may still take.
func checkSpace(label string, i cmdutil.ConfigInbox, folder string, info fs.FileInfo) finding {
	limit := humanize.IBytes(uint64(max(i.Limit, 0)))
	free, err := freeSpace(folder)
	if err != nil {
		return found(statusOK, "%s: %s can be written; the free space is not known: %s", label, i.Path, err)
	}
	needs := i.Limit
	if !info.IsDir() {
		needs -= info.Size()
	}
	if needs > 0 && free < uint64(needs) {
		return found(statusWarn, "%s: %s can be written, but its disk has only %s free, and the limit is %s", label, i.Path, humanize.IBytes(free), limit).
			withRemedy("Make room, or lower limit in the block of inbox. While the disk is full, events are forwarded at once, as without an inbox.")
	}
	return found(statusOK, "%s: %s can be written, with %s free for up to %s", label, i.Path, humanize.IBytes(free), limit)
}

// runningInboxes asks the running server for its inboxes. It returns none if the server
// cannot be asked, which the check before says.
func (e *examination) runningInboxes(ctx context.Context) (all cmdutil.InboxStatuses) {
	address := e.adminAddress()
	if address == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	response, err := e.env.Admin(ctx, cmdutil.AdminRequest{Address: address, URI: cmdutil.InboxesURI, Header: http.Header{"Accept": {"application/json"}}})
	if err != nil {
		return nil
	}
	defer response.Body.Close()
	if json.NewDecoder(response.Body).Decode(&all) != nil {
		return nil
	}
	return all
}

// judgeInbox judges the state of an inbox, or of one of its destinations, in the running
// server.
func judgeInbox(s cmdutil.InboxStatus) []finding {
	undelivered, leftover := s.Leftover()
	switch n := s.Orphans(); {
	case leftover && undelivered == 0:
		return nil
	case leftover:
		return []finding{found(statusWarn, "inbox %s: no handler has this destination, for which %d events wait or are dead", s.Title(), undelivered).
			withRemedy("%s", leftoverRemedy(s))}
	case n > 0:
		return []finding{found(statusWarn, "inbox %s has %d events and no handler", s.Name, n).
			withRemedy("Add a handler with this inbox, or delete the events: caddy elevenlabs inbox forget.")}
	}
	problems := s.Problems()
	switch {
	case len(problems) == 0 && !s.Up: // the inbox's first destination has said so
		return nil
	case len(problems) == 0:
		return only(statusOK, "inbox %s: no event is dead, or waits for long", s.Title())
	}
	of := ""
	if s.Destination != "" {
		of = " --inbox " + s.Name + " --destination " + s.Destination
	}
	return []finding{found(statusFail, "inbox %s: %s", s.Title(), strings.Join(problems, ", ")).
		withRemedy("caddy elevenlabs inbox list%s shows the events, and show why an attempt failed. When the cause is gone: caddy elevenlabs inbox redeliver%s --state dead. Events bypass an inbox that is full, slow or away: Caddy's log says why.", of, of)}
}

// leftoverRemedy says what to do with the events of a destination that no handler has.
func leftoverRemedy(s cmdutil.InboxStatus) string {
	send, giveUp := s.LeftoverCommands()
	switch {
	case send != "":
		return "Put the destination back into the configuration, send them to another one: " + send + ", or give them up: " + giveUp + "."
	case giveUp != "":
		return "Put the destination back into the configuration, or give them up: " + giveUp + "."
	}
	return "Send them to a destination by their numbers, which inbox list shows: caddy elevenlabs inbox redeliver --to <destination> <number>... Or give them up: caddy elevenlabs inbox discard <number>..."
}
