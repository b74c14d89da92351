package cli

import (
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"io"
	"iter"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
)

// change is one thing that may have gone wrong, and the attempts that undo it,
// each with a detail for the sentence.
type change struct {
	name             string
	sentence, remedy string // the sentence without its full stop
	attempts         func(base attempt, h clues) iter.Seq2[string, attempt]
}

const (
	useRawBody      = "Verify the bytes as they came, before any JSON parser: express.raw in Express, await request.text() in Next.js, request.get_data() in Flask, await request.body() in FastAPI, request.body in Django, php://input in PHP, request.raw_post in Rails."
	mendSecret      = "Correct the secret where it was read from: the whole of it is wsec_ and what follows, and nothing else."
	mendSender      = "Correct the secret where the sender has it: the whole of it is wsec_ and what follows, and nothing else."
	mendHeader      = "In the sender, make the header ElevenLabs-Signature: t=<Unix seconds>,v0=<64 hex digits>. `caddy elevenlabs sign` does it right, and `caddy elevenlabs send` sends."
	mendCapture     = "Capture the body as it came, byte by byte. Editors, terminals and log viewers change line ends, and so does git (core.autocrlf)."
	mendCharset     = "Handle the body as bytes. What must have it as text has to take it for UTF-8, and so must the file or database that it was kept in."
	mendCompression = "Verify the body as it is signed, which is not compressed: switch compression of requests off in what is in front, or decompress first."
	byteOrderMark   = "\ufeff"
	secretPrefix    = "wsec_"
	standardPrefix  = "whsec_" // of Standard Webhooks and Stripe
)

// wholeSecret finds secrets in other text.
var wholeSecret = regexp.MustCompile(secretPrefix + `\w+`)

// changes are tried from first to last: the header, which takes no time, the
// secret, and the body from likely to rare.
var changes = []change{
	{
		"header_name", "The signature is right, but stands in the header X-ElevenLabs-Signature, as in a copied recipe", mendHeader,
		once(func(a attempt, h clues) (attempt, bool) { return a, h.other }),
	},
	{
		"timestamp_milliseconds", "The timestamp is in milliseconds", "In the sender, sign and send whole seconds: Math.floor(Date.now() / 1000) in JavaScript, int(time.time()) in Python.",
		inMilliseconds,
	},
	{
		"scheme_v1", "The signature is right, but stands under v1, as in a copied recipe; that of ElevenLabs stands under v0", mendHeader,
		once(func(a attempt, h clues) (attempt, bool) {
			a.macs = decodeAll(h.v1, hex.DecodeString)
			return a, true
		}),
	},
	{
		"signature_base64", "The signature is right, but written in base64; that of ElevenLabs is in hex", mendHeader,
		once(func(a attempt, h clues) (attempt, bool) {
			a.macs = decodeAll(slices.Concat(h.v0, h.v1), decoders[1:]...)
			return a, true
		}),
	},
	{
		"body_only", "Only the body was signed, without the timestamp, as in a copied recipe with x-elevenlabs-signature; ElevenLabs signs the timestamp, a dot and the body", mendHeader,
		once(func(a attempt, h clues) (attempt, bool) {
			a.before, a.macs = "", decodeAll(slices.Concat(h.v0, h.v1, h.bare()), decoders...)
			return a, true
		}),
	},
	{
		"header_form", "The signature is right, only the form of the header is not", mendHeader,
		func(a attempt, h clues) iter.Seq2[string, attempt] {
			if h.wrong == nil {
				return nothing
			}
			return one(": "+h.wrong.Error(), a)
		},
	},
	{
		"content_length", "All of the captured body was signed, but the request's Content-Length is another", "Something changed the header or the body after it was sent, or the capture was edited: capture it anew, nearer to the client.",
		once(func(a attempt, h clues) (attempt, bool) {
			return a.withBody(h.body), h.declared >= 0 && h.declared != len(h.body)
		}),
	},
	{
		"secret_blanks", "The secret that was given has blanks or line ends in it, which do not belong to it", mendSecret,
		secrets(func(s string) []string { return []string{strings.TrimSpace(s), strings.Join(strings.Fields(s), "")} }),
	},
	{
		"secret_quotes", "The secret that was given has quotes round it, which do not belong to it", mendSecret,
		secrets(func(s string) []string { return []string{cmdutil.TrimQuotes(s)} }),
	},
	{
		"secret_prefix_missing", "The secret that was given does not begin with wsec_, which belongs to it", mendSecret,
		secrets(func(s string) []string {
			s = strings.TrimSpace(s)
			if strings.HasPrefix(s, secretPrefix) {
				return nil
			}
			return []string{secretPrefix + s, secretPrefix + strings.TrimPrefix(s, standardPrefix)}
		}),
	},
	{
		"secret_encoding", "The secret that was given is not written in plain ASCII: it has a byte order mark or another character that cannot be seen, or is in UTF-16", mendSecret + " Windows PowerShell writes such files with >; Set-Content -Encoding ascii does not. Web pages and chats add such characters to what is copied from them.",
		secrets(func(s string) []string { return []string{onlyASCII(s)} }),
	},
	{
		"secret_assigned", "The secret that was given has a name before it, as in NAME=wsec_…", mendSecret,
		secrets(func(s string) []string { return wholeSecret.FindAllString(s, -1) }),
	},
	{
		"secret_prefix_doubled", "The secret that was given begins with wsec_ twice", mendSecret,
		secrets(func(s string) []string {
			once := strings.TrimPrefix(strings.TrimSpace(s), secretPrefix)
			if !strings.HasPrefix(once, secretPrefix) {
				return nil
			}
			return []string{once}
		}),
	},
	{
		"sender_prefix_dropped", "It was signed with the secret without its wsec_", mendSender,
		secrets(func(s string) []string { return []string{strings.TrimPrefix(strings.TrimSpace(s), secretPrefix)} }),
	},
	{
		"sender_prefix_doubled", "It was signed with the secret and one more wsec_ before it", mendSender,
		secrets(func(s string) []string { return []string{secretPrefix + strings.TrimSpace(s)} }),
	},
	{
		"sender_secret_blanks", "It was signed with the secret and a blank or line end round it", mendSender,
		secrets(func(s string) []string {
			s = strings.TrimSpace(s)
			return []string{s + "\n", s + "\r\n", s + "\r", s + " ", " " + s, " " + s + " ", "\n" + s}
		}),
	},
	{
		"sender_secret_quotes", "It was signed with the secret and quotes round it", mendSender,
		secrets(func(s string) []string {
			s = cmdutil.TrimQuotes(s)
			return []string{`"` + s + `"`, "'" + s + "'"}
		}),
	},
	{
		"line_end_added", "A line end or blanks were added to the body's end", mendCapture + " In a shell, use printf %s or echo -n.",
		bodies(func(b []byte) [][]byte {
			return [][]byte{bytes.TrimSuffix(b, []byte("\n")), bytes.TrimSuffix(b, []byte("\r\n")), bytes.TrimRight(b, " \t\r\n")}
		}),
	},
	{
		"line_end_lost", "The line end at the body's end was lost", mendCapture + " A shell's $(…) drops it, and so does curl -d; use curl --data-binary.",
		bodies(func(b []byte) [][]byte { return appendEach(b, "\n", "\r\n") }),
	},
	{
		"line_ends_changed", "The body's line ends were changed", mendCapture,
		func(a attempt, _ clues) iter.Seq2[string, attempt] {
			return func(yield func(string, attempt) bool) {
				lf := bytes.ReplaceAll(a.body, []byte("\r\n"), []byte("\n"))
				crlf := bytes.ReplaceAll(lf, []byte("\n"), []byte("\r\n"))
				_ = yield(": what was signed has CRLF", a.withBody(crlf)) && yield(": what was signed has LF", a.withBody(lf))
			}
		},
	},
	{
		"bom_lost", "The byte order mark at the body's start was lost", "Handle the body as bytes. TextDecoder, and with it request.text() in JavaScript, drops the mark, and so does Python's utf-8-sig.",
		bodies(func(b []byte) [][]byte { return [][]byte{append([]byte(byteOrderMark), b...)} }),
	},
	{
		"bom_added", "A byte order mark was added at the body's start", mendCapture + " Windows PowerShell and Notepad add it.",
		bodies(func(b []byte) [][]byte { return [][]byte{bytes.TrimPrefix(b, []byte(byteOrderMark))} }),
	},
	{
		"body_compressed", "The body was compressed (gzip) after it was signed", mendCompression,
		bodies(func(b []byte) [][]byte {
			reader, err := gzip.NewReader(bytes.NewReader(b))
			if err != nil {
				return nil
			}
			plain, err := io.ReadAll(io.LimitReader(reader, 1<<30))
			if err != nil {
				return nil
			}
			return [][]byte{plain}
		}),
	},
	{
		"body_reserialised", "The body was parsed and written anew. What was signed is the same JSON ", useRawBody,
		reserialised,
	},
	{
		"character_set", "The body was converted to another character set", mendCharset,
		recoded,
	},
}

func nothing(func(string, attempt) bool) {}

func one(detail string, a attempt) iter.Seq2[string, attempt] {
	return func(yield func(string, attempt) bool) { yield(detail, a) }
}

// once makes the attempts of a change that is undone in one way, if at all.
func once(undo func(attempt, clues) (attempt, bool)) func(attempt, clues) iter.Seq2[string, attempt] {
	return func(base attempt, h clues) iter.Seq2[string, attempt] {
		a, ok := undo(base, h)
		if !ok {
			return nothing
		}
		return one("", a)
	}
}

// secrets makes attempts of other secrets.
func secrets(others func(string) []string) func(attempt, clues) iter.Seq2[string, attempt] {
	return func(base attempt, _ clues) iter.Seq2[string, attempt] {
		return func(yield func(string, attempt) bool) {
			for _, other := range others(string(base.secret)) {
				a := base
				a.secret = []byte(other)
				if !yield("", a) {
					return
				}
			}
		}
	}
}

// bodies makes attempts of other bodies.
func bodies(others func([]byte) [][]byte) func(attempt, clues) iter.Seq2[string, attempt] {
	return func(base attempt, _ clues) iter.Seq2[string, attempt] {
		return func(yield func(string, attempt) bool) {
			for _, other := range others(base.body) {
				if !yield("", base.withBody(other)) {
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

// onlyASCII leaves out blanks and all that is not printable ASCII.
func onlyASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' {
			return -1
		}
		return r
	}, s)
}

func inMilliseconds(a attempt, h clues) iter.Seq2[string, attempt] {
	if !isMilliseconds(h.time) {
		return nothing
	}
	return func(yield func(string, attempt) bool) {
		inSeconds := a
		inSeconds.before = strings.TrimSuffix(h.time, h.time[10:]) + "."
		_ = yield("", a) && yield(" in the header, and in seconds in what was signed", inSeconds)
	}
}

func reserialised(a attempt, _ clues) iter.Seq2[string, attempt] {
	return func(yield func(string, attempt) bool) {
		value, ok := parseJSON(bytes.TrimPrefix(a.body, []byte(byteOrderMark)))
		if !ok {
			return
		}
		var body []byte
		for _, form := range jsonForms {
			body = form.append(body[:0], value, 0)
			if !yield(form.name, a.withBody(body)) {
				return
			}
		}
	}
}

var utf16Encodings = []encoding.Encoding{
	unicode.UTF16(unicode.LittleEndian, unicode.UseBOM), // a mark, if there is one, says which
	unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM),
}

// recoded undoes conversions of what was in UTF-8.
func recoded(a attempt, _ clues) iter.Seq2[string, attempt] {
	return func(yield func(string, attempt) bool) {
		for _, set := range []struct {
			name string
			encoding.Encoding
		}{{"Latin-1", charmap.ISO8859_1}, {"Windows-1252", charmap.Windows1252}} {
			// the bytes were taken for UTF-8 and written in the other
			if !utf8.Valid(a.body) {
				if body, err := set.NewDecoder().Bytes(a.body); err == nil && !yield(": from UTF-8 to "+set.name, a.withBody(body)) {
					return
				}
				continue
			}
			// the bytes were taken for the other and written in UTF-8
			if body, err := set.NewEncoder().Bytes(a.body); err == nil && !yield(": it was read as "+set.name+", though it is UTF-8", a.withBody(body)) {
				return
			}
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
