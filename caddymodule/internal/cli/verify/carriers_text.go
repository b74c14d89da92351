package verify

import (
	"bytes"
	"compress/zlib"
	"encoding/base64"
	"encoding/hex"
	"html"
	"io"
	"mime/quotedprintable"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/verify/reencode"
)

// encodedCarriers have the signed bytes themselves in another encoding.
var encodedCarriers = []carrier{
	{
		"body_base64", "in base64", "Decode it first. AWS Lambda (isBase64Encoded), Google Pub/Sub and n8n's binary data give bodies so: Buffer.from(body, \"base64\") in JavaScript, base64.b64decode(body) in Python.",
		func(body []byte, _ clues) ([][]byte, bool) {
			if beginsAsJSON(body) {
				return nil, false
			}
			text := string(bytes.Join(bytes.Fields(body), nil))
			if strings.HasPrefix(text, "data:") {
				_, text, _ = strings.Cut(text, ",")
			}
			for _, decode := range decoders[1:] {
				if decoded, err := decode(strings.Trim(text, `"'`)); err == nil && looksLikeBody(decoded) {
					return [][]byte{decoded}, true
				}
			}
			decoded, err := base64.StdEncoding.DecodeString(text[:len(text)/4*4])
			return nil, err == nil && looksLikeBody(decoded) // cut off
		},
	},
	{
		"body_hex", "in hex", "Decode it first: Buffer.from(body, \"hex\") in JavaScript, bytes.fromhex(body) in Python, decode(body, 'hex') in PostgreSQL, whose bytea prints as \\x and hex.",
		func(body []byte, _ clues) ([][]byte, bool) {
			if beginsAsJSON(body) {
				return nil, false
			}
			text := strings.TrimSpace(string(body))
			text = strings.TrimPrefix(strings.TrimPrefix(text, `\x`), "0x")
			text = strings.TrimSuffix(strings.TrimPrefix(text, "<Buffer "), ">")
			decoded, err := hex.DecodeString(strings.Join(strings.Fields(text), ""))
			return [][]byte{decoded}, err == nil && looksLikeBody(decoded)
		},
	},
	{
		"python_bytes", "the form in which Python prints bytes, b'…'",
		"Verify the bytes themselves. str(body) and f\"{body}\" print them so; body.decode() makes text of them.",
		pythonBytes,
	},
	{
		"go_bytes", "the form in which Go prints bytes, [123 34 …]", "Verify the bytes themselves; print them with %s, not %v.",
		func(body []byte, _ clues) ([][]byte, bool) {
			list, ok := strings.CutPrefix(strings.TrimSpace(string(body)), "[")
			list, closed := strings.CutSuffix(list, "]")
			var decoded []byte
			for word := range strings.FieldsSeq(list) {
				b, err := strconv.ParseUint(word, 10, 8)
				if err != nil {
					return nil, false
				}
				decoded = append(decoded, byte(b))
			}
			return [][]byte{decoded}, ok && closed && len(decoded) > 1
		},
	},
	{
		"body_utf16", "in UTF-16, and ElevenLabs sends UTF-8", charsetRemedy + " Windows PowerShell writes UTF-16 with >; Set-Content -Encoding utf8 and Invoke-WebRequest -OutFile do not.",
		func(body []byte, _ clues) ([][]byte, bool) {
			if !mayBeUTF16(body) {
				return nil, false
			}
			for _, set := range utf16Encodings {
				if decoded, err := set.NewDecoder().Bytes(body); err == nil && len(body)%2 == 0 && looksLikeBody(decoded) {
					return [][]byte{decoded}, true
				}
			}
			return nil, false
		},
	},
	{
		"body_deflated", "compressed (zlib)", compressionRemedy,
		func(body []byte, _ clues) ([][]byte, bool) {
			reader, err := zlib.NewReader(bytes.NewReader(body))
			if err != nil {
				return nil, false
			}
			decoded, err := io.ReadAll(io.LimitReader(reader, 1<<30))
			return [][]byte{decoded}, err == nil
		},
	},
	{
		"body_chunked", "in chunks, as HTTP/1.1 transfers it, with their lengths", "Join the chunks, as every HTTP server does, or give the whole request with its headers.",
		func(body []byte, _ clues) ([][]byte, bool) {
			joined, whole := joinChunks(body)
			return [][]byte{joined}, whole && len(joined) > 0
		},
	},
	{
		"body_url_encoded", "URL-encoded, as a form's fields are", "Verify the bytes as received. A parser for forms (application/x-www-form-urlencoded) must not read this body, and nothing may send it as a form's field.",
		func(body []byte, _ clues) ([][]byte, bool) {
			text := strings.TrimSpace(string(body))
			if i := strings.Index(text, "%7B"); i < 0 || strings.ContainsAny(text, "{\"") {
				return nil, false
			} else if i > 0 { // the name of the field
				_, text, _ = strings.Cut(text, "=")
			}
			text, _, _ = strings.Cut(text, "&")
			var found [][]byte
			for _, decode := range []func(string) (string, error){url.QueryUnescape, url.PathUnescape} {
				if decoded, err := decode(strings.TrimSuffix(text, "=")); err == nil {
					found = append(found, []byte(decoded))
				}
			}
			return found, true
		},
	},
	{
		"body_html_escaped", "escaped for HTML, with &quot; for each quote", "Verify the bytes as received, and take a capture from a file, not from a web page.",
		func(body []byte, k clues) ([][]byte, bool) {
			if !bytes.Contains(body, []byte("&quot;")) || k.isJSON(body) {
				return nil, false
			}
			return [][]byte{[]byte(html.UnescapeString(string(body)))}, true
		},
	},
	{
		"body_quoted_printable", "quoted-printable, as in an e-mail", "Decode it first, or take the capture from a file, not from an e-mail.",
		func(body []byte, k clues) ([][]byte, bool) {
			if !bytes.Contains(body, []byte("=\n")) && !bytes.Contains(body, []byte("=\r\n")) || k.isJSON(body) {
				return nil, false
			}
			decoded, err := io.ReadAll(quotedprintable.NewReader(bytes.NewReader(body)))
			return [][]byte{decoded}, err == nil && looksLikeBody(decoded)
		},
	},
	{
		"body_csv", "a field of a CSV file, with each quote twice", "Take the body out of the file with a reader for CSV, or capture it from the request.",
		func(body []byte, _ clues) ([][]byte, bool) {
			text := strings.TrimSpace(string(body))
			if !strings.HasPrefix(text, `"{""`) {
				return nil, false
			}
			return [][]byte{[]byte(strings.ReplaceAll(strings.Trim(text, `"`), `""`, `"`))}, true
		},
	},
	{
		"json_escaped", "escaped, with \\\" for each quote, as within a JSON string", "Verify the text before it was put into a string, or read the string with a JSON parser. Logs in JSON have bodies so.",
		escapedJSON,
	},
	{
		"multipart", "a form in several parts (multipart/form-data)", "Send the body as it is, not as a part of a form: curl --data-binary @body.json, not curl -F. " + rawBodyRemedy,
		func(body []byte, _ clues) ([][]byte, bool) {
			part := firstPart.FindSubmatch(body)
			if part == nil {
				return nil, false
			}
			inner, _, _ := bytes.Cut(part[2], append([]byte("\r\n"), part[1]...))
			return [][]byte{inner}, true
		},
	},
	{
		"http_request", "a whole HTTP request, with its request line and headers", "Give the request as an argument: caddy elevenlabs verify --explain captured.http. Or give as the body only what follows the blank line.",
		func(body []byte, k clues) ([][]byte, bool) {
			if k.isJSON(body) {
				return nil, false
			}
			request, err := parseRequest(body)
			return [][]byte{request.read()}, err == nil && request.method != ""
		},
	},
}

// firstPart matches a form in parts: the boundary, and the content of the first part
// with what follows.
var firstPart = regexp.MustCompile(`^(?s)(--[^\r\n]+)\r?\nContent-Disposition:.*?\r?\n\r?\n(.*)$`)

// printedCarriers are what languages print of an event that was parsed.
var printedCarriers = []carrier{
	printed("python_repr", "the form in which Python prints a dict, with single quotes, True and None", reencode.Python, func(p literal) bool { return !p.arrows && !p.bareNames }),
	printed("ruby_inspect", "the form in which Ruby or Elixir prints a map, with =>", reencode.Ruby, func(p literal) bool { return p.arrows }),
	recognized("javascript_inspect_short", "the form in which JavaScript prints an object, which leaves out what lies deep", reencode.JavaScript, `^\{\s+\w+: [\s\S]*\[(?:Object|Array)\]`),
	printed("javascript_inspect", "the form in which JavaScript prints an object, with names that have no quotes", reencode.JavaScript, func(p literal) bool { return p.bareNames && !p.arrows }),
	recognized("object_object", "the text [object Object]: JavaScript made a string of a parsed body", reencode.JavaScript, `^\[object Object\]`),
	recognized("php_printed", "the form in which PHP prints or serializes an array", reencode.PHP, `^(?:Array\s*\(|array\(\d+\) \{|array \(|a:\d+:\{|object\(|stdClass Object)`),
	recognized("go_map", "the form in which Go prints a map or a struct", reencode.Go, `^&?(?:map\[|\{\w+ \d+ )`),
	recognized("java_map", "the form in which Java prints a Map or an object", reencode.Java, `^(?:\{\w+=|\[B@[0-9a-f]+|\w+[\[(]\w+=)`),
	recognized("buffer_printed", "the form in which JavaScript prints a Buffer, which leaves out most of it", reencode.JavaScript, `^(?:<Buffer |Uint8Array\(|ArrayBuffer )`),
	recognized("html_page", "an HTML page, as a login or an error page", "", `^(?i)<(?:!doctype html|html)`),
	recognized("xml", "XML", "", `^<[?\w]`),
	{
		"text_around", "a line with the event in it, and other text around it", "Take only the body, from its first { to its last }. Logs put a time and a name before it.",
		func(body []byte, k clues) ([][]byte, bool) {
			body = bytes.TrimPrefix(body, []byte(byteOrderMark))
			from, to := bytes.IndexByte(body, '{'), bytes.LastIndexByte(body, '}')
			if k.isJSON(body) || from < 0 || to < from || from == 0 && to == len(body)-1 || !isJSON(body[from:to+1]) {
				return nil, false
			}
			return [][]byte{body[from : to+1]}, true
		},
	},
}

func printed(name, what, platform string, is func(literal) bool) carrier {
	return carrier{name, what, "Text that a language prints for people is not JSON. " + platformRemedies[platform], func(body []byte, k clues) ([][]byte, bool) {
		if k.isJSON(body) {
			return nil, false
		}
		p, ok := readLiteral(body)
		if !ok || !is(p) {
			return nil, false
		}
		return [][]byte{p.json}, true
	}}
}

// recognized knows a carrier from which the body cannot be had.
func recognized(name, what, platform, pattern string) carrier {
	known := regexp.MustCompile(pattern)
	remedy := platformRemedies[platform]
	if remedy == "" {
		remedy = rawBodyRemedy
	}
	return carrier{name, what, remedy, func(body []byte, _ clues) ([][]byte, bool) {
		return nil, known.Match(bytes.TrimSpace(body[:min(len(body), 1<<16)]))
	}}
}

func isJSON(text []byte) bool {
	_, ok := reencode.Parse(text)
	return ok
}

// looksLikeBody reports whether decoded bytes begin as JSON does.
func looksLikeBody(decoded []byte) bool {
	return beginsAsJSON(decoded) && (bytes.ContainsRune(decoded, '"') || isJSON(decoded))
}

// beginsAsJSON reports whether a text begins as an object or an array does.
func beginsAsJSON(text []byte) bool {
	text = bytes.TrimSpace(bytes.TrimPrefix(text, []byte(byteOrderMark)))
	return len(text) > 1 && (text[0] == '{' || text[0] == '[')
}

// pythonBytes reads b'…'.
func pythonBytes(body []byte, _ clues) ([][]byte, bool) {
	text := bytes.TrimSpace(body)
	if len(text) < 4 || text[0] != 'b' || text[1] != '\'' && text[1] != '"' {
		return nil, false
	}
	decoded, rest, ok := readQuoted(text[1:])
	if !ok || len(rest) > 0 {
		return nil, true
	}
	return [][]byte{decoded}, true
}
