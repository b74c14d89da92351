package cli

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

// jsonValue is JSON of which only the structure is read: numbers and strings
// stay as they are written, and members in their order.
type jsonValue struct {
	scalar  []byte // nil for objects and arrays
	open    byte   // '{' or '['
	members []jsonMember
}

type jsonMember struct {
	name  []byte // with its quotes; nil in an array
	value jsonValue
}

// parseJSON reports false for what is not JSON. The value holds on to text.
func parseJSON(text []byte) (jsonValue, bool) {
	if !json.Valid(text) {
		return jsonValue{}, false
	}
	p := jsonParser{text}
	return p.value(), true
}

// jsonParser reads text that is known to be valid.
type jsonParser struct{ rest []byte }

func (p *jsonParser) value() jsonValue {
	p.skipBlanks()
	if p.rest[0] != '{' && p.rest[0] != '[' {
		return jsonValue{scalar: p.scalar()}
	}
	v := jsonValue{open: p.rest[0]}
	p.rest = p.rest[1:]
	for p.skipBlanks(); p.rest[0] != closing(v.open); p.skipBlanks() {
		if p.rest[0] == ',' {
			p.rest = p.rest[1:]
			p.skipBlanks()
		}
		var m jsonMember
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

func (p *jsonParser) skipBlanks() { p.rest = bytes.TrimLeft(p.rest, " \t\r\n") }

// scalar takes a string, a number or a word.
func (p *jsonParser) scalar() []byte {
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

func closing(open byte) byte { return open + 2 } // ASCII has it so for both kinds

// jsonForm is a way to write JSON.
type jsonForm struct {
	name string
	jsonLayout
	jsonStrings
	jsonOrder
}

type jsonLayout struct {
	comma, colon string
	indent       string // a line a member, if not empty
}

// jsonStrings says which characters are escaped that need not be.
type jsonStrings struct {
	kept               bool // all as they stand
	ascii, slash, html bool
}

// jsonOrder compares two names of an object at a depth; nil keeps the order.
type jsonOrder func(depth int, a, b string) int

// jsonForms are the ways in which common software writes JSON, likely ones
// first. A sender may have any of them, and a re-encoding on the way too.
var jsonForms = func() []jsonForm {
	layouts := []struct {
		name string
		jsonLayout
	}{
		{"without blanks (as JSON.stringify writes it)", jsonLayout{",", ":", ""}},
		{"with a blank after each comma and colon (as Python's json.dumps writes it)", jsonLayout{", ", ": ", ""}},
		{"indented by 2", jsonLayout{",", ": ", "  "}},
		{"indented by 4", jsonLayout{",", ": ", "    "}},
	}
	strings := []struct {
		name string
		jsonStrings
	}{
		{"", jsonStrings{kept: true}},
		{", characters beyond ASCII written out", jsonStrings{}},
		{`, characters beyond ASCII as \u escapes (Python)`, jsonStrings{ascii: true}},
		{`, characters beyond ASCII as \u escapes and slashes as \/ (PHP's json_encode)`, jsonStrings{ascii: true, slash: true}},
		{`, slashes as \/ (PHP)`, jsonStrings{slash: true}},
		{`, <, > and & as \u escapes (Go's json.Marshal)`, jsonStrings{html: true}},
	}
	orders := []struct {
		name string
		jsonOrder
	}{
		{"", nil},
		{", with type, event_timestamp and data in that order", documentedOrder},
		{", with the names sorted", sortedOrder},
	}
	forms := make([]jsonForm, 0, len(orders)*len(layouts)*len(strings))
	for _, o := range orders {
		for _, l := range layouts {
			for _, s := range strings {
				forms = append(forms, jsonForm{l.name + s.name + o.name, l.jsonLayout, s.jsonStrings, o.jsonOrder})
			}
		}
	}
	return forms
}()

func sortedOrder(_ int, a, b string) int { return cmp.Compare(a, b) }

// documentedOrder is that of the envelope, in all of ElevenLabs's examples.
func documentedOrder(depth int, a, b string) int {
	if depth > 0 {
		return 0
	}
	envelope := []string{"data", "event_timestamp", "type"}
	return slices.Index(envelope, b) - slices.Index(envelope, a)
}

// append writes v after out.
func (f jsonForm) append(out []byte, v jsonValue, depth int) []byte {
	if v.scalar != nil {
		if v.scalar[0] == '"' {
			return f.appendString(out, v.scalar)
		}
		return append(out, v.scalar...)
	}
	members := v.members
	if f.jsonOrder != nil && v.open == '{' {
		members = slices.Clone(members)
		slices.SortStableFunc(members, func(a, b jsonMember) int {
			return f.jsonOrder(depth, plainName(a.name), plainName(b.name))
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

// plainName is a name without quotes and needless escapes, for comparing.
func plainName(name []byte) string {
	plain := jsonForm{}.appendString(nil, name)
	return string(plain[1 : len(plain)-1])
}

// appendString writes a string, given with its quotes, after out. What is not
// UTF-8 stays as it is, and so do the escapes of lone surrogates.
func (f jsonForm) appendString(out, s []byte) []byte {
	if f.kept {
		return append(out, s...)
	}
	out = append(out, '"')
	for s = s[1 : len(s)-1]; len(s) > 0; {
		run := 0
		for run < len(s) && s[run] != '\\' && s[run] < utf8.RuneSelf && !f.escapes(rune(s[run])) {
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
		case r < ' ' || utf16.IsSurrogate(r) || f.escapes(r):
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

func (f jsonForm) escapes(r rune) bool {
	return f.ascii && r >= utf8.RuneSelf || f.slash && r == '/' || f.html && strings.ContainsRune("<>&\u2028\u2029", r)
}

func appendEscape(out []byte, unit rune) []byte {
	const digits = "0123456789abcdef"
	return append(out, '\\', 'u', digits[unit>>12&15], digits[unit>>8&15], digits[unit>>4&15], digits[unit&15])
}

// readCharacter reads a character of a string, in whatever way it is written,
// and says how many bytes that takes.
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

// codeUnit reads the \uXXXX that s begins with.
func codeUnit(s []byte) rune {
	unit, _ := strconv.ParseUint(string(s[2:6]), 16, 16) // valid JSON has four hex digits there
	return rune(unit)
}

// inOrder reports whether the names of every object stand in an order, and
// whether there is any choice of order at all.
func (v jsonValue) inOrder(order jsonOrder) (ordered, choice bool) {
	ordered = true
	for i, m := range v.members {
		if i > 0 && v.open == '{' {
			choice = true
			ordered = ordered && order(0, plainName(v.members[i-1].name), plainName(m.name)) <= 0
		}
		o, c := m.value.inOrder(order)
		ordered, choice = ordered && o, choice || c
	}
	return ordered, choice
}
