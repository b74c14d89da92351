package verify

import (
	"bytes"
	"compress/gzip"
	"io"
	"iter"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/verify/reencode"
)

const byteOrderMark = "\ufeff"

// attempts make, from the capture as it is, those attempts that undo a change.
type attempts func(base attempt, k clues) iter.Seq2[string, attempt]

func none(func(string, attempt) bool) {}

func single(detail string, a attempt) iter.Seq2[string, attempt] {
	return func(yield func(string, attempt) bool) { yield(detail, a) }
}

// undo makes at most one attempt.
func undo(one func(attempt, clues) (attempt, bool)) attempts {
	return func(base attempt, k clues) iter.Seq2[string, attempt] {
		a, ok := one(base, k)
		if !ok {
			return none
		}
		return single("", a)
	}
}

// withSecrets makes attempts with other secrets.
func withSecrets(others func(string) []string) attempts {
	return func(base attempt, _ clues) iter.Seq2[string, attempt] {
		return func(yield func(string, attempt) bool) {
			for _, other := range others(string(base.secret)) {
				a := base
				a.secret = []byte(other)
				if other != string(base.secret) && !yield("", a) {
					return
				}
			}
		}
	}
}

// withBodies makes attempts with other bodies.
func withBodies(others func([]byte) [][]byte) attempts {
	return func(base attempt, _ clues) iter.Seq2[string, attempt] {
		return func(yield func(string, attempt) bool) {
			for _, other := range others(base.body) {
				if !bytes.Equal(other, base.body) && !yield("", base.withBody(other)) {
					return
				}
			}
		}
	}
}

func appendEach(b []byte, ends ...string) [][]byte {
	longer := make([][]byte, 0, len(ends))
	for _, end := range ends {
		longer = append(longer, append(slices.Clip(b), end...))
	}
	return longer
}

// onlyASCII drops blanks and all characters that are not printable ASCII.
func onlyASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' {
			return -1
		}
		return r
	}, s)
}

// anyForm makes an attempt if only the form of the header is wrong.
func anyForm(a attempt, k clues) iter.Seq2[string, attempt] {
	if k.wrong == nil {
		return none
	}
	return single(": "+k.wrong.Error(), a)
}

func inMilliseconds(a attempt, k clues) iter.Seq2[string, attempt] {
	if !isMilliseconds(k.time) {
		return none
	}
	return func(yield func(string, attempt) bool) {
		inSeconds := a
		inSeconds.before = strings.TrimSuffix(k.time, k.time[10:]) + "."
		_ = yield("", a) && yield(" in the header, and in seconds in the signed text", inSeconds)
	}
}

func otherLineEnds(a attempt, _ clues) iter.Seq2[string, attempt] {
	if !bytes.ContainsRune(a.body, '\n') {
		return none
	}
	return func(yield func(string, attempt) bool) {
		lf := bytes.ReplaceAll(a.body, []byte("\r\n"), []byte("\n"))
		crlf := bytes.ReplaceAll(lf, []byte("\n"), []byte("\r\n"))
		_ = yield(": the signed body has CRLF", a.withBody(crlf)) && yield(": the signed body has LF", a.withBody(lf))
	}
}

func uncompressed(b []byte) [][]byte {
	reader, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil
	}
	plain, err := io.ReadAll(io.LimitReader(reader, 1<<30))
	if err != nil {
		return nil
	}
	return [][]byte{plain}
}

// restoredBytes is up to how many bytes the search for the signed body tries other
// numbers.
const restoredBytes = 64 << 20

func reencoded(a attempt, _ clues) iter.Seq2[string, attempt] {
	return func(yield func(string, attempt) bool) {
		value, ok := reencode.Parse(bytes.TrimPrefix(a.body, []byte(byteOrderMark)))
		if !ok {
			return
		}
		var body []byte
		short, seen := reencode.Abridge(value), map[string]bool{}
		for _, form := range reencode.Forms {
			key := string(form.Append(nil, short))
			if seen[key] {
				continue
			}
			seen[key] = true
			body = form.Append(body[:0], value)
			if !yield(". The signed body is the same JSON "+form.Name, a.withBody(body)) {
				return
			}
		}
		for body := range reencode.Restorations(value, restoredBytes) {
			if !yield(". The signed body is the same JSON as ElevenLabs writes it, with a blank after each comma and colon, and floats such as 0.0 and 9.18e-05 (as Python's json.dumps writes it)", a.withBody(body)) {
				return
			}
		}
	}
}

var utf16Encodings = []encoding.Encoding{
	unicode.UTF16(unicode.LittleEndian, unicode.UseBOM), // a mark, if present, decides
	unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM),
}

// mayBeUTF16 reports whether a text begins with a byte order mark of UTF-16, or with
// two characters in UTF-16 of which one at least is ASCII, as those of JSON are.
func mayBeUTF16(text []byte) bool {
	return bytes.HasPrefix(text, []byte("\xff\xfe")) || bytes.HasPrefix(text, []byte("\xfe\xff")) ||
		bytes.IndexByte(text[:min(len(text), 4)], 0) >= 0
}

func isASCII(text []byte) bool {
	return !slices.ContainsFunc(text, func(c byte) bool { return c >= utf8.RuneSelf })
}

// recoded undoes conversions of a body that was in UTF-8.
func recoded(a attempt, _ clues) iter.Seq2[string, attempt] {
	if isASCII(a.body) && !mayBeUTF16(a.body) {
		return none
	}
	return func(yield func(string, attempt) bool) {
		for _, set := range []struct {
			name string
			encoding.Encoding
		}{{"Latin-1", charmap.ISO8859_1}, {"Windows-1252", charmap.Windows1252}} {
			// software read the bytes as UTF-8, and wrote the other set
			if !utf8.Valid(a.body) {
				if body, err := set.NewDecoder().Bytes(a.body); err == nil && !yield(": from UTF-8 to "+set.name, a.withBody(body)) {
					return
				}
				continue
			}
			// software read the bytes as the other set, and wrote UTF-8
			if body, err := set.NewEncoder().Bytes(a.body); err == nil && !yield(": it was read as "+set.name+", though it is UTF-8", a.withBody(body)) {
				return
			}
		}
		if !mayBeUTF16(a.body) {
			return
		}
		for _, utf16 := range utf16Encodings {
			body, err := utf16.NewDecoder().Bytes(a.body)
			if err != nil {
				continue
			}
			for _, body := range [][]byte{body, bytes.TrimRight(body, "\r\n")} { // PowerShell's > adds a line end
				if !yield(": from UTF-8 to UTF-16", a.withBody(body)) {
					return
				}
			}
		}
	}
}
