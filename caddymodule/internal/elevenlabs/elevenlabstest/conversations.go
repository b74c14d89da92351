package elevenlabstest

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
)

// Conversation is a conversation of the server.
type Conversation struct {
	ID, Agent string
	// Status is initiated, in-progress, processing, done or failed. Empty is done.
	Status string
	// Start is when it began, in Unix seconds.
	Start int64
	// Duration is in seconds.
	Duration int
	// Direction is inbound, outbound or empty.
	Direction string
	// Messages is their number.
	Messages int
	// Audio is the recording. Nil means none.
	Audio []byte
	// JSON is what the server says of the conversation itself. Empty is a small one.
	JSON string
}

// AddConversation adds a conversation.
func (s *Server) AddConversation(c Conversation) {
	if c.Status == "" {
		c.Status = "done"
	}
	if c.JSON == "" {
		c.JSON = fmt.Sprintf(`{"agent_id":%q,"conversation_id":%q,"status":%q,"user_id":null,"transcript":[],`+
			`"metadata":{"start_time_unix_secs":%d,"accepted_time_unix_secs":%d,"call_duration_secs":%d,"cost":0.0},`+
			`"has_audio":%t,"has_user_audio":false,"has_response_audio":false,"has_auxiliary_audio":false}`,
			c.Agent, c.ID, c.Status, c.Start, c.Start, c.Duration, c.Audio != nil)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conversations = append(s.conversations, c)
}

// SetPage makes the pages of conversations shorter than a client asks for.
func (s *Server) SetPage(length int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.page = length
}

// maxPage is the largest page_size, according to the comments in the official SDK.
const maxPage = 100

func (s *Server) listConversations(r *http.Request) answer {
	query := r.URL.Query()
	number := func(name string, otherwise int64) int64 {
		value, err := strconv.ParseInt(query.Get(name), 10, 64)
		if err != nil {
			return otherwise
		}
		return value
	}
	length := int(number("page_size", 30))
	if length < 1 || length > maxPage {
		return invalid([]problem{{[]any{"query", "page_size"}, fmt.Sprintf("Input should be less than or equal to %d", maxPage)}})
	}
	after, before := number("call_start_after_unix", 0), number("call_start_before_unix", 1<<62)
	agent, from := query.Get("agent_id"), number("cursor", 0)
	for _, name := range []string{"page_size", "call_start_after_unix", "call_start_before_unix", "agent_id", "cursor"} {
		query.Del(name)
	}
	if len(query) > 0 {
		return invalid([]problem{{[]any{"query"}, "Extra inputs are not permitted"}})
	}
	all := slices.DeleteFunc(slices.Clone(s.conversations), func(c Conversation) bool {
		return c.Start < after || c.Start > before || agent != "" && c.Agent != agent
	})
	slices.SortStableFunc(all, func(a, b Conversation) int { return int(b.Start - a.Start) })
	if s.page > 0 {
		length = min(length, s.page)
	}
	begin := min(int(from), len(all))
	end := min(begin+length, len(all))
	shown := make([]map[string]any, 0, length)
	for _, c := range all[begin:end] {
		var direction any
		if c.Direction != "" {
			direction = c.Direction
		}
		shown = append(shown, map[string]any{
			"agent_id": c.Agent, "agent_name": "Receptionist", "conversation_id": c.ID, "start_time_unix_secs": c.Start, "call_duration_secs": c.Duration,
			"message_count": c.Messages, "status": c.Status, "call_successful": "success", "direction": direction, "transcript_summary": nil,
		})
	}
	page := map[string]any{"conversations": shown, "next_cursor": nil, "has_more": end < len(all)}
	if end < len(all) {
		page["next_cursor"] = strconv.Itoa(end)
	}
	return success(page)
}

func (s *Server) findConversation(r *http.Request) (c Conversation, found bool) {
	i := slices.IndexFunc(s.conversations, func(c Conversation) bool { return c.ID == r.PathValue("id") })
	if i < 0 {
		return c, false
	}
	return s.conversations[i], true
}

func (s *Server) getConversation(r *http.Request) answer {
	c, found := s.findConversation(r)
	if !found {
		return notFound("conversation")
	}
	return success(raw{"application/json", []byte(c.JSON)})
}

func (s *Server) getAudio(r *http.Request) answer {
	c, found := s.findConversation(r)
	if !found || c.Audio == nil {
		return notFound("audio")
	}
	return success(raw{"audio/mpeg", c.Audio})
}
