package reencode

import (
	"bytes"
	"cmp"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Form is a way to write JSON.
type Form struct {
	Name string

	layout
	escapes
	order

	// number writes a number. Nil keeps it as written.
	number number
	// empty writes an empty object or array. Nil keeps it.
	empty func(out []byte, at place, open byte) []byte

	asIs *[256]bool // the bytes that no escape begins with and that none replaces
}

// number writes a number after out.
type number func(out []byte, at place, text []byte) []byte

// place is where a value stands: the name of its member, and that of the object
// which has the member. Both have their quotes. Arrays have no names of their own.
type place struct{ parent, name []byte }

func (at place) below(m member) place {
	if m.name == nil {
		return at
	}
	return place{at.name, m.name}
}

type layout struct {
	comma, colon string
	indent       string // if not empty, each member has a line

	lineEnd     string // "\n" if empty
	inlineArray bool   // arrays have no lines, as in Jackson's
	emptyObject string // "{}" if empty
	emptyArray  string // "[]" if empty
	openLines   bool   // empty objects and arrays have a line too, as in jsonb_pretty's
	extraLine   bool   // and empty arrays have an empty line before it, as in Ruby's
}

var (
	compact = layout{comma: ",", colon: ":"}
	spaced  = layout{comma: ", ", colon: ": "}
)

func indented(by string) layout { return layout{comma: ",", colon: ": ", indent: by} }

// escapes says which characters are escaped although JSON does not require it.
type escapes struct {
	kept  bool   // all strings stay as written
	ascii bool   // characters beyond ASCII
	slash bool   // the slash, as \/
	other string // other characters
	quote bool   // the quote, as \u0022
	upper bool   // escapes have upper case digits
}

const (
	htmlCharacters = "<>&\u2028\u2029"
	deleteKey      = "\u007f"
)

// order compares two names of an object at a depth. Nil keeps the order.
type order func(depth int, a, b string) int

// Forms are the ways in which common software writes JSON, likely ones first. A
// sender may use any of them, and so may software on the way.
var Forms = func() []Form {
	layouts := []struct {
		name string
		layout
	}{
		{"without blanks (as JSON.stringify writes it)", compact},
		{"with a blank after each comma and colon (as Python's json.dumps writes it)", spaced},
		{"indented by 2", indented("  ")},
		{"indented by 4", indented("    ")},
	}
	strings := []struct {
		name string
		escapes
	}{
		{"", escapes{kept: true}},
		{", characters beyond ASCII written out", escapes{}},
		{`, characters beyond ASCII as \u escapes (Python)`, escapes{ascii: true, other: deleteKey}},
		{`, characters beyond ASCII as \u escapes and slashes as \/ (PHP's json_encode)`, escapes{ascii: true, slash: true}},
		{`, slashes as \/ (PHP)`, escapes{slash: true}},
		{`, <, > and & as \u escapes (Go's json.Marshal)`, escapes{other: htmlCharacters}},
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
				forms = append(forms, Form{Name: l.name + s.name + o.name, layout: l.layout, escapes: s.escapes, order: o.order})
			}
		}
	}
	return forms
}()

func sortedOrder(_ int, a, b string) int { return cmp.Compare(a, b) }

// lengthOrder is the order of names in PostgreSQL's jsonb and MySQL's JSON.
func lengthOrder(_ int, a, b string) int {
	return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b))
}

// documentedOrder is the order of the envelope in all of ElevenLabs's examples.
func documentedOrder(depth int, a, b string) int {
	if depth > 0 {
		return 0
	}
	envelope := []string{"data", "event_timestamp", "type"}
	return slices.Index(envelope, b) - slices.Index(envelope, a)
}

// Append writes a value after out.
func (f Form) Append(out []byte, v Value) []byte {
	f.asIs = f.bytesAsIs()
	return f.append(out, v, 0, place{})
}

func (f Form) append(out []byte, v Value, depth int, at place) []byte {
	switch {
	case v.scalar != nil && v.scalar[0] == '"':
		return f.appendString(out, v.scalar)
	case v.scalar != nil && f.number != nil && v.isNumber():
		return f.number(out, at, v.scalar)
	case v.scalar != nil:
		return append(out, v.scalar...)
	case len(v.members) == 0:
		return f.appendEmpty(out, v.open, depth, at)
	}
	members := v.members
	if f.order != nil && v.open == '{' {
		members = slices.Clone(members)
		slices.SortStableFunc(members, func(a, b member) int {
			return f.order(depth, plainName(a.name), plainName(b.name))
		})
	}
	inline := f.indent == "" || v.open == '[' && f.inlineArray
	out = append(out, v.open)
	for i, m := range members {
		if i > 0 {
			out = append(out, f.comma...)
		}
		switch {
		case !inline:
			out = f.appendLine(out, depth+1)
		case f.inlineArray:
			out = append(out, ' ')
		}
		if m.name != nil {
			out = f.appendString(out, m.name)
			out = append(out, f.colon...)
		}
		deeper := depth + 1
		if inline && f.inlineArray {
			deeper = depth // an array without lines adds no indent
		}
		out = f.append(out, m.value, deeper, at.below(m))
	}
	switch {
	case !inline:
		out = f.appendLine(out, depth)
	case f.inlineArray:
		out = append(out, ' ')
	}
	return append(out, closing(v.open))
}

func (f Form) appendLine(out []byte, depth int) []byte {
	out = append(out, cmp.Or(f.lineEnd, "\n")...)
	return append(out, strings.Repeat(f.indent, depth)...)
}

func (f Form) appendEmpty(out []byte, open byte, depth int, at place) []byte {
	switch {
	case f.empty != nil:
		return f.empty(out, at, open)
	case f.openLines:
		out = append(out, open)
		if open == '[' && f.extraLine {
			out = append(out, '\n')
		}
		return append(f.appendLine(out, depth), closing(open))
	case open == '{':
		return append(out, cmp.Or(f.emptyObject, "{}")...)
	}
	return append(out, cmp.Or(f.emptyArray, "[]")...)
}

var plainForm = Form{asIs: Form{}.bytesAsIs()}

// plainName returns a name without quotes and needless escapes, for comparison.
func plainName(name []byte) string {
	if !bytes.ContainsRune(name, '\\') {
		return string(name[1 : len(name)-1])
	}
	plain := plainForm.appendString(nil, name)
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
		for run < len(s) && f.asIs[s[run]] {
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
		case r == '"' && f.quote:
			out = f.appendEscape(out, r)
		case strings.ContainsRune("\"\\\b\f\n\r\t", r):
			out = append(out, '\\', `"\bfnrt`[strings.IndexRune("\"\\\b\f\n\r\t", r)])
		case r == '/' && f.slash:
			out = append(out, `\/`...)
		case r < ' ' || utf16.IsSurrogate(r) || f.mustEscape(r):
			if high, low := utf16.EncodeRune(r); high != utf8.RuneError {
				out = f.appendEscape(out, high)
				r = low
			}
			out = f.appendEscape(out, r)
		default:
			out = utf8.AppendRune(out, r)
		}
		s = s[size:]
	}
	return append(out, '"')
}

func (f Form) bytesAsIs() *[256]bool {
	asIs := new([256]bool)
	for c := range byte(utf8.RuneSelf) {
		asIs[c] = c >= ' ' && c != '"' && c != '\\' && !f.mustEscape(rune(c))
	}
	return asIs
}

func (f Form) mustEscape(r rune) bool {
	return f.ascii && r >= utf8.RuneSelf || f.slash && r == '/' || f.other != "" && strings.ContainsRune(f.other, r)
}

func (f Form) appendEscape(out []byte, unit rune) []byte {
	digits := "0123456789abcdef"
	if f.upper {
		digits = "0123456789ABCDEF"
	}
	return append(out, '\\', 'u', digits[unit>>12&15], digits[unit>>8&15], digits[unit>>4&15], digits[unit&15])
}
