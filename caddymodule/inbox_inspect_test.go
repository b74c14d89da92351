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
	config := inspectText(t, withDestinations("", "", ""))
	require.NoError(t, config.Problem)
	assert.Equal(t, []string{"crm", "archive"}, config.Handlers[0].Inbox.Destinations)
	config = inspectInbox(t, "inbox {\ndatabase {env.NOT_SET}\n}")
	assert.ErrorContains(t, config.Handlers[0].Inbox.Problem, "NOT_SET")
	assert.Nil(t, inspectInbox(t, "").Handlers[0].Inbox)
}

// withDestinations is a site whose inbox has two destinations, with options.
func withDestinations(handler, crm, archive string) string {
	return "a.test {\nelevenlabs_webhook /hook {\nsecret {env.TEST_SECRET}\n" + handler + "\ninbox {\ndestination crm {\n" + crm +
		"\nreverse_proxy localhost:3000\n}\ndestination archive {\n" + archive + "\nreverse_proxy localhost:4000\n}\n}\n}\n}"
}

func TestInspectFindsTheTypesThatSomeDestinationTakes(t *testing.T) {
	for _, test := range []struct {
		handler, crm, archive string
		want                  []string
	}{
		{"", "", "", nil},
		{"", "events audio", "", nil},
		{"events audio", "", "events transcript", []string{"post_call_audio"}},
		{"", "events audio", "events voice_removed audio", []string{"post_call_audio", "voice_removed"}},
		{"events voice_removed audio", "events audio transcript", "events audio", []string{"post_call_audio"}},
	} {
		config := inspectText(t, withDestinations(test.handler, test.crm, test.archive))
		require.NoError(t, config.Problem)
		assert.Equal(t, test.want, config.Handlers[0].Events, test)
	}
}

func TestInspectFindsTheSignKeysOfDestinations(t *testing.T) {
	config := inspectText(t, withDestinations("", "sign {env.TEST_SIGN_KEY}", "sign {env.NOT_SET}"))
	require.Len(t, config.Handlers, 1)
	keys := config.Handlers[0].SignKeys
	require.Len(t, keys, 2)
	assert.Equal(t, cmdutil.ConfigSecret{Text: "{env.TEST_SIGN_KEY}", Name: "crm", Value: signKey}, keys[0])
	assert.Equal(t, "archive", keys[1].Name)
	assert.Error(t, keys[1].Problem)
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
