package caddymodule

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
)

func inspectInbox(t *testing.T, inbox string) cmdutil.Config {
	t.Helper()
	return inspectText(t, "a.test {\nelevenlabs_webhook /hook {\nsecret {env.TEST_SECRET}\n"+inbox+"\nreverse_proxy localhost:3000\n}\n}")
}

func TestInspectFindsTheInboxOfAHandler(t *testing.T) {
	folder, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	data := t.TempDir()
	t.Setenv("XDG_DATA_HOME", data)
	file := filepath.Join(folder, "inbox.db")
	t.Setenv("TEST_DATABASE", "postgres://caddy:hunter2@db.example.com/events?sslmode=disable")
	for _, test := range []struct {
		name, inbox string
		want        cmdutil.ConfigInbox
	}{
		{"default", "inbox", cmdutil.ConfigInbox{Name: "default", Database: filepath.Join(data, "caddy/elevenlabs/inbox.db"), Path: filepath.Join(data, "caddy/elevenlabs/inbox.db"), MakesFolder: true, Limit: 10 << 30}},
		{"path", "inbox sales {\ndatabase " + file + "\nlimit 1MiB\n}", cmdutil.ConfigInbox{Name: "sales", Database: file, Path: file, Limit: 1 << 20}},
		{"Postgres", "inbox {\ndatabase {env.TEST_DATABASE}\n}", cmdutil.ConfigInbox{Name: "default", Database: "postgres://db.example.com/events", Limit: 10 << 30}},
		{"password", "inbox {\ndatabase postgres://caddy:hunter2@db.example.com/events\n}", cmdutil.ConfigInbox{Name: "default", Database: "postgres://db.example.com/events", Password: true, Limit: 10 << 30}},
	} {
		t.Run(test.name, func(t *testing.T) {
			config := inspectInbox(t, test.inbox)
			require.NoError(t, config.Problem)
			assert.Equal(t, &test.want, config.Handlers[0].Inbox)
		})
	}
	config := inspectInbox(t, "inbox {\ndatabase {env.NOT_SET}\n}")
	assert.ErrorContains(t, config.Handlers[0].Inbox.Problem, "NOT_SET")
	assert.Nil(t, inspectInbox(t, "").Handlers[0].Inbox)
}

// Another Caddy may have the database open, and doctor may run as another user.
func TestInspectOpensNoDatabase(t *testing.T) {
	o := openInbox(t)
	folder := t.TempDir()
	t.Setenv("XDG_DATA_HOME", filepath.Join(folder, "data"))
	for _, inbox := range []string{"inbox", "inbox {\ndatabase " + folder + "/inbox.db\n}", "inbox {\ndatabase " + o.location + "\n}", "inbox {\ndatabase postgres://127.0.0.1:1/x\n}"} {
		require.NoError(t, inspectInbox(t, inbox).Problem)
	}
	entries, err := os.ReadDir(folder)
	require.NoError(t, err)
	assert.Empty(t, entries, "no file and no folder")
	assert.Len(t, allDatabases(), 1, "only the one that was open before")
	d, err := joinDatabase(o.location, zap.NewNop())
	require.NoError(t, err)
	assert.Same(t, o.store, d.opened(), "and it still is")
	require.NoError(t, d.leave())
}
