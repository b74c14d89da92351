package facts

import "slices"

// EventType is a type of event that ElevenLabs documents, or names in its SDKs.
type EventType struct {
	// Name is the value of type in the body.
	Name string
	// Subscription is the name under which the event is subscribed to, or empty
	// if it is not known or has no name of its own.
	Subscription string
	// IDs are the names of the ids in data that such an event can have. Empty
	// means that the ids are not documented, and any may be there.
	IDs []string
	// Retried reports whether ElevenLabs can retry such an event.
	Retried bool
}

var (
	callIDs  = []string{"conversation_id", "agent_id"}
	voiceIDs = []string{"voice_id"}
)

// EventTypes are all types. Their ids are documented at
// https://elevenlabs.io/docs/eleven-agents/workflows/post-call-webhooks and the
// pages beside it. The set is open: an event of another type is forwarded too.
var EventTypes = []EventType{
	{Name: "post_call_transcription", Subscription: "transcript", IDs: callIDs, Retried: true},
	{Name: "post_call_transcription_otel", Subscription: "transcript", IDs: callIDs, Retried: true},
	{Name: "post_call_audio", Subscription: "audio", IDs: callIDs},
	{Name: "call_initiation_failure", Subscription: "call_initiation_failure", IDs: callIDs},
	{Name: "answering_machine_detection", Subscription: "answering_machine_detection"},
	{Name: "speech_to_text_transcription", Subscription: "speech_to_text", IDs: []string{"request_id"}},
	{Name: "voice_removal_notice", Subscription: "voice_library_removal_notice", IDs: voiceIDs},
	{Name: "voice_removal_notice_withdrawn", Subscription: "voice_library_removal_notice", IDs: voiceIDs},
	{Name: "voice_removed", Subscription: "voice_library_removal_notice", IDs: voiceIDs},
	{Name: "flows_generation", Subscription: "flows"},
	{Name: "flows_template_run", Subscription: "flows"},
	{Name: "dubbing_project_ready"},
	{Name: "dubbing_project_failed"},
	{Name: "dubbing_language_completed"},
	{Name: "dubbing_language_failed"},
}

// EventTypeNames are the names of EventTypes.
var EventTypeNames = func() []string {
	names := make([]string, len(EventTypes))
	for i, t := range EventTypes {
		names[i] = t.Name
	}
	return names
}()

// EventTypeByName returns the type with that name.
func EventTypeByName(name string) (EventType, bool) {
	for _, t := range EventTypes {
		if t.Name == name {
			return t, true
		}
	}
	return EventType{}, false
}

// eventTypesOf returns the names of the types that a subscription brings.
func eventTypesOf(subscription string) []string {
	var names []string
	for _, t := range EventTypes {
		if t.Subscription == subscription && subscription != "" {
			names = append(names, t.Name)
		}
	}
	return names
}

// EventTypesNamed returns the names of the types that a name stands for: that of a
// type, or that of a subscription. It returns none for another name, and for a
// subscription whose types are not known.
func EventTypesNamed(name string) []string {
	if _, ok := EventTypeByName(name); ok {
		return []string{name}
	}
	return eventTypesOf(name)
}

// EventTypesNamedBy returns the types that names stand for. A name that stands for no
// known type stays as it is, since ElevenLabs may add types.
func EventTypesNamedBy(names []string) []string {
	var types []string
	for _, name := range names {
		if known := EventTypesNamed(name); len(known) > 0 {
			types = append(types, known...)
		} else {
			types = append(types, name)
		}
	}
	return types
}

// EventNames are the names that stand for known types: those of types, then those of
// subscriptions.
var EventNames = func() []string {
	names := slices.Clone(EventTypeNames)
	for _, t := range EventTypes {
		if t.Subscription != "" && !slices.Contains(names, t.Subscription) {
			names = append(names, t.Subscription)
		}
	}
	return names
}()

// SubscriptionNamed returns the subscription that a name stands for: that of a
// subscription, or that of a type. It is empty for another name, and for a type that
// has no subscription.
func SubscriptionNamed(name string) string {
	if IsSubscription(name) {
		return name
	}
	t, _ := EventTypeByName(name)
	return t.Subscription
}

// IsSubscription reports whether events are subscribed to under that name.
func IsSubscription(name string) bool {
	return slices.Contains(PostCallSubscriptions, name) || slices.Contains(WorkspaceSubscriptions, name)
}

// The names under which events are subscribed to. Those after a call stand with
// the webhook's id in the settings of the workspace or of an agent; those of the
// workspace stand on the webhook itself. Source: the types WebhookEventType and
// WorkspaceWebhookEventType of the official JavaScript SDK, version 2.73.0.
var (
	PostCallSubscriptions = []string{
		"transcript", "audio", "call_initiation_failure", "answering_machine_detection",
		"unredacted_transcript", "unredacted_audio",
	}
	WorkspaceSubscriptions = []string{"speech_to_text", "voice_library_removal_notice", "agent_qa", "flows"}
)
