package verify

import (
	"bytes"
	"encoding/hex"
	"slices"
	"strings"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"
)

// change is one thing that may have gone wrong, and the attempts that undo it, each
// with a detail for the sentence.
type change struct {
	name             string
	sentence, remedy string // the sentence without its full stop
	attempts         attempts
}

// changes are tried in this order: the header, which takes no time, the secret, and
// the body, from those that take little time to those that take much.
var changes = slices.Concat(simpleChanges, carrierChanges(), []change{
	{reserialised, "The body was parsed and encoded again", rawBodyRemedy, reencoded},
})

// reserialised is a change whose sentence and remedy also name who rewrote the body.
const reserialised = "body_reserialised"

var simpleChanges = []change{
	{
		"header_name", "The signature is right, but it is in the header X-ElevenLabs-Signature, as in recipes on the web", headerRemedy,
		undo(func(a attempt, k clues) (attempt, bool) { return a, k.renamed }),
	},
	{
		"timestamp_milliseconds", "The timestamp is in milliseconds", "In the sender, sign and send whole seconds: Math.floor(Date.now() / 1000) in JavaScript, int(time.time()) in Python.",
		inMilliseconds,
	},
	{
		"scheme_v1", "The signature is right, but it is under v1, as in recipes on the web; ElevenLabs puts it under v0", headerRemedy,
		undo(func(a attempt, k clues) (attempt, bool) {
			a.macs = decodeAll(k.v1, hex.DecodeString)
			return a, true
		}),
	},
	{
		"signature_base64", "The signature is right, but it is in base64; ElevenLabs writes it in hex", headerRemedy,
		undo(func(a attempt, k clues) (attempt, bool) {
			a.macs = decodeAll(slices.Concat(k.v0, k.v1), decoders[1:]...)
			return a, true
		}),
	},
	{
		"body_only", "Only the body was signed, without the timestamp, as in recipes on the web; ElevenLabs signs the timestamp, a dot and the body", headerRemedy,
		undo(func(a attempt, k clues) (attempt, bool) {
			a.before, a.macs = "", decodeAll(slices.Concat(k.v0, k.v1, k.bare()), decoders...)
			return a, true
		}),
	},
	{
		"header_form", "The signature is right, but the form of the header is not", headerRemedy,
		anyForm,
	},
	{
		"content_length", "The whole captured body was signed, but the request's Content-Length is not its length", "Something changed the header or the body on the way, or the capture was edited: capture the request again, nearer to the client.",
		undo(func(a attempt, k clues) (attempt, bool) {
			return a.withBody(k.body), k.declared >= 0 && k.declared != len(k.body)
		}),
	},
	{
		"secret_blanks", "The given secret has blanks or line ends in it, which are not part of it", secretRemedy,
		withSecrets(func(s string) []string { return []string{strings.TrimSpace(s), strings.Join(strings.Fields(s), "")} }),
	},
	{
		"secret_quotes", "The given secret has quotes around it, which are not part of it", secretRemedy,
		withSecrets(func(s string) []string { return []string{cmdutil.TrimQuotes(s)} }),
	},
	{
		"secret_prefix_missing", "The given secret does not begin with wsec_, which is part of it", secretRemedy,
		withSecrets(func(s string) []string {
			s = strings.TrimSpace(s)
			if strings.HasPrefix(s, facts.SecretPrefix) {
				return nil
			}
			return []string{facts.SecretPrefix + s, facts.SecretPrefix + strings.TrimPrefix(s, facts.KeyPrefix)}
		}),
	},
	{
		"secret_encoding", "The given secret is not plain ASCII: it has a byte order mark or another character that cannot be seen, or it is in UTF-16", secretRemedy + " Windows PowerShell writes such files with >; Set-Content -Encoding ascii does not. Web pages and chats add such characters to copied text.",
		withSecrets(func(s string) []string { return []string{onlyASCII(s)} }),
	},
	{
		"secret_assigned", "The given secret has a name before it, as in NAME=wsec_…", secretRemedy,
		withSecrets(func(s string) []string { return facts.FindSecrets(s) }),
	},
	{
		"secret_prefix_doubled", "The given secret begins with wsec_ twice", secretRemedy,
		withSecrets(func(s string) []string {
			once := strings.TrimPrefix(strings.TrimSpace(s), facts.SecretPrefix)
			if !strings.HasPrefix(once, facts.SecretPrefix) {
				return nil
			}
			return []string{once}
		}),
	},
	{
		"sender_prefix_dropped", "The sender signed with the secret without its wsec_", senderRemedy,
		withSecrets(func(s string) []string { return []string{strings.TrimPrefix(strings.TrimSpace(s), facts.SecretPrefix)} }),
	},
	{
		"sender_prefix_doubled", "The sender signed with the secret and a second wsec_ before it", senderRemedy,
		withSecrets(func(s string) []string { return []string{facts.SecretPrefix + strings.TrimSpace(s)} }),
	},
	{
		"sender_secret_blanks", "The sender signed with the secret and a blank or line end around it", senderRemedy,
		withSecrets(func(s string) []string {
			s = strings.TrimSpace(s)
			return []string{s + "\n", s + "\r\n", s + "\r", s + " ", " " + s, " " + s + " ", "\n" + s}
		}),
	},
	{
		"sender_secret_quotes", "The sender signed with the secret and quotes around it", senderRemedy,
		withSecrets(func(s string) []string {
			s = cmdutil.TrimQuotes(s)
			return []string{`"` + s + `"`, "'" + s + "'"}
		}),
	},
	{
		"line_end_added", "A line end or blanks were added at the end of the body", captureRemedy + " In a shell, use printf %s or echo -n.",
		withBodies(func(b []byte) [][]byte {
			return [][]byte{bytes.TrimSuffix(b, []byte("\n")), bytes.TrimSuffix(b, []byte("\r\n")), bytes.TrimRight(b, " \t\r\n")}
		}),
	},
	{
		"blanks_before", "Blanks or line ends were added before the body", captureRemedy,
		withBodies(func(b []byte) [][]byte { return [][]byte{bytes.TrimLeft(b, " \t\r\n"), bytes.TrimSpace(b)} }),
	},
	{
		"line_end_lost", "The line end at the end of the body was lost", captureRemedy + " A shell's $(…) drops it, and so does curl -d; use curl --data-binary.",
		withBodies(func(b []byte) [][]byte { return appendEach(b, "\n", "\r\n") }),
	},
	{
		"line_ends_changed", "The line ends of the body were changed", captureRemedy,
		otherLineEnds,
	},
	{
		"bom_lost", "The byte order mark at the start of the body was lost", "Handle the body as bytes. TextDecoder, and with it request.text() in JavaScript, drops the mark, and so does Python's utf-8-sig.",
		withBodies(func(b []byte) [][]byte { return [][]byte{append([]byte(byteOrderMark), b...)} }),
	},
	{
		"bom_added", "A byte order mark was added at the start of the body", captureRemedy + " Windows PowerShell and Notepad add it.",
		withBodies(func(b []byte) [][]byte { return [][]byte{bytes.TrimPrefix(b, []byte(byteOrderMark))} }),
	},
	{
		"body_compressed", "The body was compressed (gzip) after it was signed", compressionRemedy,
		withBodies(uncompressed),
	},
	{
		"character_set", "The body was converted to another character set", charsetRemedy,
		recoded,
	},
	{
		"body_end_lost", "The end of the body was lost", cutRemedy,
		withBodies(func(b []byte) [][]byte {
			if end, ok := cutOff(b); ok {
				return appendEach(b, end.closers)
			}
			return nil
		}),
	},
	{
		"lines_broken", "Line ends were added within the body", captureRemedy + " Terminals, e-mails and editors break long lines.",
		withBodies(func(b []byte) [][]byte {
			if !bytes.ContainsAny(b, "\r\n") || isJSON(b) {
				return nil
			}
			return [][]byte{bytes.ReplaceAll(bytes.ReplaceAll(b, []byte("\r"), nil), []byte("\n"), nil)}
		}),
	},
	{
		"characters_typeset", "Quotes or blanks of the body were replaced by typographic ones", captureRemedy + " Word processors, chats and wikis do that.",
		withBodies(func(b []byte) [][]byte {
			if isASCII(b) {
				return nil
			}
			return [][]byte{[]byte(typeset.Replace(string(b)))}
		}),
	},
}

var typeset = strings.NewReplacer("“", `"`, "”", `"`, "„", `"`, "\u00a0", " ")
