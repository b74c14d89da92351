package sample

import (
	"strconv"
	"strings"
)

// pythonForm writes compact JSON with the separators of Python's json.dumps, ", " and
// ": ". It changes nothing else.
func pythonForm(compact []byte) []byte {
	spaced := make([]byte, 0, len(compact)+len(compact)/8)
	inString, escaped := false, false
	for _, c := range compact {
		spaced = append(spaced, c)
		switch {
		case escaped:
			escaped = false
		case c == '\\':
			escaped = true // only strings have it
		case c == '"':
			inString = !inString
		case !inString && (c == ',' || c == ':'):
			spaced = append(spaced, ' ')
		}
	}
	return spaced
}

// pythonFloat is a number that Python writes as a float, such as 0.0 or 9.18e-05.
type pythonFloat float64

// String writes the number as Python's repr does, if it is less than a million.
func (f pythonFloat) String() string {
	text := strconv.FormatFloat(float64(f), 'g', -1, 64)
	if !strings.ContainsAny(text, ".e") {
		text += ".0"
	}
	return text
}
