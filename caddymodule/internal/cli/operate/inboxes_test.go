package operate

import (
	"fmt"
	"maps"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/clitest"
)

// idle is an inbox in which nothing waits.
func idle(name string) map[string]any {
	return map[string]any{
		"inbox": name, "database": "/var/lib/caddy/.local/share/caddy/elevenlabs/inbox.db", "handlers": 1, "up": true,
		"events":                 map[string]int{"waiting": 0, "delivering": 0, "delivered": 8120, "dead": 0},
		"oldest_waiting_seconds": 0, "bytes": 151 << 20, "limit_bytes": 10 << 30, "bypassed": 0,
	}
}

func with(inbox map[string]any, changes map[string]any) map[string]any {
	maps.Copy(inbox, changes)
	return inbox
}

func TestStatusShowsTheStateOfEachInbox(t *testing.T) {
	busy := with(idle("sales"), map[string]any{
		"events":                 map[string]int{"waiting": 214, "delivering": 1, "delivered": 40, "dead": 3},
		"oldest_waiting_seconds": 1290.4, "bypassed": 2, "backend_down_since": noon.Add(-21 * time.Minute),
		"database": "postgres://db.example.com/events",
	})
	away := with(idle("default"), map[string]any{"up": false, "problem": "the database postgres://db.example.com/events cannot be reached", "events": map[string]int{}})
	left := with(idle("old"), map[string]any{"handlers": 0, "limit_bytes": 0, "events": map[string]int{"waiting": 2, "delivered": 5}, "oldest_waiting_seconds": 61})
	of := func(destination string, inbox map[string]any) map[string]any {
		return with(inbox, map[string]any{"destination": destination})
	}
	taken := of("old", with(idle("default"), map[string]any{"handlers": 0, "limit_bytes": 0, "events": map[string]int{"waiting": 2, "delivered": 5}, "oldest_waiting_seconds": 61}))
	done := of("older", with(idle("default"), map[string]any{"handlers": 0, "limit_bytes": 0, "events": map[string]int{"delivered": 5}}))
	ill := of("archive", with(idle("default"), map[string]any{"events": map[string]int{"waiting": 1, "dead": 3}, "oldest_waiting_seconds": 901, "bypassed": 2, "backend_down_since": noon.Add(-21 * time.Minute)}))
	for name, test := range map[string]struct {
		inboxes []any
		code    int
	}{
		"destinations":      {[]any{ill, of("crm", idle("default")), idle("sales")}, 2},
		"destinations_away": {[]any{of("archive", maps.Clone(away)), of("crm", maps.Clone(away))}, 2},
		"destinations_left": {[]any{of("crm", idle("default")), taken, done}, 0},
		// crm is sales now: archive, the first, has its events already
		"destinations_renamed": {[]any{of("archive", idle("default")), of("crm", maps.Clone(taken)), of("sales", idle("default"))}, 0},
		"destinations_new":     {[]any{with(idle("default"), map[string]any{"handlers": 0, "events": map[string]int{"dead": 2}}), of("crm", idle("default"))}, 2},

		"inbox":      {[]any{idle("default")}, 0},
		"inbox_busy": {[]any{idle("default"), busy}, 2},
		"inbox_away": {[]any{away}, 2},
		"inbox_left": {[]any{left}, 0},
		"inbox_none": {[]any{}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			env := adminEnv(t, showingBoth(t, []any{healthy()}, test.inboxes))
			text := clitest.Run(NewCmdStatus, env, "", "status")
			json := clitest.Run(NewCmdStatus, env, "", "status", "--json")
			assert.Equal(t, test.code, text.Code)
			assert.Equal(t, test.code, json.Code)
			clitest.Golden(t, "testdata/status/"+name+".txtar", clitest.Case{Command: "status", Code: text.Code, Parts: []clitest.Part{
				{Name: "inboxes", Text: indented(t, test.inboxes)}, {Name: "output", Text: text.Text()}, {Name: "json", Text: json.Stdout},
			}})
		})
	}
}

func TestEachProblemOfAnInboxIsAnExitCodeOfTwo(t *testing.T) {
	for _, test := range []struct {
		name    string
		changes map[string]any
		code    int
		says    string
	}{
		{"well", nil, 0, ""},
		{"waiting for a while", map[string]any{"oldest_waiting_seconds": 899}, 0, ""},
		{"waiting for long", map[string]any{"oldest_waiting_seconds": 901}, 2, "inbox default: an event waits for 15m1s"},
		{"dead", map[string]any{"events": map[string]int{"dead": 1}}, 2, "inbox default: 1 dead"},
		{"bypassed", map[string]any{"bypassed": 1}, 2, "inbox default: 1 bypassed it"},
		{"not up", map[string]any{"up": false, "problem": "gone"}, 2, "inbox default: its database does not answer: gone"},
		{"the application is away", map[string]any{"backend_down_since": noon}, 0, ""},
	} {
		env := adminEnv(t, showingBoth(t, []any{healthy()}, []any{with(idle("default"), test.changes)}))
		outcome := clitest.Run(NewCmdStatus, env, "", "status")
		assert.Equal(t, test.code, outcome.Code, test.name)
		if test.says != "" {
			assert.EqualError(t, outcome.Err, "check failed: "+test.says, test.name)
		}
	}
}

func TestStatusOfAnOlderCaddyHasNoInboxes(t *testing.T) {
	outcome := clitest.Run(NewCmdStatus, adminEnv(t, showing(t, []any{healthy()})), "", "status")
	assert.NoError(t, outcome.Err)
	assert.NotContains(t, outcome.Stdout, "inbox")

	env := adminEnv(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/elevenlabs/inbox" {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		fmt.Fprint(w, `[{"handler":"staging"}]`)
	})
	outcome = clitest.Run(NewCmdStatus, env, "", "status")
	assert.ErrorContains(t, outcome.Err, "it answered 500", "another error is one")
}
