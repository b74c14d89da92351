package reencode

import "unicode/utf8"

// longString is the length from which a string is abridged, such as that of audio.
const longString = 4 << 10

// Abridge returns a value in which each character of a long string stands only once.
// A form writes a character alike wherever it stands. So two forms that write the same
// of the abridged value write the same of the value itself.
func Abridge(v Value) Value {
	short, _ := Parse(AbridgeText(v.source))
	return short
}

// AbridgeText does the same with text that is valid JSON.
func AbridgeText(text []byte) []byte {
	if len(text) < longString {
		return text
	}
	var short []byte
	from := 0 // the text before it is in short already
	for i := 0; i < len(text); i++ {
		if text[i] != '"' {
			continue
		}
		p := parser{text[i:]}
		s := p.scalar()
		if len(s) >= longString {
			short = append(short, text[from:i]...)
			short = append(short, eachOnce(s)...)
			from = i + len(s)
		}
		i += len(s) - 1
	}
	return append(short, text[from:]...)
}

// eachOnce returns a string, given with its quotes, that has each character once, in
// each way in which it is written.
func eachOnce(s []byte) []byte {
	short := []byte{'"'}
	var plain [utf8.RuneSelf]bool
	seen := map[string]bool{}
	for s = s[1 : len(s)-1]; len(s) > 0; {
		if c := s[0]; c < utf8.RuneSelf && c != '\\' { // nearly all
			if !plain[c] {
				plain[c] = true
				short = append(short, c)
			}
			s = s[1:]
			continue
		}
		_, size := readCharacter(s)
		if written := string(s[:size]); !seen[written] {
			seen[written] = true
			short = append(short, written...)
		}
		s = s[size:]
	}
	return append(short, '"')
}
