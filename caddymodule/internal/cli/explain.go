package cli

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/envelope"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/signature"
)

// explanation is what is wrong with a capture that does not verify. It never
// holds a secret, nor a signature that was computed.
type explanation struct {
	Change   string `json:"change"` // a row of changes, or a word of explain
	Sentence string `json:"sentence"`
	Remedy   string `json:"remedy"`
	// Then is the verdict once the change is made.
	Then *verdict `json:"then,omitempty"`
}

// explainCapture finds the one change by which a capture that judge refuses would
// verify. tried is called before each attempt, of which some large bodies take
// a while.
func explainCapture(d capture, secret []byte, window window, now time.Time, tried func()) explanation {
	v := judge(d, secret, window, now)
	switch v.Reason {
	case reasonStale, reasonFuture:
		return explainTime(d, v, window, now)
	case reasonMethod:
		return explanation{Change: "method", Sentence: capitalise(v.Sentence) + ".", Remedy: "Only POSTs are webhooks. A redirect turns a POST into a GET: give ElevenLabs the URL that it ends at."}
	}
	clues := parseLoosely(d)
	base := attempt{secret: secret, before: clues.time + ".", body: d.body, macs: decodeAll(clues.v0, hex.DecodeString)}
	for _, c := range changes {
		for detail, a := range c.attempts(base, clues) {
			tried()
			if !a.matches() {
				continue
			}
			e := explanation{Change: c.name, Sentence: c.sentence + detail + ".", Remedy: c.remedy}
			if signedAt, ok := a.signedAt(); ok {
				then := judgeAge(signedAt, window, now)
				e.Then = &then
			}
			return e
		}
	}
	return nothingFits(d)
}

// attempt is a way in which a capture may have been signed.
type attempt struct {
	secret []byte
	before string // what is signed before the body: the timestamp and a dot
	body   []byte
	macs   [][]byte // any of which may match
}

func (a attempt) matches() bool {
	if len(a.macs) == 0 {
		return false
	}
	mac := hmac.New(sha256.New, a.secret)
	mac.Write([]byte(a.before)) // hash.Hash never returns an error
	mac.Write(a.body)
	sum := mac.Sum(nil)
	return slices.ContainsFunc(a.macs, func(given []byte) bool { return hmac.Equal(given, sum) })
}

func (a attempt) signedAt() (time.Time, bool) {
	t := strings.TrimSuffix(a.before, ".")
	number, err := strconv.ParseInt(t, 10, 64)
	if err == nil && isMilliseconds(t) {
		return time.UnixMilli(number), true
	}
	return time.Unix(number, 0), err == nil
}

func isMilliseconds(t string) bool { return len(t) == 13 }

// clues are a capture and its signature header, however that is written.
type clues struct {
	capture
	time   string
	v0, v1 []string
	whole  []string // the lines as they are
	other  bool     // it has another name: X-ElevenLabs-Signature
	wrong  error    // what package signature has against it
}

func parseLoosely(d capture) clues {
	_, err := signature.Parse(d.lines)
	h := clues{capture: d, whole: d.lines, wrong: err}
	if len(d.lines) == 0 && len(d.recipe) > 0 {
		h.whole, h.other = d.recipe, true
	}
	for _, line := range h.whole {
		for element := range strings.FieldsFuncSeq(line, func(r rune) bool { return r == ',' || r == ';' }) {
			name, value, _ := strings.Cut(element, "=")
			value = trimQuotes(value)
			switch strings.ToLower(trimQuotes(name)) {
			case "t":
				if h.time == "" {
					h.time = value
				}
			case "v0":
				h.v0 = append(h.v0, value)
			case "v1":
				h.v1 = append(h.v1, value)
			}
		}
	}
	return h
}

// decodeAll decodes what are MACs, and leaves out what is none.
func decodeAll(values []string, decoders ...func(string) ([]byte, error)) [][]byte {
	var macs [][]byte
	for _, value := range values {
		for _, decode := range decoders {
			if mac, err := decode(value); err == nil && len(mac) == sha256.Size {
				macs = append(macs, mac)
			}
		}
	}
	return macs
}

// decoders are of hex, and after that of all kinds of base64.
var decoders = []func(string) ([]byte, error){
	hex.DecodeString,
	base64.StdEncoding.DecodeString, base64.RawStdEncoding.DecodeString,
	base64.URLEncoding.DecodeString, base64.RawURLEncoding.DecodeString,
}

// change is one thing that may have gone wrong, and the attempts that undo it,
// each with a detail for the sentence.
type change struct {
	name             string
	sentence, remedy string // the sentence without its full stop
	attempts         func(base attempt, h clues) iter.Seq2[string, attempt]
}

const (
	useRawBody     = "Verify the bytes as they came, before any JSON parser: express.raw in Express, await request.text() in Next.js, request.get_data() in Flask, await request.body() in FastAPI, request.body in Django, php://input in PHP, request.raw_post in Rails."
	mendSecret     = "Correct the secret where it was read from: the whole of it is wsec_ and what follows, and nothing else."
	mendSender     = "Correct the secret where the sender has it: the whole of it is wsec_ and what follows, and nothing else."
	mendHeader     = "In the sender, make the header ElevenLabs-Signature: t=<Unix seconds>,v0=<64 hex digits>. `caddy elevenlabs sign` does it right, and `caddy elevenlabs send` sends."
	mendCapture    = "Capture the body as it came, byte by byte. Editors, terminals and log viewers change line ends, and so does git (core.autocrlf)."
	mendCharset    = "Handle the body as bytes. What must have it as text has to take it for UTF-8, and so must the file or database that it was kept in."
	byteOrderMark  = "\ufeff"
	secretPrefix   = "wsec_"
	standardPrefix = "whsec_" // of Standard Webhooks and Stripe
)

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
			values := slices.Concat(h.v0, h.v1)
			for _, line := range h.whole {
				values = append(values, strings.TrimPrefix(trimQuotes(line), "sha256="))
			}
			a.before, a.macs = "", decodeAll(values, decoders...)
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
		once(func(a attempt, h clues) (attempt, bool) { return a, h.declared >= 0 && h.declared != len(h.body) }),
	},
	{
		"secret_blanks", "The secret that was given has blanks or line ends in it, which do not belong to it", mendSecret,
		secrets(func(s string) []string { return []string{strings.TrimSpace(s), strings.Join(strings.Fields(s), "")} }),
	},
	{
		"secret_quotes", "The secret that was given has quotes round it, which do not belong to it", mendSecret,
		secrets(func(s string) []string { return []string{trimQuotes(s)} }),
	},
	{
		"secret_prefix_missing", "The secret that was given does not begin with wsec_, which belongs to it", mendSecret,
		secrets(func(s string) []string {
			s = strings.TrimSpace(s)
			return []string{secretPrefix + s, secretPrefix + strings.TrimPrefix(s, standardPrefix)}
		}),
	},
	{
		"secret_encoding", "The secret that was given is not written in plain ASCII: it has a byte order mark, or is in UTF-16", mendSecret + " Windows PowerShell writes such files with >; Set-Content -Encoding ascii does not.",
		secrets(func(s string) []string {
			decoded := []string{strings.TrimSpace(strings.TrimPrefix(s, byteOrderMark))}
			for _, utf16 := range utf16Encodings {
				if text, err := utf16.NewDecoder().String(s); err == nil {
					decoded = append(decoded, strings.TrimSpace(text))
				}
			}
			return decoded
		}),
	},
	{
		"sender_prefix_dropped", "It was signed with the secret without its wsec_", mendSender,
		secrets(func(s string) []string { return []string{strings.TrimPrefix(strings.TrimSpace(s), secretPrefix)} }),
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
			s = trimQuotes(s)
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

func (a attempt) withBody(body []byte) attempt {
	a.body = body
	return a
}

func appendEach(b []byte, ends ...string) [][]byte {
	longer := make([][]byte, 0, len(ends))
	for _, end := range ends {
		longer = append(longer, append(slices.Clip(b), end...))
	}
	return longer
}

func trimQuotes(s string) string { return strings.Trim(strings.TrimSpace(s), "\"'`“”‘’") }

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

// nothingFits says what can be said when no change makes the signature match.
func nothingFits(d capture) explanation {
	value, isJSON := parseJSON(d.body)
	sorted, choice := value.inOrder(sortedOrder)
	switch {
	case len(d.lines)+len(d.recipe) == 0:
		return explanation{
			Change:   "no_signature",
			Sentence: "There is no signature to compare with.",
			Remedy:   "Give the ElevenLabs-Signature header as it came. If it did not come: the request is not from ElevenLabs, or a proxy in front removes the header.",
		}
	case len(d.body) == 0:
		return explanation{
			Change:   "body_empty",
			Sentence: "The body is empty, and what was signed is not.",
			Remedy:   "Something read the body before it was captured, as body parsers do. " + useRawBody,
		}
	case bytes.ContainsRune(d.body, utf8.RuneError):
		return explanation{
			Change:   "characters_lost",
			Sentence: "No single change makes it match. But the body holds U+FFFD, which software puts for bytes that it cannot read as UTF-8: what they were cannot be recovered.",
			Remedy:   mendCharset + " Then capture another delivery.",
		}
	case isJSON && sorted && choice:
		return explanation{
			Change:   "order_lost",
			Sentence: "No single change makes it match. But all names in the body stand in alphabetical order, as a re-encoding leaves them; the order that was signed cannot be recovered.",
			Remedy:   useRawBody + " Otherwise it is another webhook's secret.",
		}
	}
	return explanation{
		Change:   "nothing_fits",
		Sentence: "No single change makes it match: it was signed with another secret, or the body was changed in some other way, or it is forged.",
		Remedy:   "Compare the secret first: each webhook has its own, shown once, when it is created; if it is lost, create a new webhook. Then verify the very bytes that came.",
	}
}

// explainTime says of a genuine signature why its time is out of the window:
// late, or by a wrong clock.
func explainTime(d capture, v verdict, window window, now time.Time) explanation {
	signedAt := time.Unix(*v.SignedAt, 0).UTC()
	age := now.Sub(signedAt)
	near := func(t time.Time) bool { return !t.IsZero() && t.Sub(signedAt).Abs() <= window.past }

	witness := "" // of the time at which it was sent, by another clock than ours
	switch {
	case near(d.date):
		witness = "the request's Date header"
	case near(eventTime(d.body)):
		witness = "the body's event_timestamp"
	}
	at := fmt.Sprintf("--at %d", signedAt.Unix())

	if v.Reason == reasonFuture {
		e := explanation{
			Change:   "clock_behind",
			Sentence: fmt.Sprintf("The signature is genuine, and made %s ahead of the time here, which is %s more than the tolerance.", span(-age), span(-age-window.future)),
			Remedy:   "This machine's clock is probably behind: compare it (timedatectl on Linux). To verify as of then: " + at + ".",
		}
		if witness != "" {
			e.Sentence += fmt.Sprintf(" %s agrees with it, so it is this machine's clock (%s) that looks wrong.", capitalise(witness), now.UTC().Format(time.RFC3339))
		}
		return e
	}
	e := explanation{
		Change:   "late",
		Sentence: fmt.Sprintf("The signature is genuine, and was made %s ago, which is %s more than the tolerance.", span(age), span(age-window.past)),
		Remedy:   "To verify a capture as of then: " + at + ".",
	}
	switch {
	case !d.date.IsZero() && !near(d.date) && d.date.After(signedAt):
		e.Change = "sent_late"
		e.Sentence += fmt.Sprintf(" By its Date header it was sent %s after it was signed.", span(d.date.Sub(signedAt)))
		e.Remedy = "It is a repeat that was not signed anew, or a replay. If ElevenLabs's repeats come so late, raise the tolerance. " + e.Remedy
	case witness != "":
		e.Sentence += fmt.Sprintf(" %s agrees with the time of signing. So it was captured then, or this machine's clock (%s) is ahead.", capitalise(witness), now.UTC().Format(time.RFC3339))
		e.Remedy += " If it came just now, set the clock right (timedatectl on Linux)."
	}
	return e
}

// eventTime is a body's event_timestamp, or zero.
func eventTime(body []byte) time.Time {
	var scanner envelope.Scanner
	_, _ = scanner.Write(body)
	seconds, err := strconv.ParseFloat(scanner.Fields().EventTimestamp, 64)
	if err != nil || seconds <= 0 || seconds > 1e12 {
		return time.Time{}
	}
	return time.Unix(int64(seconds), 0)
}

// span is a duration for reading: to the second, and in days where it is long.
func span(d time.Duration) string {
	d = d.Round(time.Second)
	if d.Abs() < 48*time.Hour {
		return d.String()
	}
	const day = 24 * time.Hour
	text := fmt.Sprintf("%d days", d/day)
	if rest := (d % day).Abs().Round(time.Minute); rest > 0 {
		text += " " + rest.String()
	}
	return text
}

func capitalise(s string) string { return strings.ToUpper(s[:1]) + s[1:] }
