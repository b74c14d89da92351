// Package envelope reads the type and the ids of an ElevenLabs webhook from its
// JSON body while the body passes. Its memory does not grow with the body.
package envelope

// Scanner reads the Fields of a body that is written to it in pieces of any size.
// The zero value is ready. Only one goroutine may use it, and it must not be copied
// after its first use.
//
// The answer is that of encoding/json, which decodes the body and its data into
// maps of raw values. Names are compared exactly, after their escapes are resolved.
// If a name occurs twice, the last value counts, so a later data replaces an earlier
// one whole. Only bytes that follow after Done reports true are not read. RFC 8259,
// section 4, calls repeated names unpredictable, and ElevenLabs sends none.
//
// For a known type, only the ids that its events have are reported, so that the
// answer does not depend on the order of names.
//
// The answer is empty if the body is not a JSON object, is broken, ends before Done,
// or starts with a byte order mark. In values that are skipped, only their end is
// looked for.
type Scanner struct {
	state  state
	inData bool   // the object being read is data, not the top-level one
	field  field  // the field whose value comes next
	depth  int    // of nested values being skipped
	quoted uint64 // 1 in a string of those, or 0

	seen   set // the fields whose value is complete
	values [fieldCount]text
	name   text
	target *text // where the value being read goes; nil to skip it

	escape  uint8  // in a string: 0, or 1 after a backslash, or 2 to 5 in \uXXXX
	escaped rune   // the value of the digits so far
	number  number // the part of a number that was read last
	word    string // the rest of true, false or null
}

// Reset makes the Scanner ready for another body.
func (s *Scanner) Reset() {
	s.state, s.inData, s.depth, s.seen, s.escape = beforeTop, false, 0, 0, 0
	for i := range s.values {
		s.values[i].reset()
	}
}

// Write reads a piece of the body. It never fails and keeps nothing of p. It does
// nothing after Done reports true.
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
				i += s.skipString(p[i:])
			}
		case inNumber:
			i += s.readNumber(p[i:])
		case inWord:
			s.readWord(p[i])
			i++
		default:
			s.readStructure(p[i])
			i++
		}
	}
	return len(p), nil
}

// Done reports whether the rest of the body cannot change the answer. It cannot if
//   - the type is known, and its timestamp and all its ids were found,
//   - the object has ended, or
//   - the body is not JSON.
func (s *Scanner) Done() bool { return s.state >= closed }

// Fields returns the values that were found. It is empty until Done reports true.
func (s *Scanner) Fields() Fields {
	if s.state != closed && s.state != complete {
		return Fields{}
	}
	possible, known := typeIDs[string(s.values[fieldType].usable())]
	if !known {
		possible = ids
	}
	var found Fields
	for f := range fieldCount {
		if ids&f.set() == 0 || possible&f.set() != 0 {
			*fields[f].in(&found) = string(s.values[f].usable())
		}
	}
	return found
}
