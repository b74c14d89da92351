package inbox

import (
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
)

// selection are the flags by which several commands select events.
type selection struct {
	env                  cmdutil.Env
	inbox, destination   string
	conversation, agent  string
	sinceText, untilText string
	types                []string
	since, until         time.Time
}

func selectionFlags(cmd *cobra.Command, env cmdutil.Env) *selection {
	s := &selection{env: env}
	flags := cmd.Flags()
	inboxFlag(cmd, &s.inbox)
	destinationFlag(cmd, &s.destination)
	cmdutil.TypeFlag(cmd)
	flags.StringVar(&s.conversation, "conversation", "", "only events of the conversation with this `id`")
	flags.StringVar(&s.agent, "agent", "", "only events of the agent with this `id`")
	flags.StringVar(&s.sinceText, "since", "", "only events that came since this `time`: RFC 3339, or a duration before now such as 2h or 3d")
	flags.StringVar(&s.untilText, "until", "", "only events that came before this `time`, likewise")
	return s
}

func inboxFlag(cmd *cobra.Command, name *string) {
	cmd.Flags().StringVar(name, "inbox", "", "the `name` of the inbox (default: all)")
}

func destinationFlag(cmd *cobra.Command, name *string) {
	cmd.Flags().StringVar(name, "destination", "", "only events for the destination with this `name`")
}

// selected reports whether one of the flags is given.
func selected(cmd *cobra.Command) bool {
	for _, name := range []string{"destination", "type", "conversation", "agent", "since", "until"} {
		if cmd.Flags().Changed(name) {
			return true
		}
	}
	return false
}

// read reads and checks the flags.
func (s *selection) read(cmd *cobra.Command) (err error) {
	if err := cmdutil.RejectEmpty(cmd, "inbox", "destination", "conversation", "agent", "since", "until"); err != nil {
		return err
	}
	if s.types, err = cmdutil.EventTypes(cmd); err != nil {
		return err
	}
	if s.since, err = cmdutil.ParseTime(s.env.Now(), "since", s.sinceText); err != nil {
		return err
	}
	if s.until, err = cmdutil.ParseTime(s.env.Now(), "until", s.untilText); err != nil {
		return err
	}
	if !s.since.IsZero() && !s.until.IsZero() && !s.since.Before(s.until) {
		return errors.New("--since must be before --until")
	}
	return nil
}
