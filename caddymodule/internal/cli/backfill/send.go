package backfill

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/spf13/cobra"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/delivery"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/elevenlabs"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/sample"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/spool"
)

// sender sends what is missing, one event after another.
type sender struct {
	*options
	cmd    *cobra.Command
	client *delivery.Client
	ids    *idsFile // nil with an inbox
	report *report

	failures int // in a row
	// hopeless reports whether another run would end as this one.
	hopeless bool
}

// maxFailures is after how many failures in a row the command gives up: what all events
// fail by, such as a wrong secret, must not cost hours.
const maxFailures = 5

func (s *sender) run(found Comparison) error {
	doing := "sending"
	if s.dryRun {
		doing = "looking"
	}
	s.report = newReport(s.cmd, s.env.Now().Location(), found, doing)
	err := s.all(found.Missing)
	if printed := s.report.end(); err == nil {
		err = printed
	}
	r := s.report.summary
	left := r.Events - r.Sent - r.Skipped - r.Failed
	switch {
	case err == nil && r.Failed > 0:
		return fmt.Errorf("%w: %d of %d events not sent", cmdutil.ErrCheckFailed, r.Failed, r.Events)
	case err == nil || s.dryRun || left == 0:
		return err
	case s.hopeless:
		return fmt.Errorf("%w. %d of %d events were sent", err, r.Sent, r.Events)
	}
	return fmt.Errorf("%w; %d of %d events sent, %d left: run the command again to send the rest", err, r.Sent, r.Events, left+r.Failed)
}

// all deals with each conversation in turn.
func (s *sender) all(conversations []Missing) error {
	for _, m := range conversations {
		if s.cmd.Context().Err() != nil {
			return cmdutil.ErrInterrupted
		}
		err := s.conversation(m)
		if err != nil && s.cmd.Context().Err() != nil && !errors.Is(err, cmdutil.ErrCheckFailed) {
			return cmdutil.ErrInterrupted
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// conversation sends the missing events of a conversation.
func (s *sender) conversation(m Missing) error {
	if s.dryRun && !slices.Contains(m.Types, audio) { // the list says enough
		return s.report.add(newLine(m, transcript, missing))
	}
	call, err := s.read(m)
	if err != nil {
		return s.unread(m, m.Types, err)
	}
	for _, eventType := range m.Types {
		switch {
		case call == nil:
			err = s.skip(m, eventType, "ElevenLabs no longer has the conversation")
		case !elevenlabs.Ended(call.Status):
			err = s.skip(m, eventType, "ElevenLabs processes the conversation again; run the command later")
		case eventType == audio && call.HasAudio != nil && !*call.HasAudio:
			s.report.withoutRecording(m)
		case s.dryRun:
			err = s.report.add(newLine(m, eventType, missing))
		case eventType == audio:
			err = s.sendAudio(m, call)
		default:
			err = s.send(m, call.transcript())
		}
		if err != nil {
			return err
		}
		if s.cmd.Context().Err() != nil {
			return cmdutil.ErrInterrupted
		}
	}
	return nil
}

// read reads a conversation from the API. It returns nil if ElevenLabs has it no longer.
func (s *sender) read(m Missing) (*call, error) {
	text, err := s.workspace.Client.Conversation(s.cmd.Context(), m.ID)
	if elevenlabs.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return newCall(m.ID, text)
}

// unread notes that the API did not give what events are made of. The calls behind this
// one must not be lost with it, so the command goes on, except if all would fail alike.
func (s *sender) unread(m Missing, eventTypes []string, err error) error {
	if s.cmd.Context().Err() != nil || elevenlabs.ConcernsAll(err) {
		return err
	}
	for _, eventType := range eventTypes {
		l := newLine(m, eventType, failed)
		l.Problem = cmdutil.Printable(err.Error())
		if err := s.report.add(l); err != nil {
			return err
		}
	}
	return s.failure(errors.Is(err, spool.ErrTooLarge))
}

// failure counts one, and returns an error after too many in a row. An event that is too
// large says nothing of the next one: counted, some long calls in a row would keep those
// behind them away in each run.
func (s *sender) failure(tooLarge bool) error {
	if tooLarge {
		return nil
	}
	if s.failures++; s.failures == maxFailures {
		return fmt.Errorf("%w: %d failures in a row", cmdutil.ErrCheckFailed, maxFailures)
	}
	return nil
}

func (s *sender) skip(m Missing, eventType, why string) error {
	l := newLine(m, eventType, skipped)
	l.Problem = why
	return s.report.add(l)
}

// recordingLimits are of a recording on its way. A larger one than the memory goes to a
// temporary file, since the event's signature comes before its body.
var recordingLimits = spool.Limits{Size: 1 << 30, Memory: 1 << 20, TotalMemory: 16 << 20, Total: 2 << 30, Bodies: 4}

// sendAudio sends the event of a recording.
func (s *sender) sendAudio(m Missing, c *call) error {
	recording, err := s.workspace.Client.ConversationAudio(s.cmd.Context(), m.ID, recordingLimits)
	if elevenlabs.IsNotFound(err) {
		s.report.withoutRecording(m)
		return nil
	}
	if err != nil {
		return s.unread(m, []string{audio}, err)
	}
	defer recording.Close()
	if recording.Size() == 0 {
		s.report.withoutRecording(m)
		return nil
	}
	event, err := c.audio(recording)
	if err != nil {
		return err
	}
	return s.send(m, event)
}

// send sends an event. An interrupt does not break it off.
func (s *sender) send(m Missing, event sample.Event) error {
	result := s.client.Deliver(context.WithoutCancel(s.cmd.Context()), event, delivery.Genuine, func(int) {})
	l := newLine(m, event.Type, sent)
	l.take(result)
	var stop error
	switch {
	case !result.OK:
		l.Result = failed
	case !result.Backfill:
		stop = fmt.Errorf("%w: the server took the event and did not believe that it is a backfill, so your application takes it for one of ElevenLabs. Update Caddy there, and let no proxy in front of it delete the header %s", cmdutil.ErrCheckFailed, facts.HeaderBackfill)
	case result.Ignored: // others may be taken
		l.Result, l.Problem = skipped, "the handler takes no such event, by its events or its destinations"
	case s.ids == nil && result.Inbox == "":
		stop = fmt.Errorf("%w: the server answered 200, and has not stored the event, so each run would send it again. The URL must be that of a handler with the inbox. Without an inbox, use --ids", cmdutil.ErrCheckFailed)
	}
	if stop != nil {
		l.Problem, s.hopeless = "sent, and then stopped", true
	}
	if err := s.report.add(l); err != nil {
		return err
	}
	if l.Result == sent && s.ids != nil {
		if err := s.ids.add(m.ID, event.Type); err != nil {
			return err
		}
	}
	if l.Result != failed {
		s.failures = 0
		return stop
	}
	return s.failure(l.Status == http.StatusRequestEntityTooLarge)
}
