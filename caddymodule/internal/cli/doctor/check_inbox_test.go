package doctor

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
)

// withInbox gives the patient an inbox. The running server has it too.
func (p *patient) withInbox(i cmdutil.ConfigInbox, running string) {
	i.Name = "default"
	if i.Database == "" {
		i.Database = i.Path
	}
	p.first().Inbox = &i
	p.inboxes = strings.ReplaceAll(running, "HERE", i.Database)
}

const wellInbox = `[{"inbox":"default","database":"HERE","handlers":1,"up":true,"events":{"waiting":3,"delivered":9},"oldest_waiting_seconds":2}]`

func TestDoctorChecksThePlaceOfTheInbox(t *testing.T) {
	folder := t.TempDir()
	file := filepath.Join(folder, "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	for _, test := range []struct {
		name   string
		inbox  cmdutil.ConfigInbox
		status status
		says   string
	}{
		{"a folder", cmdutil.ConfigInbox{Path: filepath.Join(folder, "inbox.db"), Limit: 1 << 20}, statusOK, "inbox default: " + folder + "/inbox.db can be written, with "},
		{"a database", cmdutil.ConfigInbox{Path: file, Limit: 1 << 20}, statusOK, file + " can be written, with "},
		{"a folder that Caddy makes", cmdutil.ConfigInbox{Path: filepath.Join(folder, "a", "b", "inbox.db"), MakesFolder: true, Limit: 1}, statusOK, "/a/b/inbox.db can be written"},
		{"no folder", cmdutil.ConfigInbox{Path: filepath.Join(folder, "a", "inbox.db")}, statusFail, "inbox default: the folder " + folder + "/a does not exist\n      Remedy: Create it"},
		{"a file for the folder", cmdutil.ConfigInbox{Path: filepath.Join(file, "inbox.db")}, statusFail, file + " is not a folder"},
		{"a folder for the file", cmdutil.ConfigInbox{Path: folder}, statusFail, folder + " is a folder\n      Remedy: Name the file of the database in it"},
		{"too little space", cmdutil.ConfigInbox{Path: file, Limit: 1 << 60}, statusWarn, "free, and the limit is 1.0 EiB\n      Remedy: Make room, or lower limit"},
		{"Postgres", cmdutil.ConfigInbox{Database: "postgres://db.example.com/events"}, statusOK, "inbox default: the URL of the database can be read: postgres://db.example.com/events"},
		{"a password", cmdutil.ConfigInbox{Database: "postgres://db.example.com/events", Password: true}, statusWarn, "inbox default: the password of the database is written out in the configuration, where others may read it\n      Remedy: Put the whole URL into"},
		{"a variable that is missing", cmdutil.ConfigInbox{Database: "?", Problem: errors.New("unrecognized placeholder {env.DATABASE}")}, statusFail, "inbox default: the database cannot be read: unrecognized placeholder {env.DATABASE}\n      Remedy: Set it where Caddy runs"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := newPatient(t)
			p.withInbox(test.inbox, wellInbox)
			got := p.run("--no-send")
			lines := line(got, "inbox")
			assert.Regexp(t, `(?m)^`+string(test.status)+`\s`, lines, got.Stdout)
			assert.Contains(t, lines, test.says)
			assert.Contains(t, lines, "inbox default: no event is dead, or waits for long")
		})
	}
	left, err := os.ReadDir(folder)
	require.NoError(t, err)
	assert.Len(t, left, 1, "doctor makes no file and no folder")
}

func TestDoctorSaysThatItRunsAsAnotherUserThanTheInboxs(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give a file away")
	}
	file := filepath.Join(t.TempDir(), "inbox.db")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	require.NoError(t, os.Chown(file, 54321, 54321))
	p := newPatient(t)
	p.withInbox(cmdutil.ConfigInbox{Path: file}, wellInbox)
	assert.Contains(t, line(p.run("--no-send"), "inbox"), fmt.Sprintf("inbox default: the database %s belongs to the user with the id 54321, and doctor runs as the user root: whether Caddy can write it is not known\n      Remedy: Run doctor as the server's user", file))
}

func TestDoctorAsksTheRunningServerAboutTheInbox(t *testing.T) {
	for _, test := range []struct {
		name, running string
		status        status
		says          string
	}{
		{"well", wellInbox, statusOK, "inbox default: no event is dead, or waits for long"},
		{"another database", strings.ReplaceAll(wellInbox, "HERE", "/var/lib/caddy/inbox.db"), statusWarn, "inbox default: the running server has it in /var/lib/caddy/inbox.db, and for doctor it would be in postgres://db.example.com/events\n      Remedy: Run doctor as the server's user"},
		{"dead and waiting", `[{"inbox":"default","database":"HERE","handlers":1,"up":true,"events":{"dead":3},"oldest_waiting_seconds":901,"bypassed":2}]`, statusFail, "inbox default: 3 dead, an event waits for 15m1s, 2 bypassed it\n      Remedy: caddy elevenlabs inbox list shows"},
		{"not up", `[{"inbox":"default","database":"HERE","handlers":1,"up":false,"problem":"the database cannot be reached"}]`, statusFail, "its database does not answer: the database cannot be reached"},
		{"an inbox without a handler", `[{"inbox":"old","up":true,"events":{"waiting":2}}]`, statusWarn, "inbox old has 2 events and no handler\n      Remedy: Add a handler"},
		{"a destination", `[{"inbox":"default","destination":"archive","database":"HERE","handlers":1,"up":true,"events":{"dead":3}},{"inbox":"default","destination":"crm","database":"HERE","handlers":1,"up":true,"events":{"waiting":1}}]`, statusFail, "inbox default/archive: 3 dead\n      Remedy: caddy elevenlabs inbox list --inbox default --destination archive shows the events, and show why an attempt failed. When the cause is gone: caddy elevenlabs inbox redeliver --inbox default --destination archive --state dead."},
		{"the other destination", `[{"inbox":"default","destination":"archive","database":"HERE","handlers":1,"up":true,"events":{"dead":3}},{"inbox":"default","destination":"crm","database":"HERE","handlers":1,"up":true,"events":{"waiting":1}}]`, statusOK, "inbox default/crm: no event is dead, or waits for long"},
		{"a destination that was taken out", `[{"inbox":"default","destination":"crm","database":"HERE","handlers":1,"up":true},{"inbox":"default","destination":"old","database":"HERE","up":true,"events":{"waiting":2,"delivered":7}}]`, statusWarn, "inbox default/old: no handler has this destination, for which 2 events wait or are dead\n      Remedy: Put the destination back into the configuration, send them to another one: caddy elevenlabs inbox redeliver --inbox default --destination old --state waiting --to crm, or give them up: caddy elevenlabs inbox discard --inbox default --destination old --state waiting."},
		{"the last destination was taken out", `[{"inbox":"default","database":"HERE","handlers":1,"up":true},{"inbox":"default","destination":"old","database":"HERE","up":true,"events":{"dead":2}}]`, statusWarn, "Remedy: Put the destination back into the configuration, or give them up: caddy elevenlabs inbox discard --inbox default --destination old --state dead."},
		{"events of before there were destinations", `[{"inbox":"default","database":"HERE","up":true,"events":{"dead":2}},{"inbox":"default","destination":"crm","database":"HERE","handlers":1,"up":true}]`, statusWarn, "inbox default: no handler has this destination, for which 2 events wait or are dead\n      Remedy: Send them to a destination by their numbers, which inbox list shows"},
		{"another inbox", `[{"inbox":"sales","handlers":1,"up":true,"events":{"dead":2}}]`, "", ""},
		{"an older Caddy", "", "", ""},
		{"another server", "<html>", "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := newPatient(t)
			p.withInbox(cmdutil.ConfigInbox{Database: "postgres://db.example.com/events"}, test.running)
			lines := line(p.run("--no-send"), "inbox")
			if test.status == "" {
				assert.NotContains(t, strings.TrimSuffix(lines, "\n"), "\n", "only what is in the configuration")
				return
			}
			assert.Regexp(t, `(?m)^`+string(test.status)+`\s`, lines)
			assert.Contains(t, lines, test.says)
		})
	}
}

func TestDoctorSaysOnceWhatConcernsAllDestinations(t *testing.T) {
	const away = `[{"inbox":"default","destination":"archive","database":"there","handlers":1,"problem":"the database cannot be reached"},{"inbox":"default","destination":"crm","database":"there","handlers":1,"problem":"the database cannot be reached"},{"inbox":"default","destination":"old","database":"there","up":true,"events":{"delivered":7}}]`
	p := newPatient(t)
	p.withInbox(cmdutil.ConfigInbox{Database: "postgres://db.example.com/events"}, away)
	lines := line(p.run("--no-send"), "inbox")
	assert.Equal(t, 1, strings.Count(lines, "does not answer"), lines)
	assert.Equal(t, 1, strings.Count(lines, "the running server has it in there"), lines)
	assert.NotContains(t, lines, "default/old", "its events are delivered")
}

func TestDoctorSaysNothingOfInboxesWithoutOne(t *testing.T) {
	assert.Empty(t, line(newPatient(t).run("--no-send"), "inbox"))
}
