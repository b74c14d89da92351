package inspector

import (
	"bufio"
	"io"
)

// shortener shortens the long strings of a JSON text, so that the audio in an event does
// not fill the memory. A string that was cut ends with an ellipsis.
type shortener struct {
	from *bufio.Reader
	most int // bytes of a string

	inside  bool // a string
	escape  int  // how many bytes of an escape are still to come
	length  int  // of the string so far
	cut     bool // the rest of the string is left out
	pending []byte
}

func newShortener(from io.Reader, most int) *shortener {
	return &shortener{from: bufio.NewReaderSize(from, 64<<10), most: most}
}

// Read implements io.Reader.
func (s *shortener) Read(p []byte) (n int, err error) {
	for n < len(p) {
		if len(s.pending) == 0 {
			c, err := s.from.ReadByte()
			if err != nil {
				if n > 0 {
					return n, nil
				}
				return 0, err
			}
			s.pending = s.next(c, s.pending[:0])
		}
		copied := copy(p[n:], s.pending)
		s.pending = s.pending[copied:]
		n += copied
	}
	return n, nil
}

// next appends what becomes of a byte.
func (s *shortener) next(c byte, to []byte) []byte {
	switch {
	case !s.inside:
		s.inside, s.length, s.cut = c == '"', 0, false
		return append(to, c)
	case c == '"' && s.escape == 0:
		s.inside = false
		return append(to, c)
	}
	s.length++
	begins := s.escape == 0 && c&0xc0 != 0x80 // no escape and no character is cut in two
	switch {
	case s.escape == 0 && c == '\\':
		s.escape = 1
	case s.escape == 1 && c == 'u':
		s.escape = 4
	case s.escape > 0:
		s.escape--
	}
	if s.cut {
		return to
	}
	if s.length > s.most && begins {
		s.cut = true
		return append(to, "…"...)
	}
	return append(to, c)
}
