package inbox

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/clitest"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/inbox"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/stored"
)

var noon = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

// endpoint is an admin endpoint that answers by the lines of a case, such as
//
//	GET /elevenlabs/inbox/events?limit=100 200 []
//
// It notes what it is asked.
type endpoint struct {
	answers map[string]string
	asked   []string
}

func newEndpoint(setUp string) *endpoint {
	e := &endpoint{answers: map[string]string{}}
	for line := range strings.Lines(setUp) {
		words := strings.SplitN(strings.TrimSuffix(line, "\n"), " ", 3)
		if len(words) == 3 {
			e.answers[words[0]+" "+words[1]] = words[2]
		}
	}
	return e
}

func (e *endpoint) env() cmdutil.Env {
	return cmdutil.Env{Now: func() time.Time { return noon }, Admin: e.admin}
}

func (e *endpoint) admin(_ context.Context, ask cmdutil.AdminRequest) (*http.Response, error) {
	request := "GET " + ask.URI
	if ask.Post != nil {
		request = "POST " + ask.URI
	}
	e.asked = append(e.asked, strings.TrimSpace(request+" "+string(ask.Post)))
	answer, ok := e.answers[request]
	if !ok {
		return nil, errors.New("not in the case: " + request)
	}
	status, text, _ := strings.Cut(answer, " ")
	code, err := strconv.Atoi(status)
	if err != nil {
		return nil, err
	}
	if code >= 400 {
		return nil, &cmdutil.AdminError{Status: code, Message: "it answered " + status + ": " + text}
	}
	return &http.Response{StatusCode: code, Body: io.NopCloser(strings.NewReader(text))}, nil
}

// TestTheInboxCommandsPrint runs each case in testdata, as text and as JSON. A case has
// the command, what the admin endpoint answers, the output, and the requests.
//
// To add a case, write its command and the answers, and run go test -update.
func TestTheInboxCommandsPrint(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			want := clitest.ReadCase(t, file)
			run := func(more ...string) (clitest.Outcome, string) {
				e := newEndpoint(want.Part("admin endpoint"))
				outcome := clitest.Run(NewCmdInbox, e.env(), "", append(want.Arguments(), more...)...)
				return outcome, strings.Join(append(e.asked, ""), "\n")
			}
			text, asked := run()
			got := clitest.Case{Command: want.Command, Code: text.Code}
			got.Parts = append(got.Parts,
				clitest.Part{Name: "admin endpoint", Text: want.Part("admin endpoint")},
				clitest.Part{Name: "output", Text: text.Text()}, clitest.Part{Name: "standard error", Text: text.Stderr})
			if !strings.Contains(want.Command, "--body") {
				json, askedForJSON := run("--json")
				assert.Equal(t, text.Code, json.Code)
				assert.Equal(t, asked, askedForJSON)
				got.Parts = append(got.Parts, clitest.Part{Name: "json", Text: json.Stdout})
			}
			got.Parts = append(got.Parts, clitest.Part{Name: "requests", Text: asked})
			clitest.Golden(t, file, got)
		})
	}
}

func TestTheInboxCommandsTakeOnlyWhatThereIs(t *testing.T) {
	for _, test := range []struct {
		args []string
		says string
	}{
		{[]string{"list", "--state", "ded"}, `there is no state "ded" (did you mean dead?): give --state one of waiting, delivering, delivered, dead, discarded`},
		{[]string{"list", "--type", "post_call_audo"}, `did you mean post_call_audio?`},
		{[]string{"list", "--limit", "1001"}, "--limit must be from 1 to 1000, not 1001"},
		{[]string{"list", "--before", "0"}, "--before must be above 0, not 0"},
		{[]string{"list", "--since", "yesterday"}, `--since must be a time such as 2026-11-20T10:00:00Z, or a duration before now such as 2h or 3d, not "yesterday"`},
		{[]string{"list", "--since", "-2h"}, `--since must be a time`},
		{[]string{"list", "--since", "xd"}, `--since must be a time`},
		{[]string{"list", "--since", "1h", "--until", "2h"}, "--since must be before --until"},
		{[]string{"list", "--inbox", ""}, "--inbox is empty"},
		{[]string{"list", "--agent", ""}, "--agent is empty"},
		{[]string{"list", "--adapter", "json"}, "--adapter needs --config"},
		{[]string{"show"}, "give one argument"},
		{[]string{"show", "last"}, `"last" names no event: give its number, or at least 8 characters of its id`},
		{[]string{"show", "42", "--body", "--json"}, "leave --json out"},
		{[]string{"show", "42", "--inbox", ""}, "--inbox is empty"},
		{[]string{"list", "--request", ""}, "--request is empty"},
		{[]string{"list", "--search", ""}, "--search is empty"},
		{[]string{"redeliver"}, "give numbers of events, or --state for all that are dead or delivered or waiting or discarded"},
		{[]string{"redeliver", "--state", "dead", "42"}, "give numbers of events, or --state, not both"},
		{[]string{"redeliver", "42", "--since", "2h"}, "--type, --conversation, --agent, --since and --until need --state"},
		{[]string{"redeliver", "--state", "delivering"}, "give --state one of dead, delivered, waiting, discarded"},
		{[]string{"redeliver", "--state", ""}, "--state is empty"},
		{[]string{"discard"}, "give numbers of events, or --state for all that are waiting or dead"},
		{[]string{"discard", "--state", "delivered"}, "give --state one of waiting, dead"},
		{[]string{"discard", "42", "--agent", "agent_1"}, "need --state"},
		{[]string{"discard", "42", "--destination", "crm"}, "--destination, --type, --conversation, --agent, --since and --until need --state"},
		{[]string{"redeliver", "--to", "", "--since", "2h"}, "--to is empty"},
		{[]string{"redeliver", "--to", "crm"}, "give numbers of events, or flags that select them, such as --since 48h"},
		{[]string{"redeliver", "--to", "crm", "--inbox", "sales"}, "give numbers of events, or flags that select them"},
		{[]string{"redeliver", "--to", "crm", "--since", "2h", "42"}, "give numbers of events, or flags that select them, not both"},
		{[]string{"discard", "--to", "crm", "42"}, "unknown flag: --to"},
		{[]string{"list", "--destination", ""}, "--destination is empty"},
		{[]string{"show", "42", "--destination", "crm"}, "a number names the event for one destination"},
		{[]string{"stats", "--destination", ""}, "--destination is empty"},
		{[]string{"stats", "--since", "yesterday"}, "--since must be a time such as"},
		{[]string{"stats", "--since", ""}, "--since is empty"},
		{[]string{"redeliver", "4b"}, `"4b" is no number of an event`},
		{[]string{"forget", "--yes"}, "give the id of a conversation, or --events with numbers, and not both"},
		{[]string{"forget", "", "--yes"}, "give the id of a conversation"},
		{[]string{"forget", "conv_1", "--events", "42", "--yes"}, "not both"},
		{[]string{"forget", "--events", "42,", "--yes"}, "one of its words is empty"},
		{[]string{"forget", "--events", "x", "--yes"}, `"x" is no number of an event`},
		{[]string{"schema", "mysql"}, `there is no database "mysql": give one of sqlite, postgres`},
	} {
		e := newEndpoint("")
		outcome := clitest.Run(NewCmdInbox, e.env(), "", append([]string{"inbox"}, test.args...)...)
		assert.ErrorContains(t, outcome.Err, test.says, test.args)
		assert.Equal(t, 1, outcome.Code)
		assert.Empty(t, outcome.Stdout)
		assert.Empty(t, e.asked)
	}
}

// A selection is changed by requests that each look at few events.
func TestASelectionIsChangedStepByStepInEachInbox(t *testing.T) {
	answers := []string{`[{"inbox":"a"},{"inbox":"b"}]`, `{"events":900,"last":1000}`, `{"events":7}`, `{"events":1000,"last":5}`, "503"}
	var asked []string
	env := cmdutil.Env{Now: func() time.Time { return noon }, Admin: func(_ context.Context, ask cmdutil.AdminRequest) (*http.Response, error) {
		answer := answers[len(asked)]
		asked = append(asked, strings.TrimPrefix(ask.URI, "/elevenlabs/inbox")+" "+string(ask.Post))
		if answer == "503" {
			return nil, &cmdutil.AdminError{Status: 503, Message: "it answered 503"}
		}
		return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader(answer))}, nil
	}}
	outcome := clitest.Run(NewCmdInbox, env, "", "inbox", "redeliver", "--state", "waiting", "--yes")
	assert.EqualError(t, outcome.Err, "it answered 503; before that, 1907 events were changed")
	assert.Equal(t, 1, outcome.Code)
	assert.Equal(t, []string{
		" ", `/redeliver {"inbox":"a","state":"waiting","limit":1000}`, `/redeliver {"inbox":"a","state":"waiting","limit":1000,"after":1000}`,
		`/redeliver {"inbox":"b","state":"waiting","limit":1000}`, `/redeliver {"inbox":"b","state":"waiting","limit":1000,"after":5}`,
	}, asked)
	answers = append(answers[:4], `{"events":0}`)
	asked = nil
	outcome = clitest.Run(NewCmdInbox, env, "", "inbox", "redeliver", "--state", "waiting", "--yes")
	require.NoError(t, outcome.Err)
	assert.Equal(t, "1907 events will be delivered again\n", outcome.Stdout)
}

func TestForgetNeedsYesWithoutATerminalAndThenDeletesNothing(t *testing.T) {
	e := newEndpoint("GET /elevenlabs/inbox/events?conversation=conv_1&limit=1000 200 [{},{}]\n")
	outcome := clitest.Run(NewCmdInbox, e.env(), "y\n", "inbox", "forget", "conv_1")
	assert.ErrorContains(t, outcome.Err, "there is no terminal to ask at: give --yes")
	assert.Equal(t, 1, outcome.Code)
	assert.Equal(t, []string{"GET /elevenlabs/inbox/events?conversation=conv_1&limit=1000"}, e.asked)
}

func TestShellsCompleteTheStatesThatACommandTakes(t *testing.T) {
	for command, want := range map[string]string{
		"list": "waiting\ndelivering\ndelivered\ndead\ndiscarded\n:4\n", "redeliver": "dead\ndelivered\nwaiting\ndiscarded\n:4\n", "discard": "waiting\ndead\n:4\n",
	} {
		outcome := clitest.Run(NewCmdInbox, newEndpoint("").env(), "", "__complete", "inbox", command, "--state", "")
		assert.Equal(t, want, outcome.Stdout, command)
	}
}

func TestTheQuestionSaysHowManyEventsWouldGo(t *testing.T) {
	e := newEndpoint("GET /elevenlabs/inbox/events?conversation=conv_1&inbox=sales&limit=1000 200 [{},{}]\n")
	o := &forgetOptions{inbox: "sales"}
	cmd := newCmdForget(e.env())
	cmd.SetContext(t.Context())
	o.endpoint = cmdutil.EndpointFlags(newCmdSchema(), e.env())
	question, err := o.question(cmd, stored.Act{ConversationID: "conv_1"})
	require.NoError(t, err)
	assert.Equal(t, "Delete 2 events of the conversation conv_1 and what is stored of them?", question)
	question, err = o.question(cmd, stored.Act{Events: []int64{42}})
	require.NoError(t, err)
	assert.Equal(t, "Delete 1 event and what is stored of them?", question)
}

func TestSchemaPrintsTheTablesAndTheirVersion(t *testing.T) {
	for dialect, args := range map[string][]string{"postgres": {"inbox", "schema"}, "sqlite": {"inbox", "schema", "sqlite"}} {
		tables, err := inbox.Schema(dialect, 1)
		require.NoError(t, err)
		text := clitest.Run(NewCmdInbox, cmdutil.Env{}, "", args...)
		require.NoError(t, text.Err)
		assert.True(t, strings.HasPrefix(text.Stdout, tables), dialect)
		assert.Equal(t, dialect == "sqlite", strings.HasSuffix(text.Stdout, "\nPRAGMA user_version = 1;\n"), "Postgres has a table for it")
		var shown struct {
			Database, SQL string
			Version       int
		}
		lines := clitest.Run(NewCmdInbox, cmdutil.Env{}, "", append(args, "--json")...)
		require.NoError(t, json.Unmarshal([]byte(lines.Stdout), &shown))
		assert.Equal(t, []any{dialect, text.Stdout, inbox.Version}, []any{shown.Database, shown.SQL, shown.Version})
	}
}

// torn is a body whose connection breaks.
type torn struct{ io.Reader }

func (b torn) Close() error { return nil }

func TestABodyThatIsNotWholeIsAnError(t *testing.T) {
	env := cmdutil.Env{Now: func() time.Time { return noon }, Admin: func(context.Context, cmdutil.AdminRequest) (*http.Response, error) {
		return &http.Response{Body: torn{io.MultiReader(strings.NewReader(`{"type":`), &broken{})}}, nil
	}}
	outcome := clitest.Run(NewCmdInbox, env, "", "inbox", "show", "42", "--body")
	assert.ErrorIs(t, outcome.Err, io.ErrUnexpectedEOF)
	assert.Equal(t, 1, outcome.Code)
}

type broken struct{}

func (*broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
