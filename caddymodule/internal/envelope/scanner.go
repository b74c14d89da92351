package envelope

import "bytes"

// Scanner reads an envelope from a body that is written to it in pieces. The
// zero value is ready. It is for one goroutine.
//
// Wherever encoding/json can read the body, the answer is the same as its: names
// are compared exactly, once their escapes are resolved, and of a name that
// stands twice the last counts. The exception is what stands after Done became
// true. RFC 8259, section 4, calls repeated names unpredictable; ElevenLabs
// sends none.
//
// A known type reports only the ids that its events have, so that the answer
// does not depend on the order of names.
type Scanner struct {
	state  state
	inData bool  // the object being read is data, not the top-level one
	field  field // the one whose value comes
	depth  int   // of nested values being skipped

	seen   set // fields whose name stood in the object, with their value complete
	values [fieldCount]text
	name   text
	target *text // where the string being read goes; nil to skip it

	escape  uint8 // in a string: 0, or 1 after a backslash, or 2 to 5 in \uXXXX
	escaped rune  // the value of the digits so far
}

type state uint8

const (
	beforeTop   state = iota
	beforeFirst       // after {: a name or }
	beforeName        // after a comma: a name
	inName
	beforeColon
	beforeValue
	inString  // a string value, read or skipped
	inLiteral // a number, true, false or null
	inNested  // an object or array that is skipped,
	inNestedString
	afterValue
	closed // the top-level object has ended
	complete
	broken // not JSON, or not an object
)

// text is a string as far as it is worth keeping.
type text struct {
	bytes    [MaxValue]byte
	length   int
	unusable bool // too long, or not printable ASCII
}

func (t *text) reset() { t.length, t.unusable = 0, false }

func (t *text) add(c byte) {
	if c < ' ' || c > '~' || t.length == len(t.bytes) {
		t.unusable = true
		return
	}
	t.bytes[t.length] = c
	t.length++
}

// usable returns the text, or nothing.
func (t *text) usable() []byte {
	if t.unusable {
		return nil
	}
	return t.bytes[:t.length]
}

// Reset makes the Scanner ready for another body.
func (s *Scanner) Reset() {
	s.state, s.inData, s.depth, s.seen, s.escape = beforeTop, false, 0, 0, 0
	for i := range s.values {
		s.values[i].reset()
	}
}

// Done reports whether nothing that follows can change the answer: all that the
// type can have was found, or the object has ended, or the body is not JSON.
func (s *Scanner) Done() bool { return s.state >= closed }

// Fields returns what was found. It is empty unless Done.
func (s *Scanner) Fields() Fields {
	if s.state != closed && s.state != complete {
		return Fields{}
	}
	typ := s.values[fieldType].usable()
	possible, known := typeIDs[string(typ)]
	if !known {
		possible = ids
	}
	value := func(f field) string {
		if ids&f.set() != 0 && possible&f.set() == 0 {
			return ""
		}
		return string(s.values[f].usable())
	}
	return Fields{
		Type:           string(typ),
		EventTimestamp: value(fieldTimestamp),
		ConversationID: value(fieldConversation),
		AgentID:        value(fieldAgent),
		RequestID:      value(fieldRequest),
		VoiceID:        value(fieldVoice),
	}
}

// Write reads a piece of the body. It never fails, and keeps nothing of p.
func (s *Scanner) Write(p []byte) (int, error) {
	for i := 0; i < len(p) && !s.Done(); {
		switch s.state {
		case inNested:
			i += s.skipNested(p[i:])
		case inName:
			i += s.readString(p[i:], beforeColon)
		case inString:
			if s.target != nil {
				i += s.readString(p[i:], afterValue)
			} else {
				i += s.skipString(p[i:], afterValue)
			}
		case inNestedString:
			i += s.skipString(p[i:], inNested)
		case inLiteral:
			i += s.readLiteral(p[i:])
		default:
			s.readStructure(p[i])
			i++
		}
	}
	return len(p), nil
}

// readStructure takes one byte between strings and literals.
func (s *Scanner) readStructure(c byte) {
	if c == ' ' || c == '\t' || c == '\n' || c == '\r' {
		return
	}
	switch {
	case s.state == beforeTop && c == '{':
		s.state = beforeFirst
	case (s.state == beforeFirst || s.state == beforeName) && c == '"':
		s.state = inName
		s.target = &s.name
		s.name.reset()
	case (s.state == beforeFirst || s.state == afterValue) && c == '}':
		if !s.inData {
			s.state = closed
			return
		}
		s.inData = false
		s.state = afterValue
	case s.state == beforeColon && c == ':':
		s.state = beforeValue
		s.beginField()
	case s.state == beforeValue:
		s.beginValue(c)
	case s.state == afterValue && c == ',':
		s.state = beforeName
	default:
		s.state = broken
	}
}

// beginField finds out which field the name is, and forgets what an earlier one
// of the same name said.
func (s *Scanner) beginField() {
	names := topNames
	if s.inData {
		names = dataNames
	}
	var known bool
	if s.field, known = names[string(s.name.usable())]; !known {
		s.field = fieldNone
		return
	}
	for f := range fieldCount {
		if f == s.field || s.field == fieldData && ids&f.set() != 0 {
			s.values[f].reset()
			s.seen &^= f.set()
		}
	}
}

// beginValue takes the first byte of a value.
func (s *Scanner) beginValue(c byte) {
	s.target = nil
	switch {
	case c == '"':
		if s.field < fieldCount {
			s.target = &s.values[s.field]
		}
		s.state = inString
	case c == '{' && s.field == fieldData:
		s.inData = true
		s.state = beforeFirst
	case c == '{' || c == '[':
		s.depth = 1
		s.state = inNested
	case c == '-' || '0' <= c && c <= '9':
		if s.field == fieldTimestamp {
			s.target = &s.values[fieldTimestamp]
			s.target.add(c)
		}
		s.state = inLiteral
	case c == 't' || c == 'f' || c == 'n':
		s.state = inLiteral
	default:
		s.state = broken
	}
}

// endValue notes that a value is complete, and whether that was all.
func (s *Scanner) endValue() {
	s.state = afterValue
	if s.field >= fieldCount {
		return
	}
	s.seen |= s.field.set()
	if typ := s.values[fieldType].usable(); s.seen&fieldType.set() != 0 {
		possible, known := typeIDs[string(typ)]
		if need := possible | fieldTimestamp.set(); known && s.seen&need == need {
			s.state = complete
		}
	}
}

// readString reads a string into target, up to and with its closing quote.
func (s *Scanner) readString(p []byte, next state) int {
	for i, c := range p {
		switch {
		case s.escape != 0:
			s.readEscape(c)
		case c == '"':
			s.state = next
			if next == afterValue {
				s.endValue()
			}
			return i + 1
		case c == '\\':
			s.escape = 1
		case c < ' ':
			s.state = broken
		default:
			s.target.add(c)
		}
		if s.state == broken {
			return len(p)
		}
	}
	return len(p)
}

// escapes are the characters that may follow a backslash, but for u, and what
// they mean.
var escapes = [256]byte{
	'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t',
}

// readEscape takes one byte after a backslash.
func (s *Scanner) readEscape(c byte) {
	if s.escape == 1 {
		switch {
		case c == 'u':
			s.escape, s.escaped = 2, 0
		case escapes[c] != 0:
			s.target.add(escapes[c])
			s.escape = 0
		default:
			s.state = broken
		}
		return
	}
	var digit byte
	switch {
	case '0' <= c && c <= '9':
		digit = c - '0'
	case 'a' <= c && c <= 'f':
		digit = c - 'a' + 10
	case 'A' <= c && c <= 'F':
		digit = c - 'A' + 10
	default:
		s.state = broken
		return
	}
	s.escaped = s.escaped<<4 | rune(digit)
	if s.escape++; s.escape == 6 {
		// above ASCII, and so for any surrogate, one byte that is not printable
		// stands for the character
		s.target.add(byte(min(s.escaped, 0xff)))
		s.escape = 0
	}
}

// skipString passes over a string, up to and with its closing quote.
func (s *Scanner) skipString(p []byte, next state) int {
	i := int(s.escape) // 1 if the piece before ended in a backslash
	s.escape = 0
	for quote := -1; i < len(p); {
		if quote < i {
			if quote = bytes.IndexByte(p[i:], '"'); quote < 0 {
				quote = len(p)
			} else {
				quote += i
			}
		}
		backslash := bytes.IndexByte(p[i:quote], '\\')
		if backslash < 0 {
			if quote == len(p) {
				break
			}
			s.state = next
			if next == afterValue {
				s.endValue()
			}
			return quote + 1
		}
		i += backslash + 2
	}
	if i > len(p) {
		s.escape = 1
	}
	return len(p)
}

// skipNested passes over an object or array, up to its end or its next string.
func (s *Scanner) skipNested(p []byte) int {
	for i, c := range p {
		switch c {
		case '"':
			s.state = inNestedString
			return i + 1
		case '{', '[':
			s.depth++
		case '}', ']':
			if s.depth--; s.depth == 0 {
				s.endValue()
				return i + 1
			}
		}
	}
	return len(p)
}

// readLiteral reads a number, true, false or null, up to what follows it.
func (s *Scanner) readLiteral(p []byte) int {
	for i, c := range p {
		switch c {
		case ' ', '\t', '\n', '\r', ',', '}':
			s.endValue()
			return i
		case '"', '{', '[', ']', ':', '\\':
			s.state = broken
			return i
		}
		if s.target != nil {
			s.target.add(c)
		}
	}
	return len(p)
}
