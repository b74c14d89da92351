package cli

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/signature"
)

// capture is a webhook request as it was captured, whole or in parts.
type capture struct {
	method string    // empty if it is not known
	lines  []string  // of the signature header
	recipe []string  // of X-ElevenLabs-Signature, which copied recipes use
	date   time.Time // of the Date header; zero if there is none
	body   []byte    // all that there is

	declared   int    // Content-Length; -1 if there is none
	incomplete string // why the body is not complete; empty if it is
	notes      []string
}

const recipeHeader = "X-ElevenLabs-Signature"

var errNotRequest = errors.New("what was captured is not an HTTP request: it is to begin with a line such as `POST /webhooks/elevenlabs HTTP/1.1`, then headers, a blank line and the body; or give the body by --body and the header by --header")

// parseRequest reads a captured HTTP/1 request. Its head may have lost the CRs
// of its line ends, as it does in editors and logs.
func parseRequest(raw []byte) (capture, error) {
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
		return capture{}, errors.New("the captured request's headers cannot be read: each is to be a line of a name, a colon and a value, and a blank line ends them")
	}
	header := http.Header(mime)
	d := capture{
		method:   words[0],
		lines:    header.Values(signature.HeaderName),
		recipe:   header.Values(recipeHeader),
		declared: -1,
	}
	if date, err := http.ParseTime(header.Get("Date")); err == nil {
		d.date = date
	}
	if d.body, err = io.ReadAll(buffered); err != nil {
		return capture{}, fmt.Errorf("reading the captured body: %w", err)
	}
	d.frame(header)
	return d, nil
}

// chunkHead is how a chunk begins (RFC 9112, section 7.1), with its size.
var chunkHead = regexp.MustCompile(`^([0-9A-Fa-f]+)[ \t]*(?:;[^\r\n]*)?\r?\n`)

// joinChunks joins a chunked body, as far as it goes. Its line ends may have lost
// their CRs, like those of the head.
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
func (d *capture) frame(header http.Header) {
	if strings.EqualFold(header.Get("Transfer-Encoding"), "chunked") {
		if !chunkHead.Match(d.body) {
			d.notes = append(d.notes, "the request says that its body is chunked, but in the capture it is joined already")
			return
		}
		noCR := !bytes.Contains(d.body, []byte("\r"))
		var whole bool
		if d.body, whole = joinChunks(d.body); !whole {
			d.incomplete = fmt.Sprintf("the chunks are broken off or malformed after %d bytes of body", len(d.body))
			if noCR {
				d.incomplete += ", and the capture has lost the CRs of its line ends, which the chunks' lengths count"
			}
		}
		return
	}
	length, err := strconv.Atoi(header.Get("Content-Length"))
	if err != nil || length < 0 {
		return
	}
	d.declared = length
	switch {
	case len(d.body) < length:
		d.incomplete = fmt.Sprintf("Content-Length is %d, and the body has %d bytes: %d missing", length, len(d.body), length-len(d.body))
	case len(d.body) > length:
		d.notes = append(d.notes, fmt.Sprintf("Content-Length is %d, and the body has %d bytes: a server does not read the last %d", length, len(d.body), len(d.body)-length))
	}
}

// read is what a server takes for the body.
func (d *capture) read() []byte {
	if d.declared >= 0 && len(d.body) > d.declared {
		return d.body[:d.declared]
	}
	return d.body
}

// addHeader adds lines of the signature header, with or without its name.
func (d *capture) addHeader(text string) {
	for line := range strings.Lines(text) {
		line = strings.Trim(line, "\r\n")
		name, value, named := strings.Cut(line, ":")
		switch {
		case strings.TrimSpace(line) == "":
		case named && strings.EqualFold(strings.TrimSpace(name), recipeHeader):
			d.recipe = append(d.recipe, strings.TrimSpace(value))
		case named && strings.EqualFold(strings.TrimSpace(name), signature.HeaderName):
			d.lines = append(d.lines, strings.TrimSpace(value))
		default:
			d.lines = append(d.lines, line)
		}
	}
}
