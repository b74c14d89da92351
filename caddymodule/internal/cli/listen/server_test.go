package listen

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/inbox"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/stored"
)

var noon = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

// server has an inbox, and the routes below a base as the admin endpoint and the
// inspector have them.
type server struct {
	t    *testing.T
	base string

	mu     sync.Mutex
	events []stored.Detail // oldest first
	bodies map[int64][]byte
	// settled is the position of streams. Events after it come again in another stream.
	settled int64
	// cut ends each stream after so many events that no stream had; 0 means never.
	cut int
	had map[int64]bool
	// tear ends the bodies of an event early, so many times.
	tear map[int64]int
	// change is closed, and made anew, when there is something to send.
	change chan struct{}
	asked  []string
	last   []string // Last-Event-ID of each stream
}

func newServer(t *testing.T, base string) *server {
	return &server{t: t, base: base, bodies: map[int64][]byte{}, tear: map[int64]int{}, had: map[int64]bool{}, change: make(chan struct{})}
}

// store stores an event under a number.
func (s *server) store(seq int64, body string, header http.Header) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sum := sha256.Sum256([]byte(body))
	if header == nil {
		header = http.Header{"Content-Type": {"application/json"}}
	}
	s.events = append(s.events, stored.Detail{
		Event: stored.Event{
			Seq: seq, Inbox: "default", EventID: hex.EncodeToString(sum[:]), EventType: "post_call_transcription", ConversationID: "conv_1",
			Secret: "prod", Fields: stored.Fields{SignedAt: "1795953480"}, State: inbox.Waiting,
			Size: int64(len(body)), HasBody: true, ReceivedAt: noon.Add(time.Duration(seq) * time.Second),
		},
		Request: stored.Request{Host: "hooks.example.com", URI: "/hook", Header: header, RemoteAddr: "34.67.146.145:4711"},
	})
	s.bodies[seq] = []byte(body)
	s.notify()
}

// selects reports whether a request is for an event: for one destination, or once for all.
func (s *server) selects(r *http.Request, e stored.Event) bool {
	query := r.URL.Query()
	if name := query.Get("destination"); name != "" {
		return e.Destination == name
	}
	return query.Get("once") == "" || e.Seq == s.events[slices.IndexFunc(s.events, func(first stored.Detail) bool { return first.EventID == e.EventID })].Seq
}

func (s *server) notify() {
	close(s.change)
	s.change = make(chan struct{})
}

// settle moves the position.
func (s *server) settle(position int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settled = position
	s.notify()
}

// replace puts another database in place of this one.
func (s *server) replace() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events, s.bodies, s.settled = nil, map[int64][]byte{}, 0
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	route, found := strings.CutPrefix(r.URL.Path, s.base+"/events")
	if !assert.True(s.t, found, r.URL.Path) || !assert.Equal(s.t, http.MethodGet, r.Method, "listen only reads") {
		return
	}
	s.mu.Lock()
	s.asked = append(s.asked, r.URL.RequestURI())
	s.mu.Unlock()
	if r.Header.Get("Accept") == "text/event-stream" {
		s.stream(w, r)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	if route == "" {
		newest := []stored.Event{}
		for _, e := range slices.Backward(s.events) {
			if s.selects(r, e.Event) {
				newest = append(newest, e.Event)
			}
		}
		limit, _ := strconv.Atoi(r.URL.Query().Get("limit"))
		_ = json.NewEncoder(w).Encode(newest[:min(limit, len(newest))])
		return
	}
	number, rest, _ := strings.Cut(strings.TrimPrefix(route, "/"), "/")
	seq, _ := strconv.ParseInt(number, 10, 64)
	i := slices.IndexFunc(s.events, func(e stored.Detail) bool { return e.Seq == seq })
	switch {
	case i < 0:
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprintf(w, `{"error":"there is no event %d"}`, seq)
	case rest == "":
		_ = json.NewEncoder(w).Encode(s.events[i])
	default:
		w.Header().Set("Content-Type", "application/octet-stream")
		body := s.bodies[seq]
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		if s.tear[seq] > 0 {
			s.tear[seq]--
			_, _ = w.Write(body[:len(body)/2])
			panic(http.ErrAbortHandler)
		}
		_, _ = w.Write(body)
	}
}

// stream sends what comes after a position, as the admin endpoint does.
func (s *server) stream(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	last := r.Header.Get("Last-Event-ID")
	s.last = append(s.last, last)
	position, err := strconv.ParseInt(last, 10, 64)
	sent := map[int64]bool{}
	since, _ := time.Parse(time.RFC3339, r.URL.Query().Get("since"))
	for _, e := range s.events {
		sent[e.Seq] = !s.selects(r, e.Event) || err != nil && since.IsZero() || e.Seq <= position || e.ReceivedAt.Before(since)
	}
	s.mu.Unlock()
	w.Header().Set("Content-Type", "text/event-stream")
	for n := 0; ; {
		var text bytes.Buffer
		s.mu.Lock()
		for _, e := range s.events {
			if sent[e.Seq] || !s.selects(r, e.Event) || s.cut > 0 && n == s.cut {
				continue
			}
			data, _ := json.Marshal(e.Event)
			fmt.Fprintf(&text, "id: %d\ndata: %s\n\n", position, data)
			sent[e.Seq] = true
			if !s.had[e.Seq] {
				s.had[e.Seq] = true
				n++
			}
		}
		ends := s.cut > 0 && n == s.cut
		if !ends {
			position = max(position, s.settled)
			fmt.Fprintf(&text, "id: %d\n\n", position)
		}
		change := s.change
		s.mu.Unlock()
		_, _ = w.Write(text.Bytes())
		_ = http.NewResponseController(w).Flush()
		if ends {
			return
		}
		select {
		case <-change:
		case <-r.Context().Done():
			return
		}
	}
}
