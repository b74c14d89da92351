package elevenlabs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/spool"
)

const (
	conversationsPath = "/v1/convai/conversations"
	// maxPage is the largest page that ElevenLabs gives.
	maxPage = 100
	// permissionConversations is the permission that reading conversations probably needs.
	permissionConversations = "convai_read"
)

// The states of a conversation that has ended. All others are of one that may yet change.
const (
	ConversationDone   = "done"
	ConversationFailed = "failed"
)

// Ended reports whether a conversation of a state has ended.
func Ended(status string) bool { return status == ConversationDone || status == ConversationFailed }

// Conversation is a conversation as a list has it.
type Conversation struct {
	ID       string
	AgentID  string
	Status   string
	Start    time.Time
	Duration time.Duration
	// Messages is the number of messages.
	Messages int
	// Direction is inbound or outbound for a call by telephone, and otherwise empty.
	Direction string
}

// End returns when the conversation ended, if it has.
func (c Conversation) End() time.Time { return c.Start.Add(c.Duration) }

// UnmarshalJSON reads a conversation of a list.
func (c *Conversation) UnmarshalJSON(data []byte) error {
	var answer struct {
		ID        string  `json:"conversation_id"`
		AgentID   string  `json:"agent_id"`
		Status    string  `json:"status"`
		Start     float64 `json:"start_time_unix_secs"`
		Duration  float64 `json:"call_duration_secs"`
		Messages  int     `json:"message_count"`
		Direction string  `json:"direction"`
	}
	if err := json.Unmarshal(data, &answer); err != nil {
		return err
	}
	switch {
	case answer.ID == "" || Ended(answer.Status) && answer.Start <= 0:
		return errors.New("a conversation has no conversation_id, or no start_time_unix_secs")
	case strings.ContainsFunc(answer.ID, func(r rune) bool { return r <= ' ' || r == '#' }): // a file has one a line
		return errors.New("a conversation_id has blanks, or other characters that no id has")
	}
	*c = Conversation{
		ID: answer.ID, AgentID: answer.AgentID, Status: answer.Status, Start: time.Unix(int64(answer.Start), 0),
		Duration: time.Duration(max(answer.Duration, 0)) * time.Second, Messages: answer.Messages, Direction: answer.Direction,
	}
	return nil
}

// ConversationQuery selects conversations by when they began.
type ConversationQuery struct {
	Since, Until time.Time
	// Agent is the id of an agent, or empty for all.
	Agent string
}

// Conversations returns all conversations that a query selects, in the order of their
// start. A conversation that began while the list was read may be there or not.
func (c *Client) Conversations(ctx context.Context, query ConversationQuery) ([]Conversation, error) {
	const name = "listing conversations"
	var all []Conversation
	known := map[string]bool{}
	cursors := map[string]bool{}
	for cursor, more := "", true; more; {
		var page struct {
			Conversations []Conversation `json:"conversations"`
			NextCursor    string         `json:"next_cursor"`
			HasMore       bool           `json:"has_more"`
		}
		err := c.do(ctx, operation{
			name: name, permission: permissionConversations, method: http.MethodGet, path: conversationsPath + query.page(cursor),
		}, &page)
		switch {
		case err != nil:
			return nil, err
		case page.Conversations == nil:
			return nil, fmt.Errorf("%s: %w: it has no key conversations", name, errAnswer)
		case page.HasMore && (page.NextCursor == "" || cursors[page.NextCursor]):
			return nil, fmt.Errorf("%s: %w: it says that there is more, and not where", name, errAnswer)
		}
		cursor, more = page.NextCursor, page.HasMore
		cursors[cursor] = true
		for _, conversation := range page.Conversations {
			if !known[conversation.ID] { // new ones can move others to the next page
				known[conversation.ID] = true
				all = append(all, conversation)
			}
		}
	}
	slices.SortStableFunc(all, func(a, b Conversation) int { return a.Start.Compare(b.Start) })
	return all, nil
}

// page returns the query of a page, in the form and the order of the official SDK.
func (q ConversationQuery) page(cursor string) string {
	query := new(strings.Builder)
	add := func(name, value string) {
		if value != "" {
			fmt.Fprintf(query, "&%s=%s", name, escape(value))
		}
	}
	add("cursor", cursor)
	add("agent_id", q.Agent)
	add("call_start_before_unix", strconv.FormatInt(q.Until.Unix(), 10))
	add("call_start_after_unix", strconv.FormatInt(q.Since.Unix(), 10))
	add("page_size", strconv.Itoa(maxPage))
	return "?" + query.String()[1:]
}

// escape escapes a value as the official SDK does, for a path or a query.
func escape(value string) string { return strings.ReplaceAll(url.QueryEscape(value), "+", "%20") }

// Conversation returns a conversation in JSON, byte for byte as ElevenLabs sent it.
func (c *Client) Conversation(ctx context.Context, id string) (json.RawMessage, error) {
	var text json.RawMessage
	err := c.do(ctx, operation{
		name: "reading conversation " + id, permission: permissionConversations, method: http.MethodGet, path: conversationPath(id),
	}, &text)
	return text, err
}

// ConversationAudio returns the recording of a conversation. The caller must close it.
func (c *Client) ConversationAudio(ctx context.Context, id string, limits spool.Limits) (*spool.Body, error) {
	var audio *spool.Body
	err := c.do(ctx, operation{
		name: "reading the audio of conversation " + id, permission: permissionConversations,
		method: http.MethodGet, path: conversationPath(id) + "/audio",
		read: func(r io.Reader) (err error) {
			audio, err = spool.Read(r, limits, func([]byte) {})
			return err
		},
	}, nil)
	return audio, err
}

func conversationPath(id string) string { return conversationsPath + "/" + escape(id) }

// IsNotFound reports whether an error says that ElevenLabs has no such thing, or no
// longer.
func IsNotFound(err error) bool {
	answered, ok := errors.AsType[*Error](err)
	return ok && answered.Status == http.StatusNotFound
}
