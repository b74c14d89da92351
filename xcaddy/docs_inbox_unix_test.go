//go:build unix

package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/internal/postgrestest"
)

func TestABackupOfAPostgresInboxIsRestoredAsTheDocumentationSays(t *testing.T) {
	t.Parallel()
	runtimeOf(t, "pg_dump")
	database := "INBOX_DATABASE=" + postgrestest.Start(t).Database(t)
	dir := t.TempDir()
	const options = "inbox {\n\tdatabase {env.INBOX_DATABASE}\n\tretry 100ms\n}"
	s := start(t, webhook(nowhere(t), options), database)
	s.awaitInboxes(1)
	want := []string{s.storeOne(1), s.storeOne(2)}
	runBlock(t, dir, findBlock(t, "docs/inbox.md", "sh", "pg_dump").text, database)
	s.storeOne(3) // after the backup
	s.kill()

	runBlock(t, dir, findBlock(t, "docs/inbox.md", "sh", "pg_restore").text, database)
	b := newBackend(t)
	restored := start(t, webhook(b.address(), options), database)
	restored.awaitInboxes(1)
	require.Eventually(t, func() bool { return len(b.ids()) >= 2 }, 3*patience, 50*time.Millisecond, "the dump may have an event under way, whose lease must end")
	assert.ElementsMatch(t, want, b.ids())
}

// Events wait in the SQLite file, since the application is away. The page's steps bring
// them to the application, and new ones into Postgres.
func TestTheInboxMovesFromSQLiteToPostgresAsTheDocumentationSays(t *testing.T) {
	t.Parallel()
	url := postgrestest.Start(t).Database(t)
	dir := t.TempDir()
	secretFile, urlFile := filepath.Join(dir, "secret"), filepath.Join(dir, "url")
	require.NoError(t, os.WriteFile(secretFile, []byte(secret), 0o600))
	require.NoError(t, os.WriteFile(urlFile, []byte(url), 0o600))
	both := findBlock(t, "docs/inbox.md", "caddyfile", "hooks.example.com {\n\thandle /webhooks/elevenlabs {\n\t\televenlabs_webhook {\n\t\t\tsecret {env.ELEVENLABS_WEBHOOK_SECRET}\n\t\t\tinbox main {").text
	address := nowhere(t)
	old := "inbox {\n\tdatabase " + filepath.Join(dir, "inbox.db") + "\n}"
	change := strings.NewReplacer("hooks.example.com {", "https://$ADDRESS {\n\ttls internal", "localhost:3000", address,
		"/etc/caddy/inbox_database", urlFile, "\tinbox\n", "\t"+old+"\n")
	second := both[strings.Index(both, "\t# Empties the old inbox."):strings.Index(both, "\thandle {\n\t\trespond 404")]
	before := strings.Replace(strings.Replace(both, second, "", 1), "inbox main {\n\t\t\t\tdatabase {file./etc/caddy/inbox_database}\n\t\t\t}", "inbox", 1)

	s := start(t, change.Replace(before+"\n"), "ELEVENLABS_WEBHOOK_SECRET="+secret)
	s.awaitInboxes(1)
	want := []string{s.storeOne(1), s.storeOne(2), s.storeOne(3)}
	s.reload(change.Replace(both))
	s.awaitInboxes(2)
	for number := 4; number <= 6; number++ {
		want = append(want, s.storeOne(number))
	}
	assert.Equal(t, 3, waiting(s.inboxesByName()["default"]))
	assert.Equal(t, 3, waiting(s.inboxesByName()["main"]))
	assert.True(t, strings.HasPrefix(s.inboxesByName()["main"].Database, "postgres://"))
	assert.NotContains(t, s.inboxesByName()["main"].Database, "p4ss")

	b := newBackend(t)
	listener, err := net.Listen("tcp", address)
	require.NoError(t, err)
	b.serveAt(t, listener)
	s.eventually("both inboxes to be empty", func() bool {
		return waiting(s.inboxesByName()["default"]) == 0 && waiting(s.inboxesByName()["main"]) == 0
	})
	assert.ElementsMatch(t, want, b.ids())

	s.reload(change.Replace(strings.Replace(both, second, "", 1)))
	s.eventually("the old inbox to be closed", func() bool { return len(s.inboxesByName()) == 1 })
	s.awaitInboxes(1)
	files, err := filepath.Glob(filepath.Join(dir, "inbox.db*"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		require.NoError(t, os.Remove(file))
	}
	want = append(want, s.storeOne(7))
	s.eventually("the new inbox to deliver", func() bool { return len(b.ids()) == len(want) })
	assert.True(t, slices.Contains(b.ids(), want[6]))
}

// One machine dies with events that it stored, while the application is away.
func TestExampleOfSeveralMachinesSurvivesTheDeathOfOne(t *testing.T) {
	t.Parallel()
	url := postgrestest.Start(t).Database(t)
	urlFile, address := filepath.Join(t.TempDir(), "url"), nowhere(t)
	require.NoError(t, os.WriteFile(urlFile, []byte(url+"\n"), 0o600))
	machines := make([]*example, 0, 2)
	for range 2 {
		machine := startExample(t, "several-machines", map[string]string{
			"app:3000": address, "/run/secrets/inbox_database": urlFile,
			"docker compose exec caddy-1 " + "caddy": binary, "docker compose exec caddy-2 " + "caddy": binary,
		})
		machine.awaitInboxes(1)
		machines = append(machines, machine)
	}
	first, second := machines[0], machines[1]
	want := []string{first.storeOne(1), second.storeOne(2), first.storeOne(3)}
	again := fmt.Appendf(nil, `{"type":"post_call_audio","event_timestamp":1739537297,"data":{"conversation_id":"conv_%d"}}`, 1)
	got := send(t, second.client("HTTP/1.1"), second.event(again))
	require.Equal(t, 200, got.status)
	assert.Equal(t, "repeat", got.header.Get("X-ElevenLabs-Inbox"), "the other machine has it")
	for _, machine := range machines {
		assert.Equal(t, 3, waiting(machine.inboxesByName()["main"]))
	}
	first.kill()

	b := newBackend(t)
	b.comeUp(t, address, 0)
	require.Eventually(t, func() bool { return len(b.ids()) >= len(want) }, 3*patience, 50*time.Millisecond, "a claim of the dead machine ends within 40 seconds")
	assert.ElementsMatch(t, want, b.ids())
	b.take()
	second.sendAsREADME()
	second.eventually("the README's events", func() bool { return len(b.ids()) > 0 })
}
