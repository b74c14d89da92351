package caddymodule

import (
	"errors"
	"net/http"
	"reflect"
	"slices"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types/ref"
	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"
)

func init() {
	caddy.RegisterModule(MatchEvent{})
}

// MatchEvent matches events that the `elevenlabs_webhook` handler has verified and
// whose type is one of the given types. Without types, it matches any verified event.
//
// Types are those of the field `type` in the body, such as `post_call_audio`, and are
// compared exactly. The name of a subscription, such as `audio`, stands for all its
// types.
//
// The matcher is false for every request that is not verified:
//
//   - one that did not pass the handler,
//   - one that the handler rejected,
//   - one that only `report_only` forwarded.
//
// So `not` with this matcher is true for those. The matcher is also false in
// directives that run before the handler: `header`, `vars`, `redir` and others that
// stand before `method` in Caddy's order. Use it in the same `handle` or `route` block
// as the handler, on directives that come after it.
//
// CEL expressions have a function of the same name, with one or more types:
// `elevenlabs_event('post_call_audio', 'post_call_transcription')`. For any verified
// event write `{http.elevenlabs.verified} == 'true'` there.
type MatchEvent []string

// CaddyModule returns the Caddy module information.
func (MatchEvent) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.matchers.elevenlabs_event",
		New: func() caddy.Module { return new(MatchEvent) },
	}
}

// UnmarshalCaddyfile sets up the matcher from Caddyfile tokens. Syntax:
//
//	elevenlabs_event [<type>...]
//
// A type may also be the name of a subscription, such as audio.
func (m *MatchEvent) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	if *m == nil {
		*m = MatchEvent{} // no types must be [] in JSON: null would be no matcher at all
	}
	for d.Next() { // repeated lines are one matcher
		*m = append(*m, d.RemainingArgs()...)
		if d.NextBlock(0) {
			return d.Err("malformed elevenlabs_event matcher: blocks are not supported")
		}
	}
	return nil
}

// Provision checks the types, and replaces the names of subscriptions by their types.
func (m *MatchEvent) Provision(caddy.Context) error {
	if err := checkNames(*m); err != nil {
		return err
	}
	*m = facts.EventTypesNamedBy(*m)
	return nil
}

// MatchWithError reports whether the request is a verified event of one of the types.
// The error is always nil.
func (m MatchEvent) MatchWithError(r *http.Request) (bool, error) {
	e := eventOf(r.Context())
	return e != nil && e.Verified && (len(m) == 0 || slices.Contains(m, e.EventType)), nil
}

// CELLibrary produces options that expose this matcher for use in CEL
// expression matchers.
//
// Example:
//
//	expression elevenlabs_event('post_call_audio')
func (MatchEvent) CELLibrary(ctx caddy.Context) (cel.Library, error) {
	return caddyhttp.CELMatcherImpl(
		"elevenlabs_event",
		"elevenlabs_event_match_request_list",
		[]*cel.Type{cel.ListType(cel.StringType)},
		func(data ref.Val) (caddyhttp.RequestMatcherWithError, error) {
			native, err := data.ConvertToNative(reflect.TypeFor[[]string]())
			if err != nil {
				return nil, err
			}
			types, ok := native.([]string)
			if !ok {
				return nil, errors.New("elevenlabs_event takes event types as strings")
			}
			matcher := MatchEvent(types)
			err = matcher.Provision(ctx)
			return matcher, err
		},
	)
}

// Interface guards
var (
	_ caddy.Provisioner                 = (*MatchEvent)(nil)
	_ caddyhttp.RequestMatcherWithError = (*MatchEvent)(nil)
	_ caddyhttp.CELLibraryProducer      = (*MatchEvent)(nil)
	_ caddyfile.Unmarshaler             = (*MatchEvent)(nil)
)
