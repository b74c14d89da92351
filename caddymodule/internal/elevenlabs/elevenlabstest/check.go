package elevenlabstest

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
)

// check says what is wrong with a value of a request, which stands at a place.
type check func(value any, at ...any) []problem

// member is one of an object.
type member struct {
	check
	required bool
}

const required = "Field required"

// object takes objects with these members and no others.
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

func oneOf(allowed ...any) check {
	return func(value any, at ...any) []problem {
		if !slices.Contains(allowed, value) {
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
	"events":          {listOf(oneOf("voice_library_removal_notice", "speech_to_text", "agent_qa", "flows")), false},
})

// callStartBody is the webhook for calls that begin, which an agent has of its own.
var callStartBody = object(map[string]member{"url": {text, true}, "request_headers": {headers, true}})

// webhooksBody is the webhooks object of settings, which may also have what is
// there already.
func webhooksBody(now map[string]any) check {
	members := map[string]member{}
	for name := range now {
		members[name] = member{anything, false}
	}
	maps.Copy(members, map[string]member{
		"post_call_webhook_id": {nullable(text), false},
		"events": {listOf(oneOf("transcript", "audio", "call_initiation_failure", "answering_machine_detection",
			"unredacted_transcript", "unredacted_audio")), false},
		"transcript_format":  {oneOf("json", "opentelemetry"), false},
		"exclude_transcript": {nullable(boolean), false},
		"send_audio":         {nullable(boolean), false},
	})
	return object(members)
}

// read reads and checks the body of a request.
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
