package verify

import (
	"bytes"
	"encoding/json"
	"strconv"
	"unicode/utf8"
)

// literal is an object as Python, Ruby or JavaScript prints it, and the JSON that it
// stands for.
type literal struct {
	json              []byte
	arrows, bareNames bool
}

// words are those that stand for others in JSON.
var words = map[string]string{
	"True": "true", "False": "false", "None": "null", "nil": "null", "undefined": "null",
	"true": "true", "false": "false", "null": "null",
}

// readLiteral reports false if the text is no such literal.
func readLiteral(text []byte) (literal, bool) {
	var l literal
	text = bytes.TrimPrefix(bytes.TrimSpace(text), []byte("%")) // Elixir's %{
	if len(text) == 0 || text[0] != '{' && text[0] != '[' {
		return l, false
	}
	for len(text) > 0 {
		switch c := text[0]; {
		case bytes.HasPrefix(text, []byte("=>")):
			l.arrows = true
			l.json, text = append(l.json, ':'), text[2:]
		case c == ' ' || c == '\n' || c == '\r' || c == '\t' || c == '%':
			text = text[1:]
		case c == '\'' || c == '"' || c == '`':
			content, rest, ok := readQuoted(text)
			quoted, err := json.Marshal(string(content))
			if !ok || err != nil {
				return l, false
			}
			l.json, text = append(l.json, quoted...), rest
		case c == ':' && len(text) > 1 && isNameByte(text[1]) && !afterName(l.json): // Ruby's :symbol
			name, rest := takeName(text[1:])
			l.json, text = strconv.AppendQuote(l.json, string(name)), rest
		case bytes.IndexByte([]byte("{}[]:,"), c) >= 0:
			if c == '}' || c == ']' {
				l.json = bytes.TrimSuffix(l.json, []byte(",")) // JavaScript and Python allow one at the end
			}
			l.json, text = append(l.json, c), text[1:]
		case isNameByte(c) || c == '-':
			name, rest := takeName(text)
			word, known := words[string(name)]
			switch number := json.Valid(name); {
			case known && !bytes.HasPrefix(bytes.TrimSpace(rest), []byte(":")):
				l.json = append(l.json, word...)
			case number:
				l.json = append(l.json, name...)
			default:
				l.bareNames = true
				l.json = strconv.AppendQuote(l.json, string(name))
			}
			text = rest
		default:
			return l, false
		}
	}
	return l, json.Valid(l.json)
}

func afterName(out []byte) bool { return len(out) > 0 && out[len(out)-1] == '"' }

func isNameByte(c byte) bool {
	return c == '_' || c == '$' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= utf8.RuneSelf
}

// takeName takes a name, a word or a number.
func takeName(text []byte) (name, rest []byte) {
	end := 1
	for end < len(text) && (isNameByte(text[end]) || text[end] == '.' || (text[end] == '-' || text[end] == '+') && (text[end-1] == 'e' || text[end-1] == 'E')) {
		end++
	}
	return text[:end], text[end:]
}

var simpleEscapes = map[byte]byte{'n': '\n', 'r': '\r', 't': '\t', 'b': '\b', 'f': '\f', 'a': '\a', 'v': '\v', 'e': 0x1b, '0': 0}

// readQuoted reads a quoted string with the escapes of Python, Ruby and JavaScript,
// and returns what follows it.
func readQuoted(text []byte) (content, rest []byte, ok bool) {
	quote := text[0]
	for i := 1; i < len(text); i++ {
		switch c := text[i]; {
		case c == quote:
			return content, text[i+1:], true
		case c != '\\' || i+1 == len(text):
			content = append(content, c)
		default:
			i++
			digits, start := 0, i+1
			switch text[i] {
			case 'x':
				digits = 2
			case 'u':
				digits = 4
			case 'U':
				digits = 8
			}
			if digits == 4 && start < len(text) && text[start] == '{' { // Ruby's and JavaScript's \u{1f600}
				start++
				digits = max(0, bytes.IndexByte(text[start:], '}'))
			}
			if digits > 0 && start+digits <= len(text) {
				value, err := strconv.ParseUint(string(text[start:start+digits]), 16, 32)
				if err != nil {
					return nil, nil, false
				}
				if text[i] == 'x' {
					content = append(content, byte(value))
				} else {
					content = utf8.AppendRune(content, rune(value))
				}
				i = start + digits - 1
				if text[start-1] == '{' {
					i++
				}
				continue
			}
			if escaped, known := simpleEscapes[text[i]]; known {
				content = append(content, escaped)
			} else {
				content = append(content, text[i])
			}
		}
	}
	return nil, nil, false
}
