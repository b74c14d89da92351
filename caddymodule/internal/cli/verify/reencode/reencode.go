// Package reencode writes JSON in the ways in which common software does, so that
// a body that was parsed and encoded again can be restored.
package reencode

import (
	"bytes"
	"cmp"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Value is JSON whose numbers and strings stay as written, and whose members stay
// in their order.
type Value struct {
	scalar  []byte // nil for objects and arrays
	open    byte   // '{' or '['
	members []member
}

type member struct {
	name  []byte // with its quotes; nil in an array
	value Value
}

// Parse reads JSON. It reports false if the text is none. The value refers to text.
func Parse(text []byte) (Value, bool) {
	if !json.Valid(text) {
		return Value{}, false
	}
	p := parser{text}
	return p.value(), true
}

// parser reads text that is valid JSON.
type parser struct{ rest []byte }

func (p *parser) value() Value {
	p.skipBlanks()
	if p.rest[0] != '{' && p.rest[0] != '[' {
		return Value{scalar: p.scalar()}
	}
	v := Value{open: p.rest[0]}
	p.rest = p.rest[1:]
	for p.skipBlanks(); p.rest[0] != closing(v.open); p.skipBlanks() {
		if p.rest[0] == ',' {
			p.rest = p.rest[1:]
			p.skipBlanks()
		}
		var m member
		if v.open == '{' {
			m.name = p.scalar()
			p.skipBlanks()
			p.rest = p.rest[1:] // the colon
		}
		m.value = p.value()
		v.members = append(v.members, m)
	}
	p.rest = p.rest[1:]
	return v
}

func (p *parser) skipBlanks() { p.rest = bytes.TrimLeft(p.rest, " \t\r\n") }

// scalar reads a string, a number or a word.
func (p *parser) scalar() []byte {
	end := 1
	if p.rest[0] == '"' {
		for ; p.rest[end] != '"'; end++ {
			if p.rest[end] == '\\' {
				end++
			}
		}
		end++
	} else {
		for end < len(p.rest) && !strings.ContainsRune(" \t\r\n,]}", rune(p.rest[end])) {
			end++
		}
	}
	scalar := p.rest[:end]
	p.rest = p.rest[end:]
	return scalar
}

func closing(open byte) byte { return open + 2 } // true in ASCII of { and [

// Form is a way to write JSON.
type Form struct {
	Name string

	layout
	escapes
	order
}

type layout struct {
	comma, colon string
	indent       string // if not empty, each member has a line
}

// escapes says which characters are escaped although JSON does not require it.
type escapes struct {
	kept               bool // all strings stay as written
	ascii, slash, html bool
}

// order compares two names of an object at a depth. Nil keeps the order.
type order func(depth int, a, b string) int

// Forms are the ways in which common software writes JSON, likely ones first. A
// sender may use any of them, and so may software on the way.
var Forms = func() []Form {
	layouts := []struct {
		name string
		layout
	}{
		{"without blanks (as JSON.stringify writes it)", layout{",", ":", ""}},
		{"with a blank after each comma and colon (as Python's json.dumps writes it)", layout{", ", ": ", ""}},
		{"indented by 2", layout{",", ": ", "  "}},
		{"indented by 4", layout{",", ": ", "    "}},
	}
	strings := []struct {
		name string
		escapes
	}{
		{"", escapes{kept: true}},
		{", characters beyond ASCII written out", escapes{}},
		{`, characters beyond ASCII as \u escapes (Python)`, escapes{ascii: true}},
		{`, characters beyond ASCII as \u escapes and slashes as \/ (PHP's json_encode)`, escapes{ascii: true, slash: true}},
		{`, slashes as \/ (PHP)`, escapes{slash: true}},
		{`, <, > and & as \u escapes (Go's json.Marshal)`, escapes{html: true}},
	}
	orders := []struct {
		name string
		order
	}{
		{"", nil},
		{", with type, event_timestamp and data in that order", documentedOrder},
		{", with the names sorted", sortedOrder},
	}
	forms := make([]Form, 0, len(orders)*len(layouts)*len(strings))
	for _, o := range orders {
		for _, l := range layouts {
			for _, s := range strings {
				forms = append(forms, Form{l.name + s.name + o.name, l.layout, s.escapes, o.order})
			}
		}
	}
	return forms
}()

func sortedOrder(_ int, a, b string) int { return cmp.Compare(a, b) }

// documentedOrder is the order of the envelope in all of ElevenLabs's examples.
func documentedOrder(depth int, a, b string) int {
	if depth > 0 {
		return 0
	}
	envelope := []string{"data", "event_timestamp", "type"}
	return slices.Index(envelope, b) - slices.Index(envelope, a)
}

// Append writes a value after out.
func (f Form) Append(out []byte, v Value) []byte { return f.append(out, v, 0) }

func (f Form) append(out []byte, v Value, depth int) []byte {
	if v.scalar != nil {
		if v.scalar[0] == '"' {
			return f.appendString(out, v.scalar)
		}
		return append(out, v.scalar...)
	}
	members := v.members
	if f.order != nil && v.open == '{' {
		members = slices.Clone(members)
		slices.SortStableFunc(members, func(a, b member) int {
			return f.order(depth, plainName(a.name), plainName(b.name))
		})
	}
	line := func(depth int) {
		if f.indent != "" && len(members) > 0 {
			out = append(out, '\n')
			out = append(out, strings.Repeat(f.indent, depth)...)
		}
	}
	out = append(out, v.open)
	for i, m := range members {
		if i > 0 {
			out = append(out, f.comma...)
		}
		line(depth + 1)
		if m.name != nil {
			out = f.appendString(out, m.name)
			out = append(out, f.colon...)
		}
		out = f.append(out, m.value, depth+1)
	}
	line(depth)
	return append(out, closing(v.open))
}

// plainName returns a name without quotes and needless escapes, for comparison.
func plainName(name []byte) string {
	plain := Form{}.appendString(nil, name)
	return string(plain[1 : len(plain)-1])
}

// appendString writes a string, given with its quotes, after out. Bytes that are
// not UTF-8 stay as they are, and so do the escapes of lone surrogates.
func (f Form) appendString(out, s []byte) []byte {
	if f.kept {
		return append(out, s...)
	}
	out = append(out, '"')
	for s = s[1 : len(s)-1]; len(s) > 0; {
		run := 0
		for run < len(s) && s[run] != '\\' && s[run] < utf8.RuneSelf && !f.mustEscape(rune(s[run])) {
			run++
		}
		out = append(out, s[:run]...)
		if s = s[run:]; len(s) == 0 {
			break
		}
		r, size := readCharacter(s)
		switch {
		case r == utf8.RuneError && size == 1: // not UTF-8
			out = append(out, s[0])
		case strings.ContainsRune("\"\\\b\f\n\r\t", r):
			out = append(out, '\\', `"\bfnrt`[strings.IndexRune("\"\\\b\f\n\r\t", r)])
		case r == '/' && f.slash:
			out = append(out, `\/`...)
		case r < ' ' || utf16.IsSurrogate(r) || f.mustEscape(r):
			if high, low := utf16.EncodeRune(r); high != utf8.RuneError {
				out = appendEscape(out, high)
				r = low
			}
			out = appendEscape(out, r)
		default:
			out = utf8.AppendRune(out, r)
		}
		s = s[size:]
	}
	return append(out, '"')
}

func (f Form) mustEscape(r rune) bool {
	return f.ascii && r >= utf8.RuneSelf || f.slash && r == '/' || f.html && strings.ContainsRune("<>&\u2028\u2029", r)
}

func appendEscape(out []byte, unit rune) []byte {
	const digits = "0123456789abcdef"
	return append(out, '\\', 'u', digits[unit>>12&15], digits[unit>>8&15], digits[unit>>4&15], digits[unit&15])
}

// readCharacter reads a character of a string, escaped or not. It returns how many
// bytes the character takes.
func readCharacter(s []byte) (rune, int) {
	if s[0] != '\\' {
		return utf8.DecodeRune(s)
	}
	if s[1] != 'u' {
		return rune("\"\\/\b\f\n\r\t"[strings.IndexByte(`"\/bfnrt`, s[1])]), 2
	}
	r := codeUnit(s)
	if utf16.IsSurrogate(r) && len(s) >= 12 && s[6] == '\\' && s[7] == 'u' {
		if pair := utf16.DecodeRune(r, codeUnit(s[6:])); pair != utf8.RuneError {
			return pair, 12
		}
	}
	return r, 6
}

// codeUnit reads the \uXXXX at the start of s.
func codeUnit(s []byte) rune {
	unit, _ := strconv.ParseUint(string(s[2:6]), 16, 16) // valid JSON has four hex digits there
	return rune(unit)
}

// Sorted reports whether the names of every object are in alphabetical order, and
// whether any object has two names or more.
func (v Value) Sorted() (sorted, several bool) {
	sorted = true
	for i, m := range v.members {
		if i > 0 && v.open == '{' {
			several = true
			sorted = sorted && sortedOrder(0, plainName(v.members[i-1].name), plainName(m.name)) <= 0
		}
		s, more := m.value.Sorted()
		sorted, several = sorted && s, several || more
	}
	return sorted, several
}

// ByJavaScript reports whether JSON.stringify may have written a text, and would
// have changed numbers in it.
func (v Value) ByJavaScript(text []byte) bool {
	form := Form{layout: layout{",", ":", ""}}
	some, all := v.numbers()
	return some && all && bytes.Equal(text, form.Append(nil, v))
}

// numbers reports whether there are any numbers, and whether all are as JavaScript
// writes them, which is as package json does.
func (v Value) numbers() (some, all bool) {
	if v.scalar != nil {
		number, err := strconv.ParseFloat(string(v.scalar), 64)
		if err != nil {
			return false, true
		}
		written, err := json.Marshal(number)
		return true, err == nil && bytes.Equal(written, v.scalar)
	}
	all = true
	for _, m := range v.members {
		s, a := m.value.numbers()
		some, all = some || s, all && a
	}
	return some, all
}
