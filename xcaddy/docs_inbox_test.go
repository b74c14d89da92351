package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// shownInbox is what the admin endpoint shows of an inbox.
type shownInbox struct {
	Inbox    string
	Database string
	Up       bool
	Events   map[string]int
}

// inboxesByName returns the state of each inbox by its name.
func (s *server) inboxesByName() map[string]shownInbox {
	s.t.Helper()
	var all []shownInbox
	require.NoError(s.t, json.Unmarshal([]byte(s.get("/elevenlabs/inbox")), &all))
	byName := map[string]shownInbox{}
	for _, one := range all {
		byName[one.Inbox] = one
	}
	return byName
}

// awaitInboxes waits until the databases are open. They may be so only after the site is.
func (s *server) awaitInboxes(count int) {
	s.t.Helper()
	s.eventually("the inboxes to be open", func() bool {
		up := 0
		for _, one := range s.inboxesByName() {
			if one.Up {
				up++
			}
		}
		return up == count
	})
	s.idle = s.goroutines("")
}

// storeOne sends an event that the inbox must store.
func (s *server) storeOne(number int) (id string) {
	s.t.Helper()
	body := fmt.Appendf(nil, `{"type":"post_call_audio","event_timestamp":1739537297,"data":{"conversation_id":"conv_%d"}}`, number)
	got := send(s.t, s.client("HTTP/1.1"), s.event(body))
	require.Equal(s.t, 200, got.status)
	require.Equal(s.t, "stored", got.header.Get("X-ElevenLabs-Inbox"))
	return digestOf(body)
}

// nowhere returns an address at which nothing listens.
func nowhere(t testing.TB) string { return fmt.Sprint("127.0.0.1:", freePort(t)) }

// ids returns the events that have come to the backend.
func (b *backend) ids() (ids []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, d := range b.deliveries {
		ids = append(ids, d.header.Get("Idempotency-Key"))
	}
	return ids
}

// runBlock runs a block of a page in a folder.
func runBlock(t testing.TB, folder, script string, env ...string) {
	t.Helper()
	command := exec.Command("sh", "-e", "-c", script)
	command.Dir, command.Env = folder, append(os.Environ(), env...)
	output, err := command.CombinedOutput()
	require.NoError(t, err, "%s: %s", script, output)
}

func TestABackupOfTheInboxIsRestoredAsTheDocumentationSays(t *testing.T) {
	t.Parallel()
	runtimeOf(t, "sqlite3")
	dir, address := t.TempDir(), nowhere(t)
	options := "inbox {\n\tdatabase " + filepath.Join(dir, "inbox.db") + "\n\tretry 100ms\n}"
	s := start(t, webhook(address, options))
	s.awaitInboxes(1)
	want := []string{s.storeOne(1), s.storeOne(2)}
	paths := strings.NewReplacer("/var/lib/caddy/.local/share/caddy/elevenlabs", dir, "/var/backups/inbox.db", filepath.Join(dir, "copy.db"))
	runBlock(t, dir, paths.Replace(findBlock(t, "docs/inbox.md", "sh", "umask 077").text))
	info, err := os.Stat(filepath.Join(dir, "copy.db"))
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm(), "only this user can read the copy")
	s.storeOne(3) // after the backup
	s.kill()

	runBlock(t, dir, paths.Replace(findBlock(t, "docs/inbox.md", "sh", "rm -f inbox.db").text))
	b := newBackend(t)
	restored := start(t, webhook(b.address(), options))
	restored.awaitInboxes(1)
	restored.eventually("the events of the backup", func() bool { return len(b.ids()) == 2 })
	assert.ElementsMatch(t, want, b.ids())
	look := exec.Command("sh", "-c", strings.ReplaceAll(findBlock(t, "docs/inbox.md", "sh", "curl -s").text, "localhost:2019", restored.admin))
	output, err := look.Output()
	require.NoError(t, err)
	assert.Contains(t, string(output), `"inbox":"default"`)
}

func TestTheInboxOnAPageIsOneLine(t *testing.T) {
	config := findBlock(t, "docs/inbox.md", "caddyfile", "hooks.example.com {").text
	b := newBackend(t)
	t.Setenv("ELEVENLABS_WEBHOOK_SECRET", secret)
	s := start(t, strings.NewReplacer("hooks.example.com {", "https://$ADDRESS {\n\ttls internal", "localhost:3000", b.address()).Replace(config))
	s.awaitInboxes(1)
	before := time.Now()
	id := s.storeOne(1)
	s.eventually("the event", func() bool { return len(b.ids()) > 0 })
	deliveries := b.take()
	require.Len(t, deliveries, 1)
	header := deliveries[0].header
	assert.Equal(t, id, header.Get("Idempotency-Key"))
	assert.Equal(t, "1", header.Get("X-ElevenLabs-Attempt"))
	assert.InDelta(t, before.Unix(), unixSeconds(t, header.Get("X-ElevenLabs-Received-At")), 5)
}

func unixSeconds(t testing.TB, text string) (seconds int64) {
	t.Helper()
	_, err := fmt.Sscan(text, &seconds)
	require.NoError(t, err)
	return seconds
}

// waiting returns how many events are not delivered.
func waiting(i shownInbox) int {
	return i.Events["waiting"] + i.Events["delivering"] + i.Events["dead"]
}
