package envelope

import "bytes"

// state says what the Scanner expects next. The last three states are final.
type state uint8

const (
	beforeTop   state = iota
	beforeFirst       // after {: a name or }
	beforeName        // after a comma: a name
	inName
	beforeColon
	beforeValue
	inString // a string value, read or skipped
	inNumber // a number, read or skipped
	inWord   // true, false or null
	inNested // an object or array that is skipped
	afterValue
	closed   // the top-level object has ended
	complete // the rest of the object cannot change the answer
	broken   // the body is not JSON, or not an object
)

// text holds a string of at most MaxValue printable ASCII characters.
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

// usable returns the text, or nil if it is unusable.
func (t *text) usable() []byte {
	if t.unusable {
		return nil
	}
	return t.bytes[:t.length]
}

// readStructure reads one byte that stands between strings, numbers and words.
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

// beginField looks up the field of the name that was read, and drops the value of an
// earlier field of that name. If the name is data, beginField drops all ids.
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

// beginValue reads the first byte of a value.
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
		s.depth, s.quoted = 1, 0
		s.state = inNested
	case c == '-' || '0' <= c && c <= '9':
		if s.field == fieldTimestamp {
			s.target = &s.values[fieldTimestamp]
			s.target.add(c)
		}
		s.number = minus
		if c != '-' {
			s.number = minus.next(c)
		}
		s.state = inNumber
	case words[c] != "":
		s.word = words[c][1:]
		s.state = inWord
	default:
		s.state = broken
	}
}

// endValue marks the field as seen, and the Scanner as complete if that was the last
// value that it needs.
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

// readString reads a string into target, up to and including its closing quote. It
// returns the number of bytes read, as do the functions below.
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

// escapes are the meanings of the characters that may follow a backslash, except u.
var escapes = [256]byte{
	'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t',
}

// readEscape reads one byte of an escape, after the backslash.
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
		// Only printable ASCII is kept, so one unprintable byte can stand for any
		// other character, and for each half of a surrogate pair.
		s.target.add(byte(min(s.escaped, 0xff)))
		s.escape = 0
	}
}

// skipString skips a string value, up to and including its closing quote.
func (s *Scanner) skipString(p []byte) int {
	i := int(s.escape) // 1 if the previous piece ended in a backslash
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
			s.endValue()
			return quote + 1
		}
		i += backslash + 2
	}
	if i > len(p) {
		s.escape = 1
	}
	return len(p)
}

// number is the part of a number that was read last (RFC 8259, section 6).
type number uint8

const (
	minus number = iota
	zero         // a leading 0, which no digit may follow
	whole        // a digit before the point
	point
	fraction // a digit after the point
	exponent // e or E
	exponentSign
	power    // a digit of the exponent
	noNumber // the byte does not belong to the number
)

// next returns the part that c is if it follows n.
func (n number) next(c byte) number {
	digit := '0' <= c && c <= '9'
	switch {
	case n == minus && c == '0':
		return zero
	case digit && (n == minus || n == whole):
		return whole
	case digit && (n == point || n == fraction):
		return fraction
	case digit && n >= exponent:
		return power
	case c == '.' && (n == zero || n == whole):
		return point
	case (c == 'e' || c == 'E') && (n == zero || n == whole || n == fraction):
		return exponent
	case (c == '+' || c == '-') && n == exponent:
		return exponentSign
	}
	return noNumber
}

// readNumber reads a number, up to the byte after it.
func (s *Scanner) readNumber(p []byte) int {
	for i, c := range p {
		next := s.number.next(c)
		if next == noNumber {
			switch s.number {
			case zero, whole, fraction, power:
				s.endValue()
			default:
				s.state = broken
			}
			return i
		}
		s.number = next
		if s.target != nil {
			s.target.add(c)
		}
	}
	return len(p)
}

// words are true, false and null by their first byte.
var words = [256]string{'t': "true", 'f': "false", 'n': "null"}

// readWord reads one byte of a word.
func (s *Scanner) readWord(c byte) {
	if c != s.word[0] {
		s.state = broken
		return
	}
	if s.word = s.word[1:]; s.word == "" {
		s.endValue()
	}
}
