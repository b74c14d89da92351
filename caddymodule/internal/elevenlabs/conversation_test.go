package elevenlabs

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/elevenlabs/elevenlabstest"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/spool"
)

var noon = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

// withConversations starts a server with a number of conversations, a minute from each
// other, of which the last begins a minute before noon.
func withConversations(t *testing.T, n int) *elevenlabstest.Server {
	server := elevenlabstest.New(t)
	for i := range n {
		server.AddConversation(elevenlabstest.Conversation{
			ID: fmt.Sprintf("conv_%d", i), Agent: fmt.Sprintf("agent_%d", i%2), Start: noon.Add(time.Duration(i-n) * time.Minute).Unix(), Duration: 30, Messages: 4,
		})
	}
	return server
}

func ids(all []Conversation) (ids []string) {
	for _, c := range all {
		ids = append(ids, c.ID)
	}
	return ids
}

var lastHour = ConversationQuery{Since: noon.Add(-time.Hour), Until: noon}

// limits are enough for the recordings of these tests.
var limits = spool.Limits{Size: 1 << 20, Memory: 1 << 20, TotalMemory: 1 << 30, Total: 1 << 30, Bodies: 1000}

func TestConversationsComeFromAllPagesInTheOrderOfTheirStart(t *testing.T) {
	server := withConversations(t, 7)
	c := newClient(t, server)
	for page, requests := range map[int]int{1: 7, 3: 3, 7: 1, 100: 1} {
		server.SetPage(page)
		server.Requests()
		all, err := c.Conversations(t.Context(), lastHour)
		require.NoError(t, err)
		assert.Equal(t, []string{"conv_0", "conv_1", "conv_2", "conv_3", "conv_4", "conv_5", "conv_6"}, ids(all))
		assert.Len(t, server.Requests(), requests)
	}
	some, err := c.Conversations(t.Context(), ConversationQuery{Since: noon.Add(-3 * time.Minute), Until: noon.Add(-2 * time.Minute), Agent: "agent_1"})
	require.NoError(t, err)
	assert.Equal(t, []Conversation{{
		ID: "conv_5", AgentID: "agent_1", Status: "done", Start: time.Unix(noon.Unix()-120, 0), Duration: 30 * time.Second, Messages: 4,
	}}, some)
	none, err := c.Conversations(t.Context(), ConversationQuery{Since: noon, Until: noon.Add(time.Hour)})
	require.NoError(t, err)
	assert.Empty(t, none)
}

// While pages are read, new conversations move the others to later pages.
func TestAConversationThatIsOnTwoPagesCountsOnce(t *testing.T) {
	server := withConversations(t, 4)
	server.SetPage(2)
	c := newClient(t, roundTripper(func(r *http.Request) (*http.Response, error) {
		response, err := server.RoundTrip(r)
		server.AddConversation(elevenlabstest.Conversation{ID: "conv_new", Agent: "agent_0", Start: noon.Unix()})
		return response, err
	}))
	all, err := c.Conversations(t.Context(), lastHour)
	require.NoError(t, err)
	assert.ElementsMatch(t, slices.Compact(slices.Sorted(slices.Values(ids(all)))), ids(all))
	for i := range 4 {
		assert.Contains(t, ids(all), fmt.Sprintf("conv_%d", i))
	}
}

func TestAListOfConversationsThatIsNotOneIsAnError(t *testing.T) {
	for answer, want := range map[string]string{
		`{}`: "it has no key conversations",
		`{"conversations":[],"has_more":true,"next_cursor":null}`:                       "it says that there is more, and not where",
		`{"conversations":[],"has_more":true,"next_cursor":"again"}`:                    "it says that there is more, and not where",
		`{"conversations":[{"conversation_id":"","start_time_unix_secs":1}]}`:           "has no conversation_id",
		`{"conversations":[{"conversation_id":"conv_1","status":"done"}]}`:              "no start_time_unix_secs",
		`{"conversations":[{"conversation_id":"conv_1","start_time_unix_secs":"1"}]`:    "cannot be understood",
		`{"conversations":[{"conversation_id":"conv_1 #\n","start_time_unix_secs":1}]}`: "characters that no id has",
		`{"conversations":[`: "cannot be understood",
	} {
		requests := 0
		c := newClient(t, roundTripper(func(r *http.Request) (*http.Response, error) {
			requests++
			return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader(answer)), Request: r}, nil
		}))
		_, err := c.Conversations(t.Context(), lastHour)
		require.ErrorContains(t, err, want, answer)
		assert.ErrorContains(t, err, "listing conversations: ")
		assert.LessOrEqual(t, requests, 2, answer)
	}
}

// Otherwise a call that does not begin would hide all others.
func TestACallThatHasNotBegunNeedsNoStart(t *testing.T) {
	const answer = `{"conversations":[{"conversation_id":"conv_2","status":"done","start_time_unix_secs":1},` +
		`{"conversation_id":"conv_1","status":"initiated","start_time_unix_secs":null}],"has_more":false}`
	c := newClient(t, roundTripper(func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader(answer)), Request: r}, nil
	}))
	all, err := c.Conversations(t.Context(), lastHour)
	require.NoError(t, err)
	require.Len(t, all, 2)
	assert.Equal(t, "conv_1", all[0].ID)
}

func TestAConversationComesByteForByte(t *testing.T) {
	const text = `{"conversation_id": "conv_1", "price":0.0, "cost": 9.18e-05, "a":1, "a":2, "big":12345678901234567890, "é": "\u00e9<>&"}`
	server := elevenlabstest.New(t)
	server.AddConversation(elevenlabstest.Conversation{ID: "conv_1", JSON: text, Start: noon.Unix()})
	c := newClient(t, server)
	got, err := c.Conversation(t.Context(), "conv_1")
	require.NoError(t, err)
	assert.Equal(t, text, string(got))

	_, err = c.Conversation(t.Context(), "conv_2")
	assert.True(t, IsNotFound(err), err)
	assert.ErrorContains(t, err, "reading conversation conv_2: ElevenLabs answered 404")
	_, err = c.Conversation(t.Context(), "../settings")
	assert.Error(t, err)
	_, err = c.Conversation(t.Context(), "..")
	assert.ErrorIs(t, err, errNotSent)
}

func TestAudioComesByteForByteAndWithinItsLimit(t *testing.T) {
	recording := bytes.Repeat([]byte{0xff, 0xfb, 0, '\n'}, 100_000)
	server := elevenlabstest.New(t)
	server.AddConversation(elevenlabstest.Conversation{ID: "conv_1", Start: noon.Unix(), Audio: recording})
	server.AddConversation(elevenlabstest.Conversation{ID: "conv_2", Start: noon.Unix()})
	c := newClient(t, server)
	audio, err := c.ConversationAudio(t.Context(), "conv_1", limits)
	require.NoError(t, err)
	defer audio.Close()
	got, err := io.ReadAll(audio.NewReader())
	require.NoError(t, err)
	assert.Equal(t, recording, got)

	_, err = c.ConversationAudio(t.Context(), "conv_2", limits)
	assert.True(t, IsNotFound(err), err)

	server.Requests()
	small := limits
	small.Size = 1000
	_, err = c.ConversationAudio(t.Context(), "conv_1", small)
	assert.ErrorIs(t, err, spool.ErrTooLarge)
	assert.Len(t, server.Requests(), 1, "another try would be as large")
}

// cutOff is a fault that promises more than it sends.
func cutOff(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Length", "1000")
	_, _ = io.WriteString(w, `{"conversations":[`)
}

func TestReadingConversationsGoesOnAfterWhatPasses(t *testing.T) {
	status := elevenlabstest.Answer
	list := func(ctx context.Context, c *Client) error {
		_, err := c.Conversations(ctx, lastHour)
		return err
	}
	get := func(ctx context.Context, c *Client) error {
		_, err := c.Conversation(ctx, "conv_0")
		return err
	}
	audio := func(ctx context.Context, c *Client) error {
		body, err := c.ConversationAudio(ctx, "conv_1", limits)
		if err == nil {
			body.Close()
		}
		return err
	}
	for _, test := range []struct {
		name   string
		do     func(context.Context, *Client) error
		faults []http.HandlerFunc
		tries  int
		least  time.Duration // that it takes
		want   string
	}{
		{"list, after 429", list, []http.HandlerFunc{status(429, "Retry-After", "20")}, 2, 20 * time.Second, ""},
		{"list, after a broken connection", list, []http.HandlerFunc{elevenlabstest.Drop, status(503)}, 3, 0, ""},
		{"list, not after 422", list, []http.HandlerFunc{status(422)}, 1, 0, "listing conversations: ElevenLabs answered 422"},
		{"list, not without end", list, slices.Repeat([]http.HandlerFunc{status(500)}, 9), maxTries, 0, "answered 500"},
		{"list, not as long as ElevenLabs likes", list, []http.HandlerFunc{status(429, "Retry-After", "86400")}, 1, 0, "asks to retry after 24h0m0s"},
		{"one, after 429", get, []http.HandlerFunc{status(429, "Retry-After", "3")}, 2, 3 * time.Second, ""},
		{"audio, after 429", audio, []http.HandlerFunc{status(429, "Retry-After", "3")}, 2, 3 * time.Second, ""},
		{"audio, after 500 and a broken connection", audio, []http.HandlerFunc{status(500), elevenlabstest.Drop}, 3, 0, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := withConversations(t, 1)
			server.AddConversation(elevenlabstest.Conversation{ID: "conv_1", Start: noon.Unix(), Audio: []byte("ID3")})
			server.Fault(test.faults...)
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				err := test.do(t.Context(), newClient(t, server))
				if test.want == "" {
					assert.NoError(t, err)
				} else {
					assert.ErrorContains(t, err, test.want)
				}
				assert.GreaterOrEqual(t, time.Since(began), test.least)
			})
			assert.Len(t, server.Requests(), test.tries)
		})
	}
}

// The test above has no network, and so no Content-Length that does not hold.
func TestAnAnswerThatIsCutOffIsReadAgain(t *testing.T) {
	server := withConversations(t, 1)
	recording := bytes.Repeat([]byte("mp3"), 10_000)
	server.AddConversation(elevenlabstest.Conversation{ID: "conv_1", Start: noon.Unix(), Audio: recording})
	c := newClient(t, to(t, server, func(*http.Request) {}))
	server.Fault(cutOff)
	all, err := c.Conversations(t.Context(), ConversationQuery{Since: noon.Add(-time.Hour), Until: noon})
	require.NoError(t, err)
	assert.Len(t, all, 2)

	server.Fault(cutOff)
	audio, err := c.ConversationAudio(t.Context(), "conv_1", limits)
	require.NoError(t, err)
	defer audio.Close()
	got, err := io.ReadAll(audio.NewReader())
	require.NoError(t, err)
	assert.Equal(t, recording, got, "and nothing of the first try")
}

func TestAKeyThatMayNotReadConversationsIsToldWhatItNeeds(t *testing.T) {
	server := withConversations(t, 1)
	server.Lacks("convai_read")
	_, err := newClient(t, server).Conversations(t.Context(), lastHour)
	assert.ErrorContains(t, err, "give the API key the permission convai_read")
}
