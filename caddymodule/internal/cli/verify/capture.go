package verify

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/verify/reencode"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/signature"
)

// capture is a captured webhook request, whole or in parts.
type capture struct {
	method string    // empty if unknown
	lines  []string  // of the signature header
	recipe []string  // of X-ElevenLabs-Signature, which recipes on the web use
	date   time.Time // of the Date header; zero if there is none
	body   []byte    // all captured bytes

	declared   int    // Content-Length; -1 if there is none
	incomplete string // why the body is incomplete; empty if it is complete
	notes      []string
}

const recipeHeader = "X-ElevenLabs-Signature"

var errNotRequest = errors.New("the capture is not an HTTP request: it must begin with a line such as `POST /webhooks/elevenlabs HTTP/1.1`, then headers, a blank line and the body; or give a body alone by --body, and its header by --header")

// parseRequest reads a captured HTTP/1 request, or an event that has one in it. Its
// head may lack the CRs of its line ends, since editors and logs drop them.
func parseRequest(raw []byte) (capture, error) {
	raw, notes := decodeCapture(raw)
	c, err := parseEvent(raw)
	if errors.Is(err, errNotRequest) {
		c, err = parseHTTP(raw)
	}
	c.notes = append(notes, c.notes...)
	return c, err
}

// decodeCapture makes UTF-8 of a capture in UTF-16, and drops a byte order mark.
func decodeCapture(raw []byte) ([]byte, []string) {
	text, marked := bytes.CutPrefix(raw, []byte(byteOrderMark))
	if marked {
		return text, []string{"the capture begins with a byte order mark, which is not part of the request: Windows PowerShell and Notepad add it"}
	}
	if mayBeUTF16(raw) {
		for _, set := range utf16Encodings {
			text, err := set.NewDecoder().Bytes(raw)
			if text = bytes.TrimPrefix(text, []byte(byteOrderMark)); err == nil && len(text) > 0 && text[0] < utf8.RuneSelf && text[0] != 0 {
				return text, []string{"the capture is in UTF-16, as Windows PowerShell writes it with >: it is read as UTF-8, and its line ends may be others now"}
			}
		}
	}
	return raw, nil
}

// parseEvent reads an event of AWS Lambda or the like, if it has the signature among
// its headers and the body as text.
func parseEvent(raw []byte) (capture, error) {
	value, ok := reencode.Parse(raw)
	if !ok {
		return capture{}, errNotRequest
	}
	value = onlyItem(value)
	if item, ok := value.Member("json"); ok {
		value = item
	}
	headers, _ := value.Member("headers")
	lists, _ := value.Member("multiValueHeaders") // an event has either, or both
	c := capture{declared: -1, lines: signatureLines(headers)}
	if len(c.lines) == 0 {
		c.lines = signatureLines(lists)
	}
	body, hasBody := value.Member("body")
	if len(c.lines) == 0 || !hasBody {
		return capture{}, errNotRequest
	}
	text, isText := body.Text()
	encoded, _ := value.Member("isBase64Encoded")
	switch {
	case isText && string(encoded.Source()) == "true":
		decoded, err := base64.StdEncoding.DecodeString(string(text))
		if err != nil {
			return capture{}, errors.New("the captured event says isBase64Encoded, and its body is not base64")
		}
		c.body = decoded
	case isText:
		c.body = text
	default: // parsed already, which explain sees by the whole
		c.body = raw
	}
	c.notes = []string{"the capture is JSON with headers and a body, such as an event of AWS Lambda: both are taken from it"}
	return c, nil
}

// signatureLines returns the lines of the signature header, of which each is a text or
// the only one of a list.
func signatureLines(headers reencode.Value) []string {
	var lines []string
	for _, name := range headers.Names() {
		if header, _ := headers.Member(name); strings.EqualFold(name, signature.HeaderName) {
			if line, ok := onlyItem(header).Text(); ok {
				lines = append(lines, string(line))
			}
		}
	}
	return lines
}

// parseHTTP reads an HTTP/1 request.
func parseHTTP(raw []byte) (capture, error) {
	buffered := bufio.NewReader(bytes.NewReader(bytes.TrimLeft(raw, "\r\n")))
	reader := textproto.NewReader(buffered)
	line, err := reader.ReadLine()
	words := strings.Fields(line)
	if err != nil || len(words) != 3 || !strings.HasPrefix(words[2], "HTTP/") {
		return capture{}, errNotRequest
	}
	mime, err := reader.ReadMIMEHeader()
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return capture{}, errors.New("the captured request ends within its headers: a blank line and the body are missing")
	}
	if err != nil {
		return capture{}, errors.New("the captured request's headers cannot be read: each must be a line with a name, a colon and a value, and a blank line ends them")
	}
	header := http.Header(mime)
	c := capture{
		method:   words[0],
		lines:    header.Values(signature.HeaderName),
		recipe:   header.Values(recipeHeader),
		declared: -1,
	}
	if date, err := http.ParseTime(header.Get("Date")); err == nil {
		c.date = date
	}
	if c.body, err = io.ReadAll(buffered); err != nil {
		return capture{}, fmt.Errorf("reading the captured body: %w", err)
	}
	c.frame(header)
	return c, nil
}

// chunkHead is the start of a chunk with its size (RFC 9112, section 7.1).
var chunkHead = regexp.MustCompile(`^([0-9A-Fa-f]+)[ \t]*(?:;[^\r\n]*)?\r?\n`)

// joinChunks joins a chunked body as far as possible. Its line ends may lack their
// CRs, like those of the head.
func joinChunks(chunks []byte) (body []byte, whole bool) {
	for {
		head := chunkHead.FindSubmatch(chunks)
		if head == nil {
			return body, false
		}
		chunks = chunks[len(head[0]):]
		size, err := strconv.ParseInt(string(head[1]), 16, 64)
		if err != nil || size == 0 {
			return body, err == nil
		}
		if size > int64(len(chunks)) {
			return append(body, chunks...), false
		}
		body = append(body, chunks[:size]...)
		chunks = bytes.TrimPrefix(chunks[size:], []byte("\r"))
		if len(chunks) == 0 || chunks[0] != '\n' {
			return body, false
		}
		chunks = chunks[1:]
	}
}

// frame joins a chunked body, and compares another with its Content-Length.
func (c *capture) frame(header http.Header) {
	if strings.EqualFold(header.Get("Transfer-Encoding"), "chunked") {
		if !chunkHead.Match(c.body) {
			c.notes = append(c.notes, "the request says that its body is chunked, but the capture has the chunks joined already")
			return
		}
		noCR := !bytes.Contains(c.body, []byte("\r"))
		var whole bool
		if c.body, whole = joinChunks(c.body); !whole {
			c.incomplete = fmt.Sprintf("the chunks are broken off or malformed after %d bytes of body", len(c.body))
			if noCR {
				c.incomplete += ", and the capture has lost the CRs of its line ends, which the chunks' lengths count"
			}
		}
		return
	}
	length, err := strconv.Atoi(header.Get("Content-Length"))
	if err != nil || length < 0 {
		return
	}
	c.declared = length
	switch {
	case len(c.body) < length:
		c.incomplete = fmt.Sprintf("Content-Length is %d, and the body has %d bytes: %d missing", length, len(c.body), length-len(c.body))
	case len(c.body) > length:
		c.notes = append(c.notes, fmt.Sprintf("Content-Length is %d, and the body has %d bytes: a server does not read the last %d", length, len(c.body), len(c.body)-length))
	}
}

// read returns the body that a server would read.
func (c *capture) read() []byte {
	if c.declared >= 0 && len(c.body) > c.declared {
		return c.body[:c.declared]
	}
	return c.body
}

// addHeader adds lines of the signature header, with its name or without.
func (c *capture) addHeader(text string) {
	for line := range strings.Lines(text) {
		line = strings.Trim(line, "\r\n")
		name, value, named := strings.Cut(line, ":")
		switch {
		case strings.TrimSpace(line) == "":
		case named && strings.EqualFold(strings.TrimSpace(name), recipeHeader):
			c.recipe = append(c.recipe, strings.TrimSpace(value))
		case named && strings.EqualFold(strings.TrimSpace(name), signature.HeaderName):
			c.lines = append(c.lines, strings.TrimSpace(value))
		default:
			c.lines = append(c.lines, line)
		}
	}
}
