package reencode

import "slices"

// isQuotedNumber reports whether a text has a number where ElevenLabs writes a float.
func (v Value) isQuotedNumber(at place) bool {
	_, ok := v.quotedNumber()
	return ok && named(at, floatNames...)
}

// quotedNumber returns the number that a text consists of.
func (v Value) quotedNumber() (Value, bool) {
	if v.scalar == nil || v.scalar[0] != '"' {
		return Value{}, false
	}
	inner := v.scalar[1 : len(v.scalar)-1]
	number, ok := Parse(inner)
	return number, ok && number.isNumber() && len(number.scalar) == len(inner)
}

// withoutQuotes returns the value with numbers in place of texts where ElevenLabs
// writes floats, and whether there are any. Software makes text of numbers that have no
// exact float, such as Decimal in Python.
func (v Value) withoutQuotes(at place) (Value, bool) {
	if v.isQuotedNumber(at) {
		return v.quotedNumber()
	}
	changed := false
	for i, m := range v.members {
		value, ok := m.value.withoutQuotes(at.below(m))
		if !ok {
			continue
		}
		if !changed {
			v.members, changed = slices.Clone(v.members), true
		}
		v.members[i].value = value
	}
	return v, changed
}
