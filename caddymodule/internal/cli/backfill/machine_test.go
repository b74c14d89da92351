package backfill

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	mark "github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/backfill"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/clitest"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/delivery"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/elevenlabs/elevenlabstest"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/envelope"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/stored"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/signature"
)

var noon = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

// machine is what the command works with: ElevenLabs, and a Caddy with an inbox.
type machine struct {
	t     *testing.T
	api   *elevenlabstest.Server
	env   cmdutil.Env
	url   string
	trust []string

	mu         sync.Mutex
	events     []stored.Event // of the inbox
	bodies     [][]byte       // that came to the front door
	headers    []http.Header
	statuses   []int  // of the next answers; 200 if there are no more
	withoutBox bool   // the handler at the URL has no inbox
	unmarked   bool   // it knows no backfills
	ignores    string // the conversation of which it takes no event
	remember   time.Duration
	asked      []string // of the admin endpoint
	arrived    func()   // called for each event that comes
}

func newMachine(t *testing.T) *machine {
	m := &machine{t: t, api: elevenlabstest.New(t), remember: 72 * time.Hour}
	m.url, m.trust = clitest.Server(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		r.Body = io.NopCloser(bytes.NewReader(body))
		clitest.Protected(clitest.Secret, noon, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			m.take(w, r, body)
		})).ServeHTTP(w, r)
	}))
	t.Setenv("ELEVENLABS_API_KEY", elevenlabstest.Key)
	m.env = cmdutil.Env{Now: func() time.Time { return noon }, API: m.api, Admin: clitest.Admin(t, http.HandlerFunc(m.admin))}
	return m
}

// take is the front door, after the signature.
func (m *machine) take(w http.ResponseWriter, r *http.Request, body []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.arrived != nil {
		m.arrived()
	}
	m.bodies, m.headers = append(m.bodies, body), append(m.headers, r.Header.Clone())
	if len(m.statuses) > 0 {
		status := m.statuses[0]
		m.statuses = m.statuses[1:]
		if status != http.StatusOK {
			w.WriteHeader(status)
			return
		}
	}
	header, err := signature.Parse(r.Header.Values(signature.HeaderName))
	assert.NoError(m.t, err)
	id := sha256.Sum256(body)
	if !m.unmarked && mark.Genuine(mark.Key([]byte(clitest.Secret)), r.Header.Get(facts.HeaderBackfill), header.Timestamp(), hex.EncodeToString(id[:])) {
		w.Header().Set(facts.HeaderBackfill, "true")
	}
	scanner := new(envelope.Scanner)
	_, _ = scanner.Write(body)
	fields := scanner.Fields()
	if fields.ConversationID == m.ignores && m.ignores != "" {
		w.Header().Set(facts.HeaderBackfill, facts.BackfillIgnored)
		return
	}
	if m.withoutBox {
		return
	}
	m.put(fields.EventType, fields.ConversationID)
	w.Header().Set(delivery.HeaderInbox, "stored")
}

// put puts an event into the inbox.
func (m *machine) put(eventType, conversation string) {
	m.events = append(m.events, stored.Event{
		Seq: int64(len(m.events) + 1), Inbox: "default", EventType: eventType, ConversationID: conversation, ReceivedAt: noon.Add(-time.Minute),
	})
}

// admin is the admin endpoint.
func (m *machine) admin(w http.ResponseWriter, r *http.Request) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asked = append(m.asked, r.URL.RequestURI())
	w.Header().Set("Content-Type", "application/json")
	if r.URL.Path == cmdutil.InboxesURI {
		_ = json.NewEncoder(w).Encode([]stored.Inbox{
			{Name: "default", Handlers: 1, Up: true, RememberSeconds: m.remember.Seconds()},
			{Name: "default", Handlers: 1, Up: true, RememberSeconds: m.remember.Seconds()}, // for another destination
			{Name: "old", Up: true}, // no handler has it
		})
		return
	}
	query := r.URL.Query()
	since, err := time.Parse(time.RFC3339, query.Get("since"))
	assert.NoError(m.t, err)
	before, _ := strconv.ParseInt(query.Get("before"), 10, 64)
	limit, err := strconv.Atoi(query.Get("limit"))
	assert.NoError(m.t, err)
	shown := []stored.Event{}
	for _, e := range slices.Backward(m.events) {
		if e.Inbox == query.Get("inbox") && slices.Contains(query["type"], e.EventType) && !e.ReceivedAt.Before(since) && (before == 0 || e.Seq < before) && len(shown) < limit {
			shown = append(shown, e)
		}
	}
	_ = json.NewEncoder(w).Encode(shown)
}

func (m *machine) run(args ...string) clitest.Outcome {
	return m.runWith(context.Background(), args...)
}

func (m *machine) runWith(ctx context.Context, args ...string) clitest.Outcome {
	m.t.Helper()
	output := new(strings.Builder)
	outcome := clitest.RunWith(ctx, NewCmdBackfill, m.env, strings.NewReader(""), output, append(append([]string{"backfill", m.url}, args...), m.trust...)...)
	outcome.Stdout = output.String()
	return outcome
}

// sentEvents returns what came to the front door, as type and conversation.
func (m *machine) sentEvents() (all []string) {
	for _, body := range m.bodies {
		var event struct {
			Type string
			Data struct {
				ConversationID string `json:"conversation_id"`
			}
		}
		require.NoError(m.t, json.Unmarshal(body, &event))
		all = append(all, event.Type+" "+event.Data.ConversationID)
	}
	return all
}

// calls adds conversations of every kind. Of conv_1 the inbox has the transcript, of conv_2
// the recording, of conv_3 the transcript as traces, and of conv_4 the failed start.
func (m *machine) calls() {
	at := func(hours int) int64 { return noon.Add(-time.Duration(hours) * time.Hour).Unix() }
	for _, c := range []elevenlabstest.Conversation{
		{ID: "conv_1", Start: at(20), Duration: 60, Messages: 8},
		{ID: "conv_2", Start: at(19), Duration: 61, Messages: 8, Audio: []byte("ID3 and four")},
		{ID: "conv_3", Start: at(18), Duration: 62, Messages: 8, Audio: []byte("ID3 and so on")},
		{ID: "conv_4", Start: at(17), Status: "failed", Direction: "outbound"},
		{ID: "conv_5", Start: at(16), Duration: 1, Status: "failed", Direction: "inbound"},
		{ID: "conv_6", Start: at(15), Status: "failed", Direction: "outbound"},
		{ID: "conv_7", Start: at(14), Duration: 63, Messages: 8},
		{ID: "conv_8", Start: at(2), Status: "in-progress"},
		{ID: "conv_9", Start: at(2), Duration: 64, Status: "processing"},
		{ID: "conv_10", Start: at(2), Duration: 4000, Messages: 200},
		{ID: "conv_11", Start: at(30), Duration: 65, Messages: 8}, // before the span
	} {
		c.Agent = "agent_1"
		m.api.AddConversation(c)
	}
	m.put(transcript, "conv_1")
	m.put(audio, "conv_2")
	m.put(traces, "conv_3")
	m.put(neverStarted, "conv_4")
}
