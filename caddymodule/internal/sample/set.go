package sample

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// Assignment sets a value in an event.
type Assignment struct {
	path  []string
	value []byte // JSON, as Python writes it
}

// ParseAssignment reads path=value. A path has keys and numbers of elements, with
// dots between them. A value that is not JSON is a string.
func ParseAssignment(text string) (Assignment, error) {
	path, value, found := strings.Cut(text, "=")
	a := Assignment{path: strings.Split(path, ".")}
	for _, key := range a.path {
		found = found && key != ""
	}
	if !found {
		return a, fmt.Errorf("must be path=value, such as data.agent_id=agent_0123, not %q", text)
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, []byte(value)); err != nil {
		compact.Reset()
		encoder := json.NewEncoder(&compact)
		encoder.SetEscapeHTML(false)
		_ = encoder.Encode(value) // a string can be encoded
	}
	a.value = pythonForm(bytes.TrimSpace(compact.Bytes()))
	return a, nil
}

// apply returns a body with the value at the path replaced. The path must be there,
// so that a mistyped one does not pass for one that is set.
func (a Assignment) apply(body []byte) ([]byte, error) {
	start, end, err := find(body, a.path)
	if err != nil {
		return nil, err
	}
	return bytes.Join([][]byte{body[:start], a.value, body[end:]}, nil), nil
}

// find returns where the value at a path begins and ends in a JSON text.
func find(body []byte, path []string) (start, end int, err error) {
	decoder := json.NewDecoder(bytes.NewReader(body))
	for depth := range path {
		if err := enter(decoder, path, depth); err != nil {
			return 0, 0, err
		}
	}
	var value json.RawMessage
	if err := decoder.Decode(&value); err != nil {
		return 0, 0, err
	}
	end = int(decoder.InputOffset())
	return end - len(value), end, nil
}

// enter moves a decoder to the value of path[depth] in the object or array before it.
func enter(decoder *json.Decoder, path []string, depth int) error {
	at := strings.Join(path[:depth], ".")
	if at == "" {
		at = "the event"
	}
	missing := func(has string) error {
		return fmt.Errorf("there is no %s: %s has %s", strings.Join(path[:depth+1], "."), at, has)
	}
	opening, err := decoder.Token()
	if err != nil {
		return err
	}
	var skipped json.RawMessage
	switch opening {
	case json.Delim('{'):
		var keys []string
		for decoder.More() {
			key, err := decoder.Token()
			if err != nil || key == path[depth] {
				return err
			}
			keys = append(keys, fmt.Sprint(key))
			if err := decoder.Decode(&skipped); err != nil {
				return err
			}
		}
		if len(keys) > 0 {
			return missing(strings.Join(keys, ", "))
		}
	case json.Delim('['):
		number := 0
		for ; decoder.More(); number++ {
			if strconv.Itoa(number) == path[depth] {
				return nil
			}
			if err := decoder.Decode(&skipped); err != nil {
				return err
			}
		}
		if number > 0 {
			return missing(fmt.Sprintf("%d elements, from 0", number))
		}
	}
	return missing("nothing in it")
}
