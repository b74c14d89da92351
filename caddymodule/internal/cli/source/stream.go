package source

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/stored"
)

// Stream is a stream of events as they come.
type Stream struct {
	body  io.ReadCloser
	lines *bufio.Scanner
}

// longestLine is far more than an event without its body takes.
const longestLine = 1 << 20

// Follow begins a stream of the events that a query selects, after a position that an
// earlier stream told. An empty position is now, or with since in the query, then.
func (s *Source) Follow(cmd *cobra.Command, query url.Values, position string) (*Stream, error) {
	header := http.Header{}
	if position != "" {
		header.Set("Last-Event-ID", position)
	}
	body, err := s.ask(cmd, "/events", "text/event-stream", query, header)
	if err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, longestLine)
	return &Stream{body, lines}, nil
}

// Message is an event, or only a position if Event is nil.
type Message struct {
	// Position is where another stream goes on without a gap. It is before the event.
	Position string
	Event    *stored.Event
}

// Next returns the next message. The error of a stream that ended is io.EOF.
func (s *Stream) Next() (m Message, err error) {
	for s.lines.Scan() {
		field, value, _ := strings.Cut(s.lines.Text(), ": ")
		switch {
		case field == "id":
			if _, err := strconv.ParseInt(value, 10, 64); err != nil {
				return m, errors.New("the server sent a stream without positions")
			}
			m.Position = value
		case field == "data":
			m.Event = new(stored.Event)
			if err := json.Unmarshal([]byte(value), m.Event); err != nil {
				return m, fmt.Errorf("reading the server's stream: %w", err)
			}
		case field == "" && m.Position != "":
			return m, nil
		}
	}
	if err := s.lines.Err(); err != nil {
		return m, err
	}
	return m, io.EOF
}

// Close ends the stream.
func (s *Stream) Close() { _ = s.body.Close() }
