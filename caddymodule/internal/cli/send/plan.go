package send

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/delivery"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/sample"
)

// planned is a delivery to make.
type planned struct {
	// event makes the event. A sample is a new one each time.
	event   func() (sample.Event, error)
	forgery delivery.Forgery
}

// plan lists the deliveries to make, --count times.
func (o *sendOptions) plan(cmd *cobra.Command) ([]planned, error) {
	forgery, ok := delivery.ForgeryByName(o.forge)
	if !ok {
		names := make([]string, 0, len(delivery.Forgeries))
		for _, f := range delivery.Forgeries {
			names = append(names, f.Name)
		}
		return nil, fmt.Errorf("there is no forgery %q%s: --help lists them", o.forge, cmdutil.DidYouMean(o.forge, names))
	}
	if o.file != "" {
		if err := checkSampleFlags(cmd, "the body of --file", nil); err != nil {
			return nil, err
		}
		body, err := cmdutil.ReadBody(cmd, o.file)
		if err != nil {
			return nil, err
		}
		return []planned{same(sample.FromBody(sample.TypeOf(body), body), forgery)}, nil
	}
	if o.last {
		if err := checkSampleFlags(cmd, "the event of --last", nil); err != nil {
			return nil, err
		}
		event, err := o.lastEvent(cmd)
		if err != nil {
			return nil, err
		}
		return []planned{same(event, forgery)}, nil
	}
	assignments, err := o.assignments()
	if err != nil {
		return nil, err
	}
	if !o.all {
		eventType, err := typeNamed(o.event)
		if err != nil {
			return nil, err
		}
		if err := checkSampleFlags(cmd, eventType, []string{eventType}); err != nil {
			return nil, err
		}
		return []planned{{o.sample(eventType, assignments), forgery}}, nil
	}
	var plan []planned
	for _, eventType := range facts.EventTypeNames {
		plan = append(plan, planned{o.sample(eventType, assignments), delivery.Genuine})
	}
	for _, f := range delivery.Forgeries {
		plan = append(plan, planned{o.sample(facts.EventTypeNames[0], assignments), f})
	}
	return plan, nil
}

// same plans an event that is the same each time.
func same(event sample.Event, forgery delivery.Forgery) planned {
	return planned{func() (sample.Event, error) { return event, nil }, forgery}
}

// typeNamed returns the type that a name stands for: that of a type, or that of a
// subscription.
func typeNamed(name string) (string, error) {
	types := facts.EventTypesNamed(name)
	switch {
	case len(types) > 0:
		return types[0], nil
	case facts.IsSubscription(name):
		return "", fmt.Errorf("there is no sample: ElevenLabs does not document what it sends for %s", name)
	}
	return "", fmt.Errorf("there is no event %q%s: --help lists them", name, cmdutil.DidYouMean(name, facts.EventNames))
}

// sampleFlags are the flags that change samples.
var sampleFlags = []struct {
	name    string
	changes func(eventType string) bool // whether the flag changes samples of a type
	example string                      // such a type
}{
	{"turns", sample.HasTurns, "post_call_transcription"},
	{"minutes", sample.HasAudio, "post_call_audio"},
	{"failed", sample.OfCall, "post_call_transcription"},
	{"set", func(string) bool { return true }, "post_call_transcription"},
}

// checkSampleFlags returns an error if a flag is given that changes nothing in what
// is sent, which has only samples of some types.
func checkSampleFlags(cmd *cobra.Command, what string, types []string) error {
	for _, flag := range sampleFlags {
		if cmd.Flags().Changed(flag.name) && !slices.ContainsFunc(types, flag.changes) {
			return fmt.Errorf("--%s changes nothing in %s: it is for --event %s, or --all", flag.name, what, flag.example)
		}
	}
	return nil
}

// assignments reads --set.
func (o *sendOptions) assignments() ([]sample.Assignment, error) {
	assignments := make([]sample.Assignment, len(o.set))
	for i, text := range o.set {
		var err error
		if assignments[i], err = sample.ParseAssignment(text); err != nil {
			return nil, fmt.Errorf("--set: %w", err)
		}
	}
	return assignments, nil
}

// sample returns a function that makes events of a type.
func (o *sendOptions) sample(eventType string, assignments []sample.Assignment) func() (sample.Event, error) {
	return func() (sample.Event, error) {
		event, err := sample.New(eventType, sample.Options{
			Now: o.env.Now(), Turns: o.turns, Minutes: o.minutes, Failed: o.failed, Set: assignments,
		})
		if err != nil {
			err = fmt.Errorf("--set: %w", err) // every type has a sample
		}
		return event, err
	}
}
