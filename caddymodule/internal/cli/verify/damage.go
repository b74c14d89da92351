package verify

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// ending is how a body ends that is not whole JSON.
type ending struct {
	within  string // "a string", and so on
	closers string // what would make it whole JSON, if nothing else is missing
}

// cutOff reports whether a body begins as JSON does and ends before its end.
func cutOff(body []byte) (ending, bool) {
	body = bytes.TrimPrefix(body, []byte(byteOrderMark))
	if begin := bytes.TrimLeft(body, " \t\r\n"); len(begin) == 0 || begin[0] != '{' {
		return ending{}, false
	}
	if isJSON(body) {
		return ending{}, false
	}
	marked := bytes.TrimRight(body, " \t\r\n")
	tail := max(0, len(marked)-longestMark)
	if mark := cutMark.FindIndex(marked[tail:]); mark != nil {
		marked = marked[:tail+mark[0]]
	}
	if !endsEarly(body) && !endsEarly(marked) {
		return ending{}, false
	}
	var open []byte
	inString, escaped := false, false
	for _, c := range marked {
		switch {
		case escaped:
			escaped = false
		case inString:
			escaped = c == '\\'
			inString = c != '"'
		case c == '"':
			inString = true
		case c == '{' || c == '[':
			open = append(open, c+2)
		case c == '}' || c == ']':
			open = open[:max(0, len(open)-1)]
		}
	}
	end := ending{within: "between two values"}
	if inString {
		end.within, end.closers = "within a string", `"`
	}
	slices.Reverse(open)
	end.closers += string(open)
	return end, true
}

const longestMark = 80

// cutMark is what software writes in place of what it has cut.
var cutMark = regexp.MustCompile(`(?i)(?:\.{3}|…|[\[(<]?(?:\.{3}|…)?\s*(?:truncated|\d+ more (?:bytes|characters))[^"]{0,40}[\])>]?)$`)

func endsEarly(text []byte) bool {
	_, err := syntaxError(text)
	return err != nil && strings.Contains(err.Error(), "unexpected end")
}

// syntaxError returns the first error of a text that is not JSON, and its offset.
func syntaxError(text []byte) (int64, error) {
	var raw json.RawMessage
	err := json.Unmarshal(text, &raw)
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		return syntax.Offset, err
	}
	return 0, err
}

// cutSentence says where a body is cut off.
func cutSentence(body []byte, end ending) string {
	return fmt.Sprintf("The body is cut off: it is not whole JSON, and ends %s after %d bytes%s. The signature covers the whole body.", end.within, len(body), limitOf(len(body)))
}

// limitOf names a length that is a usual limit.
func limitOf(n int) string {
	switch {
	case n >= 1<<20 && n%(1<<20) == 0:
		return fmt.Sprintf(", exactly %d MiB", n>>20)
	case n > 0 && n%(1<<10) == 0:
		return fmt.Sprintf(", exactly %d KiB", n>>10)
	case n > 0 && n%1000 == 0 || n == 1<<16-1 || n == 1<<8-1:
		return ", which is a usual limit"
	}
	return ""
}

// hidden matches what logs and monitors write in place of values.
var hidden = regexp.MustCompile(`(?i)\[(?:redacted|filtered|masked|removed|secure|omitted)\]|<redacted>|"\*{3,}"|\[(?:Circular|Object|Array|max depth)[^\]]{0,20}\]`)

// renamed reports whether a body has the names of ElevenLabs in the style of
// another language.
var renamed = regexp.MustCompile(`"(?:eventTimestamp|EventTimestamp|conversationId|ConversationId|agentId|AgentId)"\s*:`)
