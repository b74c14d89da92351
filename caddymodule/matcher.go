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
)

func init() {
	caddy.RegisterModule(MatchEvent{})
}

// MatchEvent matches requests that the `elevenlabs_webhook` handler has
// verified to be an event of one of the given types; without types, any
// verified event. Types are those of the payload's `type` field, such as
// `post_call_transcription`, and are compared exactly.
//
// It is false for anything unverified: a request that did not pass the handler,
// or was refused, or let through by `report_only`. It follows that `not` with
// this matcher is true for those, and that the matcher knows nothing in
// directives that run before the handler (`header`, `vars`, `redir` and others
// that stand before `method` in Caddy's order). Use it in the same `handle` or
// `route` block as the handler, on directives that come after it.
//
// In CEL expressions there is a function of the same name, with one type or
// more: `elevenlabs_event('post_call_audio', 'post_call_transcription')`. For
// any verified event write `{http.elevenlabs.verified} == 'true'` there.
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
func (m *MatchEvent) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	if *m == nil {
		*m = MatchEvent{} // no types is [] in JSON: null would be no matcher at all
	}
	for d.Next() { // repeated lines are one matcher
		*m = append(*m, d.RemainingArgs()...)
		if d.NextBlock(0) {
			return d.Err("malformed elevenlabs_event matcher: blocks are not supported")
		}
	}
	return nil
}

// MatchWithError reports whether the request is a verified event of one of the
// types. The error is always nil.
func (m MatchEvent) MatchWithError(r *http.Request) (bool, error) {
	e := eventOf(r.Context())
	return e != nil && e.verified && (len(m) == 0 || slices.Contains(m, e.envelope.Type)), nil
}

// CELLibrary produces options that expose this matcher for use in CEL
// expression matchers.
//
// Example:
//
//	expression elevenlabs_event('post_call_audio')
func (MatchEvent) CELLibrary(caddy.Context) (cel.Library, error) {
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
			return MatchEvent(types), nil
		},
	)
}

// Interface guards
var (
	_ caddyhttp.RequestMatcherWithError = (*MatchEvent)(nil)
	_ caddyhttp.CELLibraryProducer      = (*MatchEvent)(nil)
	_ caddyfile.Unmarshaler             = (*MatchEvent)(nil)
)
