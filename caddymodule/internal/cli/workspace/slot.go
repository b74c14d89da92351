package workspace

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/elevenlabs"
)

// Slot is the place for the one webhook that gets the events after calls: the
// workspace's, or an agent's own, which wins over the workspace's.
type Slot struct {
	// Agent is empty for the workspace's slot.
	Agent string
}

// Slots returns the workspace's slot, if that is wanted, and those of agents.
func Slots(workspace bool, agents []string) []Slot {
	var slots []Slot
	if workspace {
		slots = append(slots, Slot{})
	}
	for _, agent := range agents {
		slots = append(slots, Slot{agent})
	}
	return slots
}

// String names the events of the slot.
func (s Slot) String() string {
	if s.Agent == "" {
		return "events after calls in the workspace"
	}
	return "events after calls of agent " + s.Agent
}

// Flags are the flags with which attach and detach name the slot.
func (s Slot) Flags() []string {
	if s.Agent == "" {
		return nil
	}
	return []string{"--agent", s.Agent}
}

// Read reads the settings of a slot.
func (w *Workspace) Read(cmd *cobra.Command, s Slot) (settings elevenlabs.PostCall, err error) {
	err = cmdutil.Wait(cmd, "reading settings", func(ctx context.Context) error {
		if s.Agent == "" {
			settings, err = w.Client.PostCall(ctx)
		} else {
			settings, err = w.Client.AgentPostCall(ctx, s.Agent)
		}
		return err
	})
	return settings, err
}

// Write writes the settings of a slot.
func (w *Workspace) Write(ctx context.Context, s Slot, settings elevenlabs.PostCall) error {
	if s.Agent == "" {
		return w.Client.UpdatePostCall(ctx, settings)
	}
	return w.Client.UpdateAgentPostCall(ctx, s.Agent, settings)
}
