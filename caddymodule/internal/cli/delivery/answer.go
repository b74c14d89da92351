package delivery

import (
	"html"
	"net/http"
	"regexp"
	"strings"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
)

const (
	readOfAnswer  = 64 << 10 // bytes in which the first lines are looked for
	linesOfAnswer = 5
	longestLine   = 160 // characters
)

// isPage reports whether an answer is a page for people, in HTML. The Content-Type
// does not tell: PHP, Flask and Django say text/html of every answer.
func isPage(answer []byte) bool {
	return strings.HasPrefix(http.DetectContentType(answer), "text/html")
}

var (
	hidden = regexp.MustCompile(`(?is)<!--.*?(?:-->|$)|<(?:script|style)\b.*?(?:</(?:script|style)\s*>|$)`)
	tag    = regexp.MustCompile(`(?s)<[^>]*(?:>|$)`)
)

// firstLines returns the first lines of an answer, fit to be printed. Of a page it
// returns the text.
func firstLines(answer []byte) (lines []string) {
	text := string(answer)
	if isPage(answer) {
		text = hidden.ReplaceAllString(text, "")
		text = html.UnescapeString(tag.ReplaceAllString(text, "\n"))
	}
	for line := range strings.Lines(strings.ToValidUTF8(text, "\uFFFD")) {
		if line = strings.Join(strings.Fields(line), " "); line == "" {
			continue
		}
		if len(lines) == linesOfAnswer {
			return append(lines, "…")
		}
		lines = append(lines, cmdutil.Brief(line, longestLine))
	}
	return lines
}
