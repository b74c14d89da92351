package verify

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/text/encoding/charmap"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/verify/reencode/reencodetest"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/signature"
)

const (
	explainedSecret = "wsec_0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0"
	explainedBody   = `{"type":"post_call_transcription","event_timestamp":1795421650,"data":{"conversation_id":"conv_1","agent_id":"agent_1","cost":0.10,"summary":"Café <b>&</b> Tee 😀 a/b"}}`
)

// speech is a transcription as ElevenLabs writes it.
const speech = `{"type": "speech_to_text_transcription", "data": {"transcription": {"language_probability": 0.98, "words": [{"text": "0.5", "start": 0.119, "end": 1.0, "logprob": 0.0}]}}}`

var explainedAt = time.Unix(1795421654, 0)

func hmacOf(secret, message string) []byte {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(message))
	return mac.Sum(nil)
}

func headerOf(secret, body string) string {
	return headerAt(explainedAt, secret, body)
}

func headerAt(at time.Time, secret, body string) string {
	return signature.Sign([]byte(secret), at, []byte(body))
}

func captured(body string, lines ...string) capture {
	return capture{method: "POST", lines: lines, body: []byte(body), declared: -1}
}

// explainTests has a case for each thing that may go wrong.
var explainTests = []struct {
	name     string
	change   string
	sentence string // a part that tells this case from others of the change
	secret   string
	capture  capture
}{
	{
		"the right header under the recipe's name", "header_name", "X-ElevenLabs-Signature", explainedSecret,
		capture{declared: -1, body: []byte(explainedBody), recipe: []string{headerOf(explainedSecret, explainedBody)}},
	},
	{
		"milliseconds, signed so", "timestamp_milliseconds", "in milliseconds.", explainedSecret,
		captured(explainedBody, "t=1795421654321,v0="+hex.EncodeToString(hmacOf(explainedSecret, "1795421654321."+explainedBody))),
	},
	{
		"milliseconds in the header alone", "timestamp_milliseconds", "in seconds in the signed text", explainedSecret,
		captured(explainedBody, strings.Replace(headerOf(explainedSecret, explainedBody), ",", "321,", 1)),
	},
	{
		"v1 of a copied recipe", "scheme_v1", "under v1", explainedSecret,
		captured(explainedBody, strings.Replace(headerOf(explainedSecret, explainedBody), "v0", "v1", 1)),
	},
	{
		"base64", "signature_base64", "base64", explainedSecret,
		captured(explainedBody, "t=1795421654,v0="+base64.StdEncoding.EncodeToString(hmacOf(explainedSecret, "1795421654."+explainedBody))),
	},
	{
		"base64 for URLs, under v1", "signature_base64", "base64", explainedSecret,
		captured(explainedBody, "t=1795421654,v1="+base64.RawURLEncoding.EncodeToString(hmacOf(explainedSecret, "1795421654."+explainedBody))),
	},
	{
		"no timestamp, hex, in the recipe's header", "body_only", "Only the body", explainedSecret,
		capture{declared: -1, body: []byte(explainedBody), recipe: []string{hex.EncodeToString(hmacOf(explainedSecret, explainedBody))}},
	},
	{
		"no timestamp, base64, in the recipe's header", "body_only", "Only the body", explainedSecret,
		capture{declared: -1, body: []byte(explainedBody), recipe: []string{base64.StdEncoding.EncodeToString(hmacOf(explainedSecret, explainedBody))}},
	},
	{
		"no timestamp, sha256=", "body_only", "Only the body", explainedSecret,
		captured(explainedBody, "sha256="+hex.EncodeToString(hmacOf(explainedSecret, explainedBody))),
	},
	{
		"a timestamp that is not signed", "body_only", "Only the body", explainedSecret,
		captured(explainedBody, "t=1795421654,v0="+hex.EncodeToString(hmacOf(explainedSecret, explainedBody))),
	},
	{
		"blanks round the names, quotes round the values", "header_form", `there is no "t"`, explainedSecret,
		captured(explainedBody, strings.NewReplacer("t=", `T = "`, ",v0=", `" ; V0="`).Replace(headerOf(explainedSecret, explainedBody))+`"`),
	},
	{
		"the header twice", "header_form", "2 times", explainedSecret,
		captured(explainedBody, headerOf(explainedSecret, explainedBody), headerOf(explainedSecret, explainedBody)),
	},
	{
		"Content-Length too small", "content_length", "Content-Length", explainedSecret,
		capture{declared: 10, body: []byte(explainedBody), lines: []string{headerOf(explainedSecret, explainedBody)}},
	},
	{
		"Content-Length too large", "content_length", "Content-Length", explainedSecret,
		capture{declared: 1000, incomplete: "it is short", body: []byte(explainedBody), lines: []string{headerOf(explainedSecret, explainedBody)}},
	},
	{
		"quotes round the secret, and a line end in the capture that Content-Length leaves out", "secret_quotes", "given", `"` + explainedSecret + `"`,
		capture{declared: len(explainedBody), body: []byte(explainedBody + "\n"), lines: []string{headerOf(explainedSecret, explainedBody)}},
	},

	{"a line end after the secret", "secret_blanks", "given", explainedSecret + "\r\n", captured(explainedBody, headerOf(explainedSecret, explainedBody))},
	{"a blank before the secret", "secret_blanks", "given", " " + explainedSecret, captured(explainedBody, headerOf(explainedSecret, explainedBody))},
	{"a line end within the secret", "secret_blanks", "given", explainedSecret[:20] + "\n  " + explainedSecret[20:], captured(explainedBody, headerOf(explainedSecret, explainedBody))},
	{"quotes round the secret", "secret_quotes", "given", `"` + explainedSecret + `"` + "\n", captured(explainedBody, headerOf(explainedSecret, explainedBody))},
	{"the secret without wsec_", "secret_prefix_missing", "given", explainedSecret[5:], captured(explainedBody, headerOf(explainedSecret, explainedBody))},
	{"the secret with whsec_", "secret_prefix_missing", "given", "whsec_" + explainedSecret[5:], captured(explainedBody, headerOf(explainedSecret, explainedBody))},
	{"a byte order mark before the secret", "secret_encoding", "given", "\ufeff" + explainedSecret + "\n", captured(explainedBody, headerOf(explainedSecret, explainedBody))},
	{"the secret in UTF-16", "secret_encoding", "given", inUTF16(binary.LittleEndian, "\ufeff"+explainedSecret+"\r\n"), captured(explainedBody, headerOf(explainedSecret, explainedBody))},
	{"a zero-width space in the secret", "secret_encoding", "cannot be seen", explainedSecret[:9] + "\u200b" + explainedSecret[9:], captured(explainedBody, headerOf(explainedSecret, explainedBody))},
	{"a byte order mark after the secret", "secret_encoding", "cannot be seen", explainedSecret + "\ufeff", captured(explainedBody, headerOf(explainedSecret, explainedBody))},
	{"a line of a file of variables for the secret", "secret_assigned", "NAME=", "ELEVENLABS_WEBHOOK_SECRET=" + explainedSecret, captured(explainedBody, headerOf(explainedSecret, explainedBody))},
	{"a shell's export for the secret", "secret_assigned", "NAME=", `export X='` + explainedSecret + "'\n", captured(explainedBody, headerOf(explainedSecret, explainedBody))},
	{"a whole file of variables for the secret", "secret_assigned", "NAME=", "PORT=1\nX=" + explainedSecret + "\nY=wsec_0", captured(explainedBody, headerOf(explainedSecret, explainedBody))},
	{"wsec_ twice", "secret_prefix_doubled", "given", "wsec_" + explainedSecret, captured(explainedBody, headerOf(explainedSecret, explainedBody))},
	{"the sender has no wsec_", "sender_prefix_dropped", "signed with", explainedSecret, captured(explainedBody, headerOf(explainedSecret[5:], explainedBody))},
	{"the sender has wsec_ twice", "sender_prefix_doubled", "signed with", explainedSecret, captured(explainedBody, headerOf("wsec_"+explainedSecret, explainedBody))},
	{"the sender has a line end after the secret", "sender_secret_blanks", "signed with", explainedSecret, captured(explainedBody, headerOf(explainedSecret+"\n", explainedBody))},
	{"the sender has a blank before the secret", "sender_secret_blanks", "signed with", explainedSecret, captured(explainedBody, headerOf(" "+explainedSecret, explainedBody))},
	{"the sender has quotes round the secret", "sender_secret_quotes", "signed with", explainedSecret, captured(explainedBody, headerOf("'"+explainedSecret+"'", explainedBody))},

	{"LF added", "line_end_added", "added", explainedSecret, captured(explainedBody+"\n", headerOf(explainedSecret, explainedBody))},
	{"a second LF added", "line_end_added", "added", explainedSecret, captured(explainedBody+"\n\n", headerOf(explainedSecret, explainedBody+"\n"))},
	{"CRLF added", "line_end_added", "added", explainedSecret, captured(explainedBody+"\r\n", headerOf(explainedSecret, explainedBody))},
	{"several added", "line_end_added", "added", explainedSecret, captured(explainedBody+" \n\n\n", headerOf(explainedSecret, explainedBody))},
	{"LF lost", "line_end_lost", "lost", explainedSecret, captured(explainedBody, headerOf(explainedSecret, explainedBody+"\n"))},
	{"CRLF lost", "line_end_lost", "lost", explainedSecret, captured(explainedBody, headerOf(explainedSecret, explainedBody+"\r\n"))},
	{"CRLF turned to LF", "line_ends_changed", "has CRLF", explainedSecret, captured("{\n\"a\":1,\n \"b\":2}", headerOf(explainedSecret, "{\r\n\"a\":1,\r\n \"b\":2}"))},
	{"LF turned to CRLF", "line_ends_changed", "has LF", explainedSecret, captured("{\r\n\"a\":1,\r\n \"b\":2}", headerOf(explainedSecret, "{\n\"a\":1,\n \"b\":2}"))},
	{"a byte order mark lost", "bom_lost", "lost", explainedSecret, captured(explainedBody, headerOf(explainedSecret, "\ufeff"+explainedBody))},
	{"a byte order mark added", "bom_added", "added", explainedSecret, captured("\ufeff"+explainedBody, headerOf(explainedSecret, explainedBody))},

	{"spaced by Python", "body_reserialised", "without blanks (as JSON.stringify writes it).", explainedSecret, captured(spaced, headerOf(explainedSecret, explainedBody))},
	{"compacted", "body_reserialised", "after each comma and colon (as Python's json.dumps writes it).", explainedSecret, captured(explainedBody, headerOf(explainedSecret, spaced))},
	{"indented by 2", "body_reserialised", "indented by 2", explainedSecret, captured(`{"a":[1.0,{}],"b":[]}`, headerOf(explainedSecret, "{\n  \"a\": [\n    1.0,\n    {}\n  ],\n  \"b\": []\n}"))},
	{"indented by 4", "body_reserialised", "indented by 4", explainedSecret, captured(`{"a":1E5}`, headerOf(explainedSecret, "{\n    \"a\": 1E5\n}"))},
	{"escapes written out", "body_reserialised", `beyond ASCII as \u escapes (Python).`, explainedSecret, captured(explainedBody, headerOf(explainedSecret, ascii))},
	{"spaced and escaped, as json.dumps does", "body_reserialised", "without blanks (as JSON.stringify writes it), characters beyond ASCII written out", explainedSecret, captured(spacedASCII, headerOf(explainedSecret, explainedBody))},
	{"by PHP's json_encode", "body_reserialised", "characters beyond ASCII written out", explainedSecret, captured(strings.ReplaceAll(ascii, "/", `\/`), headerOf(explainedSecret, explainedBody))},
	{"from PHP's json_encode", "body_reserialised", "PHP's json_encode", explainedSecret, captured(explainedBody, headerOf(explainedSecret, strings.ReplaceAll(ascii, "/", `\/`)))},
	{"from PHP's, slashes alone", "body_reserialised", `slashes as \/ (PHP)`, explainedSecret, captured(explainedBody, headerOf(explainedSecret, strings.ReplaceAll(explainedBody, "/", `\/`)))},
	{"from Go's json.Marshal", "body_reserialised", "Go's json.Marshal", explainedSecret, captured(explainedBody, headerOf(explainedSecret, htmlEscaped))},
	{"sorted on the way, in an order that is known", "body_reserialised", "type, event_timestamp and data in that order", explainedSecret, captured(`{"data":{"a":1,"type":"y"},"event_timestamp":1,"type":"x"}`, headerOf(explainedSecret, `{"type":"x","event_timestamp":1,"data":{"a":1,"type":"y"}}`))},
	{"sorted by the sender", "body_reserialised", "with the names sorted", explainedSecret, captured(`{"b":1,"a b":{"d":1,"c":2},"a":[{"z":1,"y":2}]}`, headerOf(explainedSecret, `{"a":[{"y":2,"z":1}],"a b":{"c":2,"d":1},"b":1}`))},

	{"turned to Latin-1", "character_set", "from UTF-8 to Latin-1", explainedSecret, captured(recodedBody(charmap.ISO8859_1.NewEncoder().String, "Café"), headerOf(explainedSecret, `{"a":"Café"}`))},
	{"turned to Windows-1252", "character_set", "from UTF-8 to Windows-1252", explainedSecret, captured(recodedBody(charmap.Windows1252.NewEncoder().String, "5 € Café"), headerOf(explainedSecret, `{"a":"5 € Café"}`))},
	{"read as Latin-1", "character_set", "read as Latin-1", explainedSecret, captured(recodedBody(charmap.ISO8859_1.NewDecoder().String, "Café"), headerOf(explainedSecret, `{"a":"Café"}`))},
	{"read as Windows-1252", "character_set", "read as Windows-1252", explainedSecret, captured(recodedBody(charmap.Windows1252.NewDecoder().String, "5 € Café"), headerOf(explainedSecret, `{"a":"5 € Café"}`))},
	{"UTF-16 with a mark", "character_set", "UTF-16", explainedSecret, captured(inUTF16(binary.LittleEndian, "\ufeff"+explainedBody+"\r\n"), headerOf(explainedSecret, explainedBody))},
	{"UTF-16, big end first, without", "character_set", "UTF-16", explainedSecret, captured(inUTF16(binary.BigEndian, explainedBody), headerOf(explainedSecret, explainedBody))},

	{"compressed", "body_compressed", "was compressed (gzip)", explainedSecret, captured(gzipped(explainedBody), headerOf(explainedSecret, explainedBody))},
	{"compressed, and another secret", "body_compressed", "But the body is compressed (gzip)", "wsec_another", captured(gzipped(explainedBody), headerOf(explainedSecret, explainedBody))},
	{"cut off", "body_incomplete", "cut off: 9 missing", explainedSecret, capture{declared: len(explainedBody), incomplete: "9 missing", body: []byte(explainedBody[:len(explainedBody)-9]), lines: []string{headerOf(explainedSecret, explainedBody)}}},
	{"cut off before its first byte", "body_incomplete", "cut off", explainedSecret, capture{declared: 9, incomplete: "9 missing", lines: []string{headerOf(explainedSecret, explainedBody)}}},
	{"a signature that is cut off", "no_whole_signature", `"v0" is not 64 hex digits`, explainedSecret, captured(explainedBody, headerOf(explainedSecret, explainedBody)[:60])},
	{"a header without a signature", "no_whole_signature", `there is no "v0"`, explainedSecret, captured(explainedBody, "t=1795421654")},
	{"a header without its time", "no_whole_signature", `there is no "t"`, explainedSecret, captured(explainedBody, headerOf(explainedSecret, explainedBody)[len("t=1795421654,"):])},
	{"the signature of a recipe without a time, and another secret", "nothing_fits", "another secret", "wsec_another", captured(genuine, hex.EncodeToString(hmacOf(explainedSecret, genuine)))},
	{"bytes that are no text", "body_not_json", "another secret", explainedSecret, captured("\xff\xfe\xfd\xfc\xfb", headerOf(explainedSecret, explainedBody))},
	{"numbers written anew by JavaScript", "body_reserialised", "by JavaScript (JSON.stringify)", explainedSecret, captured(`{"b":1,"a":0.00001}`, headerOf(explainedSecret, `{"b": 1.0, "a": 1e-05}`))},
	{"numbers written anew by JavaScript, which lost digits", "numbers_lost", "such as 1.0 and 1e-05", explainedSecret, captured(`{"b":1,"a":12345678901234567000}`, headerOf(explainedSecret, `{"b": 1.0, "a": 12345678901234567890}`))},
	{"another secret", "nothing_fits", "another secret", "wsec_another", captured(genuine, headerOf(explainedSecret, genuine))},
	{"another secret, and a body without blanks", "body_rewritten", "has another secret", "wsec_another", captured(explainedBody, headerOf(explainedSecret, explainedBody))},
	{"another body", "nothing_fits", "changed the body in another way", explainedSecret, captured(strings.Replace(genuine, "0.1", "0.2", 1), headerOf(explainedSecret, genuine))},
	{"two changes at once", "nothing_fits", "No single change", explainedSecret[5:], captured(genuine+"\n", headerOf(explainedSecret, genuine))},
	{"an API key for the secret", "secret_is_api_key", "an API key", "sk_0123456789abcdef", captured(explainedBody, headerOf(explainedSecret, explainedBody))},
	{"an API key with quotes and a line end", "secret_is_api_key", "an API key", "\"sk_0123456789abcdef\"\n", captured(explainedBody, headerOf(explainedSecret, explainedBody))},
	{"an API key of another form for the secret", "secret_form", "does not begin with wsec_", "0123456789abcdef0123456789abcdef", captured(explainedBody, headerOf(explainedSecret, explainedBody))},
	{"another service's secret", "secret_of_another_service", "Stripe", "whsec_another", captured(explainedBody, headerOf(explainedSecret, explainedBody))},
	{"the webhook's id for the secret", "secret_is_an_id", "id of a webhook", "wh_01k", captured(explainedBody, headerOf(explainedSecret, explainedBody))},
	{"a variable's name for the secret", "secret_is_a_placeholder", "name of a variable", "${ELEVENLABS_WEBHOOK_SECRET}", captured(explainedBody, headerOf(explainedSecret, explainedBody))},
	{"stars for the secret", "secret_is_a_placeholder", "stars", "wsec_0f1e***", captured(explainedBody, headerOf(explainedSecret, explainedBody))},
	{"cut off at a limit", "body_cut_off", "within a string after 1024 bytes, exactly 1 KiB", explainedSecret, captured((`{"a": "` + strings.Repeat("x", 2000))[:1024], headerOf(explainedSecret, genuine))},
	{"cut off between two values", "body_cut_off", "between two values after 35 bytes.", explainedSecret, captured(genuine[:35], headerOf(explainedSecret, genuine))},
	{"the beginning lost", "body_begin_lost", "beginning of the body is missing", explainedSecret, captured(genuine[20:], headerOf(explainedSecret, genuine))},
	{"base64 that is cut off", "body_base64", "is in base64", explainedSecret, captured(base64.StdEncoding.EncodeToString([]byte(genuine))[:101], headerOf(explainedSecret, genuine))},
	{"a JSON string that is cut off", "json_escaped", "for each quote", explainedSecret, captured(`"{\"type\": \"post_call`, headerOf(explainedSecret, genuine))},
	{"line ends before", "blanks_before", "before the body", explainedSecret, captured("\r\n"+genuine+"\n", headerOf(explainedSecret, genuine))},
	{"a byte order mark, and written anew by JavaScript", "body_reserialised", "by JavaScript", explainedSecret, captured("\ufeff"+`{"type":"x","data":{"price":0}}`, headerOf(explainedSecret, `{"type": "x", "data": {"price": 0.0}}`))},
	{"no body, as JavaScript writes it", "body_empty", "is undefined", explainedSecret, captured("undefined", headerOf(explainedSecret, genuine))},
	{"no body, as body parsers give it", "body_empty", "is {}", explainedSecret, captured("{}", headerOf(explainedSecret, genuine))},
	{"a login page", "html_page", "an HTML page", explainedSecret, captured("<!DOCTYPE html><html></html>", headerOf(explainedSecret, genuine))},
	{"XML", "xml", "is XML", explainedSecret, captured(`<?xml version="1.0"?><a/>`, headerOf(explainedSecret, genuine))},
	{"zlib", "body_deflated", "compressed (zlib)", explainedSecret, captured(deflated(genuine), headerOf(explainedSecret, genuine))},
	{"chunks", "body_chunked", "in chunks", explainedSecret, captured(chunked(genuine[:50], genuine[50:]), headerOf(explainedSecret, genuine))},
	{"a number as text", reserialised, "by Python (json.dumps). The signed body is the same JSON", explainedSecret, captured(`{"type": "x", "data": {"price": "0.5"}}`, headerOf(explainedSecret, `{"type": "x", "data": {"price": 0.5}}`))},
	{"speech to text with numbers as text", reserialised, "by Python (json.dumps). The signed body is the same JSON", explainedSecret, captured(strings.NewReplacer("0.0}", `"0.0"}`, "0.119", `"0.119"`, "0.98", `"0.98"`).Replace(speech), headerOf(explainedSecret, speech))},
	{"speech to text with numbers as text, and another secret", "body_rewritten", "it has text where ElevenLabs writes a number", "wsec_another", captured(strings.ReplaceAll(speech, "0.119", `"0.119"`), headerOf(explainedSecret, speech))},
	{"words and times that are text", "nothing_fits", "another secret", "wsec_another", captured(`{"type": "x", "data": {"start": "10:30", "end": "", "version": "0.5"}}`, headerOf(explainedSecret, genuine))},
	{"no JSON", "body_not_json", "the first error is at byte 6 of", explainedSecret, captured(`{"a":'b'}x`, headerOf(explainedSecret, genuine))},
	{"UTF-16, rewritten", "body_utf16", "parsed and encoded again", explainedSecret, captured(inUTF16(binary.LittleEndian, "\ufeff"+spaced), headerOf(explainedSecret, strings.Replace(spacedASCII, "0.10", "0.1", 1)))},
	{"UTF-16, and another secret", "body_utf16", "is in UTF-16", "wsec_another", captured(inUTF16(binary.BigEndian, explainedBody), headerOf(explainedSecret, explainedBody))},
	{"a form in several parts", "multipart", "in several parts", explainedSecret, captured("--x\r\nContent-Disposition: form-data; name=\"body\"\r\n\r\n"+genuine+"\r\n--x--\r\n", headerOf(explainedSecret, genuine))},
	{"printed by Java", "java_map", "Java prints a Map", explainedSecret, captured("{type=post_call_transcription, event_timestamp=1795421650, data={}}", headerOf(explainedSecret, genuine))},
	{"no header", "no_signature", "no signature", explainedSecret, captured(explainedBody)},
	{"an empty body", "body_empty", "empty", explainedSecret, captured("", headerOf(explainedSecret, explainedBody))},
	{"bytes lost", "characters_lost", "cannot be recovered", explainedSecret, captured(strings.ReplaceAll(explainedBody, "é", "\ufffd"), headerOf(explainedSecret, explainedBody))},
	{"sorted on the way", "order_lost", "alphabetical order", explainedSecret, captured(`{"data":{"a":1,"b":2},"type":"x"}`, headerOf(explainedSecret, `{"type":"x","data":{"b":2,"a":1}}`))},
	{"not a POST", "method", "The method is GET", explainedSecret, capture{method: "GET", declared: -1, lines: []string{headerOf(explainedSecret, "")}}},
}

const (
	spaced      = `{"type": "post_call_transcription", "event_timestamp": 1795421650, "data": {"conversation_id": "conv_1", "agent_id": "agent_1", "cost": 0.10, "summary": "Café <b>&</b> Tee 😀 a/b"}}`
	spacedASCII = `{"type": "post_call_transcription", "event_timestamp": 1795421650, "data": {"conversation_id": "conv_1", "agent_id": "agent_1", "cost": 0.10, "summary": "Caf\u00e9 <b>&</b> Tee \ud83d\ude00 a/b"}}`
	genuine     = `{"type": "post_call_transcription", "event_timestamp": 1795421650, "data": {"conversation_id": "conv_1", "agent_id": "agent_1", "cost": 0.1, "summary": "Caf\u00e9 <b>&</b> Tee \ud83d\ude00 a/b"}}` // as ElevenLabs writes it
	ascii       = `{"type":"post_call_transcription","event_timestamp":1795421650,"data":{"conversation_id":"conv_1","agent_id":"agent_1","cost":0.10,"summary":"Caf\u00e9 <b>&</b> Tee \ud83d\ude00 a/b"}}`
	htmlEscaped = `{"type":"post_call_transcription","event_timestamp":1795421650,"data":{"conversation_id":"conv_1","agent_id":"agent_1","cost":0.10,"summary":"Café \u003cb\u003e\u0026\u003c/b\u003e Tee 😀 a/b"}}`
)

func gzipped(text string) string {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, _ = w.Write([]byte(text)) // into memory
	_ = w.Close()
	return out.String()
}

func deflated(text string) string {
	var out bytes.Buffer
	w := zlib.NewWriter(&out)
	_, _ = w.Write([]byte(text)) // into memory
	_ = w.Close()
	return out.String()
}

func recodedBody(recode func(string) (string, error), text string) string {
	recoded, err := recode(text)
	if err != nil {
		panic(err)
	}
	return `{"a":"` + recoded + `"}`
}

func inUTF16(order binary.AppendByteOrder, text string) string {
	var out []byte
	for _, unit := range utf16.Encode([]rune(text)) {
		out = order.AppendUint16(out, unit)
	}
	return string(out)
}

func explainedBy(t *testing.T, d capture, secret string, now time.Time) explanation {
	t.Helper()
	e, err := explain(t.Context(), d, []byte(secret), defaultWindow, now, func() {})
	require.NoError(t, err)
	return e
}

func TestExplainNamesTheOneChange(t *testing.T) {
	for _, test := range explainTests {
		t.Run(test.name, func(t *testing.T) {
			require.NotEqual(t, pass, judge(test.capture, []byte(test.secret), defaultWindow, explainedAt).Result)

			e := explainedBy(t, test.capture, test.secret, explainedAt)
			assert.Equal(t, test.change, e.Change)
			assert.Contains(t, e.Sentence, test.sentence)
			assert.Regexp(t, `^[A-Z].*\.$`, e.Sentence)
			assert.Regexp(t, `^[A-Z].*\.$`, e.Remedy)
		})
	}
}

func TestEveryChangeHasACase(t *testing.T) {
	missing := map[string]bool{}
	for _, c := range changes {
		missing[c.name] = true
	}
	for _, test := range explainTests {
		delete(missing, test.change)
	}
	for _, c := range reencodetest.Carried(t) {
		delete(missing, c.Change)
	}
	assert.Empty(t, slices.Collect(maps.Keys(missing)))
}

// What is explained must not help whoever has the capture to forge one.
func TestExplainShowsNeitherSecretNorSignature(t *testing.T) {
	for _, test := range explainTests {
		out, err := json.Marshal(explainedBy(t, test.capture, test.secret, explainedAt))
		require.NoError(t, err)
		assert.NotContains(t, string(out), explainedSecret[5:], test.name)
		assert.NotRegexp(t, `[0-9a-fA-F]{20}`, string(out), test.name)
	}
}

func TestExplainSaysWhatWouldComeAfterTheChange(t *testing.T) {
	d := captured(explainedBody+"\n", headerOf(explainedSecret, explainedBody))

	e := explainedBy(t, d, explainedSecret, explainedAt.Add(time.Minute))
	require.NotNil(t, e.Then)
	assert.Equal(t, pass, e.Then.Result)

	e = explainedBy(t, d, explainedSecret, explainedAt.Add(time.Hour))
	assert.Equal(t, "line_end_added", e.Change)
	require.NotNil(t, e.Then)
	assert.Equal(t, facts.TimestampStale.Code, e.Then.Result)
}

func TestExplainDistinguishesALateDeliveryFromAWrongClock(t *testing.T) {
	timeless := `{"type":"x"}`
	tests := []struct {
		name     string
		body     string
		date     time.Time
		clock    time.Duration // how far ahead of the time of signing
		change   string
		sentence []string
	}{
		{"late, and nothing tells the time", timeless, time.Time{}, 3 * time.Hour, "late", []string{"made 3h0m0s ago", "2h30m0s more than the tolerance"}},
		{"late by days", timeless, time.Time{}, 75 * time.Hour, "late", []string{"made 3 days 3h0m0s ago"}},
		{"late, and the event's time agrees with the signature", explainedBody, time.Time{}, 3 * time.Hour, "late", []string{"The body's event_timestamp agrees", "2026-11-23T11:14:14Z) is ahead"}},
		{"late, and the Date agrees with the signature", timeless, explainedAt.Add(time.Second), 3 * time.Hour, "late", []string{"The request's Date header agrees", "is ahead"}},
		{"sent late", explainedBody, explainedAt.Add(40 * time.Minute), 40 * time.Minute, "sent_late", []string{"sent 40m0s after signing"}},
		{"from the future, and nothing tells the time", timeless, time.Time{}, -10 * time.Minute, "clock_behind", []string{"made 10m0s ahead", "5m0s more than the tolerance"}},
		{"from a future that no duration reaches", timeless, time.Time{}, math.MinInt64, "clock_behind", []string{"made over 100 years ahead", "over 100 years more"}},
		{"from the future, and the event's time agrees", explainedBody, time.Time{}, -10 * time.Minute, "clock_behind", []string{"The body's event_timestamp agrees", "this machine's clock (2026-11-23T08:04:14Z) is probably wrong"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d := captured(test.body, headerOf(explainedSecret, test.body))
			d.date = test.date
			e := explainedBy(t, d, explainedSecret, explainedAt.Add(test.clock))
			assert.Equal(t, test.change, e.Change)
			for _, part := range test.sentence {
				assert.Contains(t, e.Sentence, part)
			}
			assert.Contains(t, e.Remedy, "--at 1795421654")
		})
	}
}

func TestExplainSpeaksOfNumbersOnlyWhereJavaScriptMayHaveWrittenThem(t *testing.T) {
	for body, want := range map[string]string{
		`{"b":1,"a":1.5}`:                  "numbers_lost",
		`{"b":1e+21,"a":[1e-7,-0.5,0]}`:    "numbers_lost",
		`{"b":"1","a":null}`:               "body_rewritten",
		`{"b":1, "a":1.5}`:                 "body_rewritten",
		`{"b":1.0,"a":1}`:                  "body_rewritten",
		`{"b":1e-05,"a":1}`:                "body_rewritten",
		`{"b":1E5,"a":1}`:                  "body_rewritten",
		`{"b":12345678901234567890,"a":1}`: "body_rewritten",
		`{"b":"\u00e9","a":1}`:             "body_rewritten",
	} {
		e := explainedBy(t, captured(body, headerOf(explainedSecret, "other")), explainedSecret, explainedAt)
		assert.Equal(t, want, e.Change, body)
		assert.Equal(t, want == "numbers_lost", strings.Contains(e.Sentence, "1e-05"), body)
	}
}
