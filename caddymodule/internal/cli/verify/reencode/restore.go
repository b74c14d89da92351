package reencode

import (
	"iter"
	"math"
	"slices"
	"strconv"
	"strings"
)

// floatNames are the names of numbers that ElevenLabs writes as floats, 0.0 for 0
// too, or their ends if they begin with an underscore. Software that knows one kind
// of number only writes 0.
var floatNames = append(slices.Clone(certainFloatNames),
	"llm_price", "_seconds", "cost_fiat", "start", "end", "logprob", "language_probability", "audio_duration_secs")

// certainFloatNames are those whose value is a float in all known deliveries.
var certainFloatNames = []string{"price", "platform_price", "_consumed", "elapsed_time", "_latency_secs", "vector_distance"}

// sometimesInteger is a name among those that is 0 where no model was used.
const sometimesInteger = "llm_price"

// objectNames are the names of objects that ElevenLabs sends empty. Software that
// has one kind of container only writes [].
var objectNames = []string{"custom_llm_extra_body", "model_usage", "evaluation_criteria_results", "data_collection_results", "dynamic_variables"}

func named(at place, names ...string) bool {
	name := plain(at.name)
	return slices.ContainsFunc(names, func(known string) bool {
		return name == known || known[0] == '_' && strings.HasSuffix(name, known)
	})
}

func plain(name []byte) string {
	if name == nil {
		return ""
	}
	return plainName(name)
}

// gap is a place in a text where ElevenLabs may have written either of two forms.
type gap struct {
	offset  int
	forms   [2]string // an integer and a float, or an array and an object
	written int       // the form that the value has
	group   int       // those of one group had the same form
}

// sketch is a text in ElevenLabs's form, with gaps.
type sketch struct {
	text   []byte
	gaps   []gap
	likely []int // the form of each group that its name suggests
}

// form is ElevenLabs's form, which is that of Python's json.dumps.
func elevenLabsForm(l layout, ascii bool, o order) Form {
	f := Form{layout: l, order: o, number: pythonDigits.write}
	if ascii {
		f.escapes = escapes{ascii: true, other: deleteKey}
	}
	return f
}

func newSketch(f Form, v Value) sketch {
	var s sketch
	groups := map[string]int{}
	add := func(offset int, at place, kind string, likely, written int, forms [2]string) {
		name := kind + string(at.parent) + string(at.name)
		group, ok := groups[name]
		if !ok {
			group = len(s.likely)
			groups[name] = group
			s.likely = append(s.likely, likely)
		}
		s.gaps = append(s.gaps, gap{offset, forms, written, group})
	}
	fractions := v.fractionNames(map[string]bool{}, place{})
	f.number = func(out []byte, at place, text []byte) []byte {
		number, err := strconv.ParseFloat(string(text), 64)
		if err != nil || number != math.Trunc(number) || math.Abs(number) >= 1e16 {
			return pythonDigits.write(out, at, text)
		}
		written, likely := 0, 0
		if isFloat(text) {
			written = 1
		}
		if (named(at, floatNames...) || fractions[plain(at.name)]) && (number != 0 || plain(at.name) != sometimesInteger) {
			likely = 1
		}
		integer := strings.TrimSuffix(string(pythonDigits.append(nil, number)), ".0")
		if written == 0 {
			integer = string(text)
		}
		add(len(out), at, "number", likely, written, [2]string{integer, integer + ".0"})
		return out
	}
	if arrays, objects := v.empties(); arrays != objects {
		f.empty = func(out []byte, at place, open byte) []byte {
			written, likely := 0, 0
			if open == '{' {
				written = 1
			}
			if named(at, objectNames...) {
				likely = 1
			}
			add(len(out), at, "empty", likely, written, [2]string{"[]", "{}"})
			return out
		}
	}
	s.text = f.Append(make([]byte, 0, len(v.source)), v)
	return s
}

// fractionNames collects the names of numbers that have a fraction.
func (v Value) fractionNames(names map[string]bool, at place) map[string]bool {
	if v.isNumber() {
		if number, err := strconv.ParseFloat(string(v.scalar), 64); err == nil && number != math.Trunc(number) {
			names[plain(at.name)] = true
		}
	}
	for _, m := range v.members {
		m.value.fractionNames(names, at.below(m))
	}
	return names
}

// empties reports whether there are empty arrays, and empty objects.
func (v Value) empties() (arrays, objects bool) {
	if v.scalar == nil && len(v.members) == 0 {
		return v.open == '[', v.open == '{'
	}
	for _, m := range v.members {
		a, o := m.value.empties()
		arrays, objects = arrays || a, objects || o
	}
	return arrays, objects
}

// fill writes the text after out. Choose returns the form of a gap.
func (s sketch) fill(out []byte, choose func(gap) int) []byte {
	from := 0
	for _, g := range s.gaps {
		out = append(out, s.text[from:g.offset]...)
		out = append(out, g.forms[choose(g)]...)
		from = g.offset
	}
	return append(out, s.text[from:]...)
}

// Restorations returns texts of a value that ElevenLabs may have written, likely
// ones first. Numbers get the form of floats by their names. Up to limit bytes of
// text follow in which one or two names have the other form. Each text is valid
// until the next. The same follows without the quotes of numbers that are text.
func Restorations(v Value, limit int) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		readings := []Value{v}
		if unquoted, ok := v.withoutQuotes(place{}); ok {
			readings = append(readings, unquoted)
		}
		for _, reading := range readings {
			for text := range restorations(reading, limit) {
				if !yield(text) {
					return
				}
			}
		}
	}
}

func restorations(v Value, limit int) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		var sketches []sketch
		short, seen := Abridge(v), map[string]bool{}
		for _, l := range []layout{spaced, compact} {
			for _, o := range []order{nil, documentedOrder} {
				for _, ascii := range []bool{true, false} {
					f := elevenLabsForm(l, ascii, o)
					if key := string(newSketch(f, short).text); !seen[key] {
						seen[key] = true
						sketches = append(sketches, newSketch(f, v))
					}
				}
			}
		}
		var out []byte
		try := func(s sketch, choose func(gap) int) bool {
			out = s.fill(out[:0], choose)
			return yield(out)
		}
		for _, s := range sketches {
			if !try(s, func(g gap) int { return g.written }) {
				return
			}
			asLikely := !slices.ContainsFunc(s.gaps, func(g gap) bool { return g.written != s.likely[g.group] })
			if !asLikely && !try(s, func(g gap) int { return s.likely[g.group] }) {
				return
			}
		}
		flip := func(groups ...int) bool {
			for _, s := range sketches {
				if limit -= len(s.text); limit < 0 {
					return false
				}
				if !try(s, func(g gap) int { return s.flipped(g, groups) }) {
					return false
				}
			}
			return true
		}
		groups := len(sketches[0].likely)
		for one := range groups {
			if !flip(one) {
				return
			}
		}
		for one := range groups {
			for other := range one {
				if !flip(one, other) {
					return
				}
			}
		}
	}
}

func (s sketch) flipped(g gap, groups []int) int {
	if slices.Contains(groups, g.group) {
		return 1 - s.likely[g.group]
	}
	return s.likely[g.group]
}
