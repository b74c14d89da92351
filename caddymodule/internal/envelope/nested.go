package envelope

import (
	"encoding/binary"
	"math/bits"
)

// skipNested skips an object or array, up to its end.
func (s *Scanner) skipNested(p []byte) int {
	i := int(s.escape) // 1 if the previous piece ended in a backslash
	s.escape = 0
	for i < len(p) && s.state == inNested {
		i += s.skipWords(p[i:])
		i += s.skipBytes(p[min(i, len(p)):min(i+8, len(p))])
	}
	if i > len(p) {
		s.escape = 1
		return len(p)
	}
	return i
}

// skipBytes skips a few bytes of an object or array. It returns one more than there
// are if the last one is a backslash in a string.
func (s *Scanner) skipBytes(p []byte) (i int) {
	for ; i < len(p); i++ {
		switch c := p[i]; {
		case c == '"':
			s.quoted ^= 1
		case s.quoted == 1:
			if c == '\\' {
				i++
			}
		case c == '{' || c == '[':
			s.depth++
		case c == '}' || c == ']':
			if s.depth--; s.depth == 0 {
				s.endValue()
				return i + 1
			}
		}
	}
	return i
}

// A word is eight bytes of the body, the first one lowest.
const (
	each = 0x0101010101010101 // the lowest bit of each byte
	high = each << 7          // the highest bit of each byte
)

// where returns the highest bit of each byte of the word that is c, which is ASCII.
func where(word uint64, c byte) uint64 {
	const low = high - each // all bits but the highest of each byte
	// Without their highest bits, only a byte that is c does not carry into it.
	return ^((word&low ^ uint64(c)*each) + low | word) & high
}

// skipWords is skipBytes for as many whole words as possible. It stops at a word in
// which the object or array may end, or a string begins that has a backslash.
//
// It reads all brackets and quotes of a word at once. A transcript has so many short
// strings that branches for each, or calls of bytes.IndexByte, would take longer.
func (s *Scanner) skipWords(p []byte) (i int) {
	depth, quoted := s.depth, s.quoted
	for i+8 <= len(p) {
		word := binary.LittleEndian.Uint64(p[i:])
		quotes, backslashes := where(word, '"'), where(word, '\\')
		if quoted == 1 {
			ends := quotes | backslashes
			if ends == 0 {
				i += 8
				continue
			}
			if first := i + bits.TrailingZeros64(ends)/8; p[first] == '\\' {
				i = first + 2
				continue
			}
		}
		// The product counts the quotes up to each byte. Their number is odd in a string.
		count := (quotes>>7 + quoted) * each
		structure := ^(count << 7)
		const toBrace = ' ' * each // makes [ and ] to { and }
		opened := bits.OnesCount64(where(word|toBrace, '{') & structure)
		closed := bits.OnesCount64(where(word|toBrace, '}') & structure)
		if backslashes != 0 || closed >= depth {
			break
		}
		depth += opened - closed
		quoted = count >> 56 & 1
		i += 8
	}
	s.depth, s.quoted = depth, quoted
	return i
}
