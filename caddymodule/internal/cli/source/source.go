// Package source reads stored events from a server: over Caddy's admin endpoint, or from
// the inspector, which has the same routes below its own URL. It changes nothing there.
package source

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/stored"
)

// Source is where stored events come from.
type Source struct {
	// Inbox is the name of the inbox. It is empty for all.
	Inbox string

	get func(cmd *cobra.Command, route string, header http.Header) (io.ReadCloser, error)
	// silence is how long a server may send nothing.
	silence time.Duration
}

// silence is three times the pause after which a stream shows that it lives.
const silence = 45 * time.Second

// OfEndpoint returns the events of the Caddy that has an admin endpoint.
func OfEndpoint(e *cmdutil.Endpoint, inbox string) *Source {
	return &Source{Inbox: inbox, silence: silence, get: func(cmd *cobra.Command, route string, header http.Header) (io.ReadCloser, error) {
		return e.Get(cmd, cmdutil.InboxesURI+route, header)
	}}
}

// OfAdmin returns the events of the Caddy whose admin endpoint is at an address.
func OfAdmin(env cmdutil.Env, address string) *Source {
	return &Source{silence: silence, get: func(cmd *cobra.Command, route string, header http.Header) (io.ReadCloser, error) {
		response, err := env.Admin(cmd.Context(), cmdutil.AdminRequest{Address: address, URI: cmdutil.InboxesURI + route, Header: header})
		if err != nil {
			return nil, err
		}
		return response.Body, nil
	}}
}

// ask asks for an answer of a media type.
func (s *Source) ask(cmd *cobra.Command, route, mediaType string, query url.Values, header http.Header) (io.ReadCloser, error) {
	header.Set("Accept", mediaType)
	if s.Inbox != "" {
		query.Set("inbox", s.Inbox)
	}
	if len(query) > 0 {
		route += "?" + query.Encode()
	}
	body, err := s.get(cmd, route, header)
	if err != nil {
		return nil, err
	}
	return &watched{ReadCloser: body, silence: s.silence}, nil
}

func (s *Source) askJSON(cmd *cobra.Command, route string, query url.Values, answer any) error {
	body, err := s.ask(cmd, route, "application/json", query, http.Header{})
	if err != nil {
		return err
	}
	defer body.Close()
	if err := json.NewDecoder(body).Decode(answer); err != nil {
		return fmt.Errorf("reading the server's answer: %w", err)
	}
	return nil
}

// Newest returns the newest events that a query selects, at most so many.
func (s *Source) Newest(cmd *cobra.Command, query url.Values, most int) (all []stored.Event, err error) {
	its := url.Values{"limit": {strconv.Itoa(most)}}
	maps.Copy(its, query)
	return all, s.askJSON(cmd, "/events", its, &all)
}

// Inboxes returns the state of each inbox.
func (s *Source) Inboxes(cmd *cobra.Command) (all []stored.Inbox, err error) {
	return all, s.askJSON(cmd, "", url.Values{}, &all)
}

// longestPage is how many events a server lists at most.
const longestPage = 1000

// Each calls a function for each event of an inbox that a query selects, newest first.
func (s *Source) Each(cmd *cobra.Command, inbox string, query url.Values, look func(stored.Event)) error {
	from := *s
	from.Inbox = inbox // each database counts its events by itself
	query.Set("limit", strconv.Itoa(longestPage))
	for {
		var page []stored.Event
		if err := from.askJSON(cmd, "/events", query, &page); err != nil {
			return err
		}
		for _, e := range page {
			look(e)
		}
		if len(page) < longestPage {
			return nil
		}
		query.Set("before", strconv.FormatInt(page[len(page)-1].Seq, 10))
	}
}

// Event returns an event with its request.
func (s *Source) Event(cmd *cobra.Command, seq int64) (d stored.Detail, err error) {
	return d, s.askJSON(cmd, route(seq), url.Values{}, &d)
}

// Body returns the body of an event.
func (s *Source) Body(cmd *cobra.Command, seq int64) (io.ReadCloser, error) {
	return s.ask(cmd, route(seq)+"/body", "application/octet-stream", url.Values{}, http.Header{})
}

func route(seq int64) string { return "/events/" + strconv.FormatInt(seq, 10) }

// watched is an answer. It ends with an error if nothing comes for too long, as after a
// laptop slept, or in a tunnel that has broken unnoticed.
type watched struct {
	io.ReadCloser
	silence time.Duration
}

// Read counts the time only while the reader waits.
func (w *watched) Read(p []byte) (int, error) {
	timer := time.AfterFunc(w.silence, func() { _ = w.Close() })
	n, err := w.ReadCloser.Read(p)
	if !timer.Stop() && n == 0 && err != io.EOF {
		err = fmt.Errorf("the server has sent nothing for %s", w.silence)
	}
	return n, err
}
