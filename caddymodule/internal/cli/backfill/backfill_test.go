package backfill

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/clitest"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/elevenlabs/elevenlabstest"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"
)

func TestBackfillPrints(t *testing.T) {
	for _, test := range []struct {
		name, args string
		code       int
		setUp      func(*machine)
	}{
		{"dry_run", "--since 24h --dry-run", 0, nil},
		{"dry_run_audio", "--since 24h --dry-run --audio", 0, nil},
		{"sent", "--since 24h", 0, nil},
		{"sent_audio", "--since 24h --audio", 0, nil},
		{"until", "--since 24h --until 1h", 0, nil},
		{"nothing", "--since 24h", 0, func(m *machine) {
			for _, id := range []string{"conv_2", "conv_5", "conv_7"} {
				m.put(transcript, id)
			}
		}},
		{"failed", "--since 24h", 2, func(m *machine) { m.statuses = []int{200, 500, 200} }},
		{"another_secret", "--since 24h --secret-env OTHER", 2, func(m *machine) { m.t.Setenv("OTHER", "wsec_other") }},
		{"gives_up", "--since 24h --audio --until 1s", 2, func(m *machine) { m.statuses = slices.Repeat([]int{503}, 9) }},
		{"not_believed", "--since 24h", 2, func(m *machine) { m.unmarked = true }},
		{"ignored", "--since 24h", 0, func(m *machine) { m.ignores = "conv_2" }},
		{"not_stored", "--since 24h", 2, func(m *machine) { m.withoutBox = true }},
		{"beyond_retention", "--since 4d", 1, nil},
		{"no_inbox", "--since 24h", 1, func(m *machine) { m.remember = 0 }},
		{"rate_limit", "--since 24h", 1, func(m *machine) { m.api.Fault(elevenlabstest.Answer(429, "Retry-After", "3600")) }},
		{"permission", "--since 24h", 1, func(m *machine) { m.api.Lacks("convai_read") }},
	} {
		t.Run(test.name, func(t *testing.T) {
			run := func(more ...string) clitest.Outcome {
				m := newMachine(t)
				m.calls()
				if test.setUp != nil {
					test.setUp(m)
				}
				return m.run(append(strings.Fields(test.args), more...)...)
			}
			text, lines := run(), run("--json")
			assert.Equal(t, test.code, text.Code, text.Err)
			assert.Equal(t, test.code, lines.Code, lines.Err)
			assert.Empty(t, strings.Split(lines.Stderr, "\n")[1:], "notes are for people")
			clitest.Golden(t, "testdata/"+test.name+".txtar", clitest.Case{
				Command: "inbox backfill https://hooks.example.com/webhooks/elevenlabs " + test.args, Code: text.Code,
				Parts: []clitest.Part{{Name: "output", Text: text.Text()}, {Name: "standard error", Text: text.Stderr}, {Name: "json", Text: lines.Stdout}},
			})
		})
	}
}

func TestASecondRunSendsNothing(t *testing.T) {
	m := newMachine(t)
	m.calls()
	first := m.run("--since", "24h", "--audio")
	require.Equal(t, 0, first.Code, first.Err)
	want := []string{
		"post_call_transcription conv_2", "post_call_audio conv_3", "post_call_transcription conv_5", "post_call_transcription conv_7",
	}
	assert.Equal(t, want, m.sentEvents())
	second := m.run("--since", "24h", "--audio")
	require.Equal(t, 0, second.Code, second.Err)
	assert.Len(t, m.sentEvents(), len(want), second.Stdout)
}

// What ElevenLabs says of a call may change, such as by an analysis that is made anew.
func TestACallThatChangedAtElevenLabsIsNotSentAgain(t *testing.T) {
	m := newMachine(t)
	m.api.AddConversation(elevenlabstest.Conversation{ID: "conv_1", Start: noon.Add(-5 * time.Hour).Unix(), Duration: 60})
	require.Equal(t, 0, m.run("--since", "24h").Code)
	changed := newMachine(t)
	changed.events = m.events
	changed.api.AddConversation(elevenlabstest.Conversation{ID: "conv_1", Start: noon.Add(-5 * time.Hour).Unix(), Duration: 60, Messages: 9, JSON: `{"other":1}`})
	require.Equal(t, 0, changed.run("--since", "24h").Code)
	assert.Empty(t, changed.bodies)
}

func TestAnEventHasTheDocumentedShapeAndTheSameIDEachTime(t *testing.T) {
	const answer = `{"agent_id":"agent_1","conversation_id":"conv_1","status":"done","price":0.0,"tiny":9.18e-05,"name":"é \u00e9 <&>",` +
		`"transcript":[{"role":"agent"}],"metadata":{"start_time_unix_secs":1795900000,"call_duration_secs":90},"has_audio":true}`
	recording := slices.Repeat([]byte{0, 0xff, 'x'}, 1<<19) // larger than stays in memory
	var bodies [2][][]byte
	for i := range bodies {
		m := newMachine(t)
		m.env.Now = func() time.Time { return noon.Add(time.Duration(i) * time.Minute) } // within the tolerance
		m.api.AddConversation(elevenlabstest.Conversation{ID: "conv_1", Start: 1795900000, Duration: 90, JSON: answer, Audio: recording})
		outcome := m.run("--since", "24h", "--audio")
		require.Equal(t, 0, outcome.Code, outcome.Err)
		bodies[i] = m.bodies
		require.Len(t, m.headers, 2)
		for _, header := range m.headers {
			assert.Empty(t, header.Values(facts.HeaderTest), "it is no test")
			assert.Regexp(t, `^[0-9a-f]{64}$`, header.Get(facts.HeaderBackfill))
			assert.Equal(t, facts.UserAgent, header.Get("User-Agent"))
		}
	}
	assert.Equal(t, bodies[0], bodies[1])
	assert.Equal(t, `{"type": "post_call_transcription", "event_timestamp": 1795900090, "data": `+answer+`}`, string(bodies[0][0]))
	var event struct {
		Type      string `json:"type"`
		Timestamp int64  `json:"event_timestamp"`
		Data      map[string]json.RawMessage
	}
	require.NoError(t, json.Unmarshal(bodies[0][1], &event))
	assert.Equal(t, "post_call_audio", event.Type)
	assert.EqualValues(t, 1795900090, event.Timestamp)
	assert.Len(t, event.Data, 3)
	assert.JSONEq(t, `"conv_1"`, string(event.Data["conversation_id"]))
	assert.JSONEq(t, `"agent_1"`, string(event.Data["agent_id"]))
	var audio []byte // encoding/json reads Base64
	require.NoError(t, json.Unmarshal(event.Data["full_audio"], &audio))
	assert.Equal(t, recording, audio)
}

func TestRecordingsOfEveryLengthAreEncodedAlike(t *testing.T) {
	for _, length := range []int{1, 2, 3, 3<<10 - 1, 3 << 10, 3<<10 + 1, 9<<10 + 2} {
		raw := slices.Repeat([]byte{'a'}, length)
		text, err := io.ReadAll(&encoder{from: strings.NewReader(string(raw))})
		require.NoError(t, err)
		var back []byte
		require.NoError(t, json.Unmarshal([]byte(strconv.Quote(string(text))), &back))
		assert.Equal(t, raw, back, length)
	}
}

func TestAnInterruptEndsAfterTheEventAndAnotherRunGoesOn(t *testing.T) {
	m := newMachine(t)
	m.calls()
	ctx, cancel := context.WithCancel(t.Context())
	m.arrived = func() {
		if len(m.bodies) == 1 { // in the middle of the second event
			cancel()
		}
	}
	first := m.runWith(ctx, "--since", "24h", "--audio")
	assert.Equal(t, 1, first.Code)
	assert.EqualError(t, first.Err, "interrupted; 2 of 6 events sent, 4 left: run the command again to send the rest")
	assert.Equal(t, 2, strings.Count(first.Stdout, "sent "), first.Stdout)
	assert.Len(t, m.bodies, 2)

	second := m.run("--since", "24h", "--audio")
	require.Equal(t, 0, second.Code, second.Err)
	assert.Equal(t, []string{
		"post_call_transcription conv_2", "post_call_audio conv_3", "post_call_transcription conv_5", "post_call_transcription conv_7",
	}, m.sentEvents())
}

func TestElevenLabsCanFailInTheMiddleAndAnotherRunGoesOn(t *testing.T) {
	m := newMachine(t)
	m.calls()
	m.arrived = func() { m.api.Fault(elevenlabstest.Answer(429, "Retry-After", "9999")) }
	first := m.run("--since", "24h")
	assert.Equal(t, 1, first.Code)
	assert.ErrorContains(t, first.Err, "reading conversation conv_5: ElevenLabs answered 429")
	assert.ErrorContains(t, first.Err, "; 1 of 3 events sent, 2 left: run the command again to send the rest")
	m.arrived = nil
	require.Equal(t, 0, m.run("--since", "24h").Code)
	assert.Equal(t, []string{"post_call_transcription conv_2", "post_call_transcription conv_5", "post_call_transcription conv_7"}, m.sentEvents())
}

func TestWithoutAnInboxAFileSaysWhatIsThere(t *testing.T) {
	m := newMachine(t)
	m.calls()
	m.withoutBox = true
	m.env.Admin = func(context.Context, cmdutil.AdminRequest) (*http.Response, error) {
		t.Error("with --ids, no admin endpoint is asked")
		return nil, io.EOF
	}
	file := filepath.Join(t.TempDir(), "ids.txt")
	require.NoError(t, os.WriteFile(file, []byte("\ufeff# those of last week\r\nconv_1  # all of it\r\n\nconv_2 post_call_audio\nconv_3 post_call_transcription"), 0o600))
	outcome := m.run("--since", "24h", "--audio", "--ids", file, "--dry-run")
	require.Equal(t, 0, outcome.Code, outcome.Err)
	assert.Empty(t, m.bodies)

	m.statuses = []int{200, 500}
	outcome = m.run("--since", "24h", "--audio", "--ids", file)
	assert.Equal(t, 2, outcome.Code, outcome.Err)
	assert.Equal(t, []string{"post_call_transcription conv_2", "post_call_audio conv_3", "post_call_transcription conv_5", "post_call_transcription conv_7"}, m.sentEvents())
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	assert.Equal(t, "conv_2 post_call_transcription\nconv_5 post_call_transcription\nconv_7 post_call_transcription\n",
		string(text[strings.Index(string(text), "conv_3 post_call_transcription\n")+len("conv_3 post_call_transcription\n"):]))

	m.bodies = nil
	outcome = m.run("--since", "24h", "--audio", "--ids", file)
	assert.Equal(t, 0, outcome.Code, outcome.Err)
	assert.Equal(t, []string{"post_call_audio conv_3"}, m.sentEvents(), "what failed is sent again, and nothing else")
}

func TestEventsOfAllPagesOfAllInboxesAreThere(t *testing.T) {
	m := newMachine(t)
	for i := range 2100 {
		id := "conv_" + strconv.Itoa(i)
		m.api.AddConversation(elevenlabstest.Conversation{ID: id, Start: noon.Add(-5 * time.Hour).Unix(), Duration: 60})
		m.put(transcript, id)
	}
	m.events[7].Inbox = "old"
	outcome := m.run("--since", "24h")
	require.Equal(t, 0, outcome.Code, outcome.Err)
	assert.Equal(t, "2100 conversations: 2100 here, 0 missing, 0 unfinished, 0 recent, 0 never started\n", outcome.Stdout)

	only := m.run("--since", "24h", "--inbox", "default", "--dry-run")
	assert.Contains(t, only.Stdout, "2099 here, 1 missing")
	assert.Len(t, m.asked, 1+2*(3+1)+1+2*3, "each page of each inbox once before the list of calls and once after it")
	for _, uri := range m.asked {
		_, text, _ := strings.Cut(uri, "?")
		query, err := url.ParseQuery(text)
		require.NoError(t, err)
		if len(query["type"]) > 0 {
			assert.Equal(t, types, query["type"])
		}
	}
}

// An event that comes, or that the inbox forgets, while the list of conversations is read
// is not missing.
func TestAnEventThatComesMeanwhileIsThere(t *testing.T) {
	m := newMachine(t)
	m.api.AddConversation(elevenlabstest.Conversation{ID: "conv_1", Start: noon.Add(-5 * time.Hour).Unix(), Duration: 60})
	m.api.Fault(func(w http.ResponseWriter, r *http.Request) {
		m.mu.Lock()
		m.put(transcript, "conv_1")
		m.mu.Unlock()
		elevenlabstest.Answer(503)(w, r)
	})
	outcome := m.run("--since", "24h", "--until", "1s")
	require.Equal(t, 0, outcome.Code, outcome.Err)
	assert.Empty(t, m.bodies)
}

func TestBackfillTakesOnlyWhatThereIs(t *testing.T) {
	missingFile := filepath.Join(t.TempDir(), "none.txt")
	wrongFile := filepath.Join(t.TempDir(), "wrong.txt")
	require.NoError(t, os.WriteFile(wrongFile, []byte("conv_1\nconv_2 transcript\n"), 0o600))
	for _, test := range []struct{ args, says string }{
		{"", "--since is missing: say from when on calls may be missing, such as --since 24h"},
		{"--since yesterday", "--since must be a time such as 2026-11-20T10:00:00Z"},
		{"--since 2h --until 3h", "--since must be before --until"},
		{"--since 2h --until 2020", "--until must be a time"},
		{"--since 2h --ids " + missingFile, "create it with the ids of the conversations that your application has; an empty file means none"},
		{"--since 2h --ids " + wrongFile, "--ids: line 2 of " + wrongFile + " must be the id of a conversation"},
		{"--since 2h --ids " + wrongFile + " --inbox default", "none of the others can be"},
		{"--since 2h --agent ,", "one of its words is empty"},
		{"--since 2h --api-key-file - --secret-file -", "only one thing can come from standard input"},
		{"--since 2h --timeout 0s", "--timeout must be above 0"},
		{"--since 2h --secret-env NONE", "the environment variable NONE is not set"},
		{"--since 2h --inbox other", "has an inbox"},
	} {
		t.Run(test.args, func(t *testing.T) {
			m := newMachine(t)
			m.calls()
			outcome := m.run(strings.Fields(test.args)...)
			assert.Equal(t, 1, outcome.Code)
			assert.ErrorContains(t, outcome.Err, test.says)
			assert.Empty(t, m.bodies)
		})
	}
}

func TestADryRunNeedsNoSecret(t *testing.T) {
	m := newMachine(t)
	m.calls()
	require.NoError(t, os.Unsetenv("ELEVENLABS_WEBHOOK_SECRET"))
	outcome := m.run("--since", "24h", "--dry-run", "--audio")
	assert.Equal(t, 0, outcome.Code, outcome.Err)
	assert.Empty(t, m.bodies)
}

func TestOnlyTheAgentsThatAreNamedCount(t *testing.T) {
	m := newMachine(t)
	for _, id := range []string{"1", "2", "3"} {
		m.api.AddConversation(elevenlabstest.Conversation{ID: "conv_" + id, Agent: "agent_" + id, Start: noon.Add(-5 * time.Hour).Unix(), Duration: 60})
	}
	require.Equal(t, 0, m.run("--since", "24h", "--agent", "agent_1,agent_3").Code)
	assert.Equal(t, []string{"post_call_transcription conv_1", "post_call_transcription conv_3"}, m.sentEvents())
}

// Between the list and the request for it, a conversation can be deleted, or processed anew.
func TestAConversationThatCannotBeSentIsSkipped(t *testing.T) {
	m := newMachine(t)
	start := noon.Add(-5 * time.Hour).Unix()
	m.api.AddConversation(elevenlabstest.Conversation{ID: "conv_1", Start: start, Duration: 60, JSON: `{"conversation_id":"conv_1","status":"processing"}`})
	m.api.AddConversation(elevenlabstest.Conversation{ID: "conv_2", Start: start + 1, Duration: 60, Audio: []byte{}})
	m.api.AddConversation(elevenlabstest.Conversation{ID: "conv_3", Start: start + 2, Duration: 60})
	outcome := m.run("--since", "24h", "--audio")
	require.Equal(t, 0, outcome.Code, outcome.Err)
	assert.Equal(t, []string{"post_call_transcription conv_2", "post_call_transcription conv_3"}, m.sentEvents())
	assert.Contains(t, outcome.Stdout, "ElevenLabs processes the conversation again; run the command later")
	assert.Contains(t, outcome.Stdout, " (2 without a recording); 4 events: 2 sent, 2 skipped, 0 failed\n")
}

// answering answers requests for one path in place of the API.
type answering struct {
	api  http.RoundTripper
	path string
	with http.HandlerFunc
}

func (a answering) RoundTrip(r *http.Request) (*http.Response, error) {
	if !strings.HasSuffix(r.URL.Path, "/"+a.path) {
		return a.api.RoundTrip(r)
	}
	recorder := httptest.NewRecorder()
	a.with(recorder, r)
	return recorder.Result(), nil
}

// A timer runs the command again and again. If it ended at such a call, those behind it
// would never come.
func TestACallThatCannotBeReadOrIsTooLargeHoldsUpNoOther(t *testing.T) {
	start := noon.Add(-5 * time.Hour).Unix()
	answer := func(status int, headers ...string) func(*machine) {
		return func(m *machine) { m.env.API = answering{m.api, "conv_1", elevenlabstest.Answer(status, headers...)} }
	}
	for _, test := range []struct {
		name, json, says string
		fault            func(*machine)
	}{
		{name: "another conversation", json: `{"conversation_id":"conv_5","status":"done"}`, says: "ElevenLabs answered with another one"},
		{name: "no time", json: `{"conversation_id":"conv_1","status":"done"}`, says: "the answer has no metadata.start_time_unix_secs"},
		{name: "no object", json: `[]`, says: "reading conversation conv_1: "},
		{name: "no JSON", json: `{"conversation_id": `, says: "cannot be understood"},
		{name: "422", fault: answer(422), says: "ElevenLabs answered 422"},
		{name: "403", fault: answer(403), says: "the API key lacks a permission, probably convai_read"},
		{name: "500", fault: answer(500, "Retry-After", "9999"), says: "ElevenLabs answered 500"},
		{name: "too large for the front door", fault: func(m *machine) { m.statuses = []int{413} }, says: "413"},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := newMachine(t)
			m.api.AddConversation(elevenlabstest.Conversation{ID: "conv_1", Start: start, Duration: 60, JSON: test.json})
			m.api.AddConversation(elevenlabstest.Conversation{ID: "conv_2", Start: start + 1, Duration: 60})
			if test.fault != nil {
				test.fault(m)
			}
			outcome := m.run("--since", "24h")
			assert.Equal(t, 2, outcome.Code)
			assert.Contains(t, m.sentEvents(), "post_call_transcription conv_2")
			assert.Regexp(t, `(?m)^FAILED .* conv_1 .*`+regexp.QuoteMeta(test.says), outcome.Stdout)
			assert.Contains(t, outcome.Stdout, "; 2 events: 1 sent, 0 skipped, 1 failed\n")
		})
	}
}

func TestARecordingThatCannotBeReadHoldsUpNoOther(t *testing.T) {
	start := noon.Add(-5 * time.Hour).Unix()
	m := newMachine(t)
	m.api.AddConversation(elevenlabstest.Conversation{ID: "conv_1", Start: start, Duration: 60, Audio: []byte("ID3")})
	m.api.AddConversation(elevenlabstest.Conversation{ID: "conv_2", Start: start + 1, Duration: 60, Audio: []byte("ID3")})
	m.env.API = answering{m.api, "conv_1/audio", elevenlabstest.Answer(422)}
	outcome := m.run("--since", "24h", "--audio")
	assert.Equal(t, 2, outcome.Code)
	assert.Equal(t, []string{"post_call_transcription conv_1", "post_call_transcription conv_2", "post_call_audio conv_2"}, m.sentEvents())
}

func TestEventsThatAreTooLargeAreNoReasonToGiveUp(t *testing.T) {
	m := newMachine(t)
	for i := range 8 {
		m.api.AddConversation(elevenlabstest.Conversation{ID: "conv_" + strconv.Itoa(i), Start: noon.Add(-5*time.Hour).Unix() + int64(i), Duration: 60})
	}
	m.statuses = slices.Repeat([]int{413}, 7)
	outcome := m.run("--since", "24h")
	assert.Equal(t, 2, outcome.Code)
	assert.Contains(t, outcome.Stdout, "; 8 events: 1 sent, 0 skipped, 7 failed\n")
}

func TestAnAPIThatFailsAlwaysEndsTheCommand(t *testing.T) {
	m := newMachine(t)
	for i := range 9 {
		m.api.AddConversation(elevenlabstest.Conversation{ID: "conv_" + strconv.Itoa(i), Start: noon.Add(-5*time.Hour).Unix() + int64(i), Duration: 60, JSON: "[]"})
	}
	outcome := m.run("--since", "24h")
	assert.Equal(t, 2, outcome.Code)
	assert.ErrorContains(t, outcome.Err, "5 failures in a row; 0 of 9 events sent, 9 left")
	assert.Equal(t, 5, strings.Count(outcome.Stdout, "FAILED"))
}
