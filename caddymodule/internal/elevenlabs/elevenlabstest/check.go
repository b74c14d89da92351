package elevenlabstest

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"
)

// check returns the problems of a value in a request's body. at is the place of the
// value.
type check func(value any, at ...any) []problem

// member is a member of an object.
type member struct {
	check
	required bool
}

const required = "Field required"

// object accepts objects that have only these members.
func object(members map[string]member) check {
	return func(value any, at ...any) (problems []problem) {
		values, ok := value.(map[string]any)
		if !ok {
			return []problem{{at, "Input should be a valid dictionary"}}
		}
		for _, name := range slices.Sorted(maps.Keys(members)) {
			at := append(slices.Clone(at), name)
			if value, given := values[name]; given {
				problems = append(problems, members[name].check(value, at...)...)
			} else if members[name].required {
				problems = append(problems, problem{at, required})
			}
		}
		for _, name := range slices.Sorted(maps.Keys(values)) {
			if _, known := members[name]; !known {
				problems = append(problems, problem{append(slices.Clone(at), name), "Extra inputs are not permitted"})
			}
		}
		return problems
	}
}

func text(value any, at ...any) []problem {
	if _, ok := value.(string); !ok {
		return []problem{{at, "Input should be a valid string"}}
	}
	return nil
}

func boolean(value any, at ...any) []problem {
	if _, ok := value.(bool); !ok {
		return []problem{{at, "Input should be a valid boolean"}}
	}
	return nil
}

func anything(any, ...any) []problem { return nil }

func nullable(inner check) check {
	return func(value any, at ...any) []problem {
		if value == nil {
			return nil
		}
		return inner(value, at...)
	}
}

func oneOf(allowed ...string) check {
	return func(value any, at ...any) []problem {
		if s, ok := value.(string); !ok || !slices.Contains(allowed, s) {
			return []problem{{at, fmt.Sprintf("Input should be one of %v", allowed)}}
		}
		return nil
	}
}

func listOf(inner check) check {
	return func(value any, at ...any) (problems []problem) {
		values, ok := value.([]any)
		if !ok {
			return []problem{{at, "Input should be a valid list"}}
		}
		for i, value := range values {
			problems = append(problems, inner(value, append(slices.Clone(at), i)...)...)
		}
		return problems
	}
}

func headers(value any, at ...any) (problems []problem) {
	values, ok := value.(map[string]any)
	if !ok {
		return []problem{{at, "Input should be a valid dictionary"}}
	}
	for name, value := range values {
		problems = append(problems, text(value, append(slices.Clone(at), name)...)...)
	}
	return problems
}

var createBody = object(map[string]member{
	"settings": {object(map[string]member{
		"auth_type":       {oneOf("hmac"), true},
		"name":            {text, true},
		"webhook_url":     {text, true},
		"request_headers": {nullable(headers), false},
	}), true},
})

var updateBody = object(map[string]member{
	"is_disabled":     {boolean, true},
	"name":            {text, true},
	"retry_enabled":   {boolean, false},
	"request_headers": {headers, false},
	"events":          {listOf(oneOf(facts.WorkspaceSubscriptions...)), false},
})

// callStartBody is an agent's webhook for calls that begin.
var callStartBody = object(map[string]member{"url": {text, true}, "request_headers": {headers, true}})

// webhooksBody accepts the webhooks object of settings. The object may also have any
// key of the current one.
func webhooksBody(current map[string]any) check {
	members := map[string]member{}
	for name := range current {
		members[name] = member{anything, false}
	}
	maps.Copy(members, map[string]member{
		"post_call_webhook_id": {nullable(text), false},
		"events":               {listOf(oneOf(facts.PostCallSubscriptions...)), false},
		"transcript_format":    {oneOf("json", "opentelemetry"), false},
		"exclude_transcript":   {nullable(boolean), false},
		"send_audio":           {nullable(boolean), false},
	})
	return object(members)
}

// read decodes the body of a request and checks it.
func read(r *http.Request, body check) (map[string]any, []problem) {
	if r.Header.Get("Content-Type") != "application/json" {
		return nil, []problem{{[]any{"body"}, "Input should be a valid dictionary"}}
	}
	decoder := json.NewDecoder(r.Body)
	var value any
	if err := decoder.Decode(&value); err != nil {
		return nil, []problem{{[]any{"body"}, "JSON decode error"}}
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, []problem{{[]any{"body"}, "JSON decode error"}}
	}
	if problems := body(value, "body"); problems != nil {
		return nil, problems
	}
	return value.(map[string]any), nil
}
