package inbox

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/fatih/color"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/inbox"
)

// events is the route of the admin endpoint for stored events.
const events = "/elevenlabs/inbox/events"

// event is a stored event, as the admin endpoint shows it.
type event struct {
	Seq            int64       `json:"seq"`
	Inbox          string      `json:"inbox"`
	EventID        string      `json:"event_id"`
	EventType      string      `json:"event_type"`
	ConversationID string      `json:"conversation_id"`
	AgentID        string      `json:"agent_id"`
	RequestID      string      `json:"request_id"`
	VoiceID        string      `json:"voice_id"`
	SignedAt       string      `json:"signed_at"`
	Secret         string      `json:"secret"`
	Test           bool        `json:"test"`
	State          inbox.State `json:"state"`
	Size           int64       `json:"size"`
	HasBody        bool        `json:"has_body"`
	Attempts       int         `json:"attempts"`
	Repeats        int         `json:"repeats"`
	ReceivedAt     time.Time   `json:"received_at"`
	NextAt         time.Time   `json:"next_at"`
	DoneAt         time.Time   `json:"done_at"`

	Timeline []attempt `json:"timeline"` // missing in a list
	Request  request   `json:"request"`  // likewise
}

// attempt is an attempt to deliver an event.
type attempt struct {
	Attempt        int       `json:"attempt"`
	EndedAt        time.Time `json:"ended_at"`
	Seconds        float64   `json:"seconds"`
	UpstreamStatus int       `json:"upstream_status"`
	Reason         string    `json:"reason"`
	Answer         string    `json:"answer"`
}

// request is the request by which an event came.
type request struct {
	Host     string      `json:"host"`
	URI      string      `json:"uri"`
	Header   http.Header `json:"header"`
	ClientIP string      `json:"client_ip"`
}

var stateColors = map[inbox.State]*color.Color{
	inbox.Waiting: cmdutil.Warning, inbox.Delivering: cmdutil.Warning, inbox.Delivered: cmdutil.Good, inbox.Dead: cmdutil.Bad,
}

// stateNames are the values of --state.
func stateNames() []string {
	names := make([]string, len(inbox.States))
	for i, state := range inbox.States {
		names[i] = string(state)
	}
	return names
}

// clock writes a time as the clock of this machine shows it.
func clock(env cmdutil.Env, t time.Time) string {
	return t.In(env.Now().Location()).Format("2006-01-02 15:04:05")
}

func size(bytes int64) string { return humanize.IBytes(uint64(max(bytes, 0))) }

// path returns the route of one event. The inbox is needed if several databases are open.
func path(seq int64, inbox, rest string) string {
	uri := events + "/" + strconv.FormatInt(seq, 10) + rest
	if inbox != "" {
		uri += "?inbox=" + url.QueryEscape(inbox)
	}
	return uri
}

// parseSeq reads the number of an event.
func parseSeq(text string) (int64, error) {
	seq, err := strconv.ParseInt(text, 10, 64)
	if err != nil || seq < 1 {
		return 0, fmt.Errorf("%q is no number of an event: the first column of `inbox list` has it", text)
	}
	return seq, nil
}

func parseSeqs(texts []string) ([]int64, error) {
	seqs := make([]int64, len(texts))
	for i, text := range texts {
		var err error
		if seqs[i], err = parseSeq(text); err != nil {
			return nil, err
		}
	}
	slices.Sort(seqs)
	return slices.Compact(seqs), nil
}

// plural writes a number of events.
func plural(n int) string {
	if n == 1 {
		return "1 event"
	}
	return fmt.Sprintf("%d events", n)
}
