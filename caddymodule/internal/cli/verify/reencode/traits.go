package reencode

import "bytes"

// Traits says in what a text's form is not ElevenLabs's. Each completes "the body …".
// There are none if ElevenLabs may have written the text.
func Traits(text []byte, v Value) []string {
	text, v = AbridgeText(bytes.TrimRight(text, "\r\n")), Abridge(v)
	kept := escapes{kept: true}
	var traits []string
	switch {
	case bytes.Equal(text, Form{layout: spaced, escapes: kept}.Append(nil, v)):
	case v.scalar != nil || len(v.members) == 0:
	case bytes.Equal(text, Form{layout: compact, escapes: kept}.Append(nil, v)):
		traits = append(traits, "has no blanks after commas and colons")
	case bytes.ContainsRune(text, '\n'):
		traits = append(traits, "is indented")
	default:
		traits = append(traits, "has blanks in other places")
	}
	plainForm, asciiForm := Form{layout: compact}, Form{layout: compact, escapes: escapes{ascii: true, other: deleteKey}}
	written := Form{layout: compact, escapes: kept}.Append(nil, v)
	if !bytes.Equal(written, plainForm.Append(nil, v)) && !bytes.Equal(written, asciiForm.Append(nil, v)) {
		traits = append(traits, "escapes other characters")
	}
	if v.losesFractions() {
		traits = append(traits, "has 0 where ElevenLabs writes 0.0")
	}
	if v.some(func(at place, v Value) bool {
		return v.scalar != nil && v.scalar[0] == '"' && named(at, certainFloatNames...) || v.isQuotedNumber(at)
	}) {
		traits = append(traits, "has text where ElevenLabs writes a number")
	}
	data, _ := v.Member("data")
	_, isTranscript := data.Member("transcript")
	if isTranscript && !v.some(func(_ place, v Value) bool { return string(v.scalar) == "null" }) {
		traits = append(traits, "has no null, of which ElevenLabs writes many")
	}
	if !bytes.Equal(written, Form{layout: compact, escapes: kept, number: pythonDigits.write}.Append(nil, v)) {
		traits = append(traits, "writes numbers in another form")
	}
	if sorted, several := v.Sorted(); sorted && several {
		traits = append(traits, "has all names in alphabetical order")
	} else if sorted, several := v.SortedByLength(); sorted && several {
		traits = append(traits, "has all names in the order of their length")
	}
	return traits
}

// losesFractions reports whether an integer is where ElevenLabs writes a float.
func (v Value) losesFractions() bool {
	return v.some(func(at place, v Value) bool {
		return v.isNumber() && !isFloat(v.scalar) && named(at, certainFloatNames...)
	})
}
