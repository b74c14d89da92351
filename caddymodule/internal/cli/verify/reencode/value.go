// Package reencode writes JSON in the ways in which common software does, so that
// a body that was parsed and encoded again can be restored.
package reencode

import (
	"bytes"
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
	source  []byte // as written
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
	start := p.rest
	v := p.unsourced()
	v.source = start[:len(start)-len(p.rest)]
	return v
}

func (p *parser) unsourced() Value {
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

func (v Value) isNumber() bool {
	return v.scalar != nil && (v.scalar[0] == '-' || v.scalar[0] >= '0' && v.scalar[0] <= '9')
}

// HasNumbers reports whether there is a number in the value.
func (v Value) HasNumbers() bool {
	return v.some(func(_ place, v Value) bool { return v.isNumber() })
}

// some reports whether a value, or one within it, is as asked for.
func (v Value) some(is func(place, Value) bool) bool { return v.someAt(place{}, is) }

func (v Value) someAt(at place, is func(place, Value) bool) bool {
	return is(at, v) || slices.ContainsFunc(v.members, func(m member) bool { return m.value.someAt(at.below(m), is) })
}

// Member returns a member of an object.
func (v Value) Member(name string) (Value, bool) {
	if v.open == '{' {
		for _, m := range v.members {
			if plainName(m.name) == name {
				return m.value, true
			}
		}
	}
	return Value{}, false
}

// Names returns the names of an object's members.
func (v Value) Names() []string {
	if v.open != '{' {
		return nil
	}
	names := make([]string, 0, len(v.members))
	for _, m := range v.members {
		names = append(names, plainName(m.name))
	}
	return names
}

// Only returns an object without those members that have other names.
func (v Value) Only(names ...string) Value {
	v.members = slices.DeleteFunc(slices.Clone(v.members), func(m member) bool { return !slices.Contains(names, plainName(m.name)) })
	return v
}

// With returns an object in which a member has another value.
func (v Value) With(name string, value Value) Value {
	v.members = slices.Clone(v.members)
	for i, m := range v.members {
		if plainName(m.name) == name {
			v.members[i].value = value
		}
	}
	return v
}

// Items returns the values of an array or object.
func (v Value) Items() []Value {
	items := make([]Value, 0, len(v.members))
	for _, m := range v.members {
		items = append(items, m.value)
	}
	return items
}

// IsArray reports whether the value is an array.
func (v Value) IsArray() bool { return v.open == '[' }

// IsObject reports whether the value is an object.
func (v Value) IsObject() bool { return v.open == '{' }

// Text returns a string as bytes. It reports false if the value is none.
func (v Value) Text() ([]byte, bool) {
	if v.scalar == nil || v.scalar[0] != '"' {
		return nil, false
	}
	text := make([]byte, 0, len(v.scalar))
	for s := v.scalar[1 : len(v.scalar)-1]; len(s) > 0; {
		r, size := readCharacter(s)
		if r == utf8.RuneError && size == 1 {
			text = append(text, s[0])
		} else {
			text = utf8.AppendRune(text, r)
		}
		s = s[size:]
	}
	return text, true
}

// Source returns the value as written.
func (v Value) Source() []byte { return v.source }

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
func (v Value) Sorted() (sorted, several bool) { return v.inOrder(sortedOrder) }

// SortedByLength is Sorted for the order in which short names come first.
func (v Value) SortedByLength() (sorted, several bool) { return v.inOrder(lengthOrder) }

func (v Value) inOrder(by order) (sorted, several bool) {
	sorted = true
	for i, m := range v.members {
		if i > 0 && v.open == '{' {
			several = true
			sorted = sorted && by(0, plainName(v.members[i-1].name), plainName(m.name)) <= 0
		}
		s, more := m.value.inOrder(by)
		sorted, several = sorted && s, several || more
	}
	return sorted, several
}
