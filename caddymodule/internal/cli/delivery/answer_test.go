package delivery

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestFirstLinesOfAnAnswer(t *testing.T) {
	for _, test := range []struct {
		name, body string
		page       bool
		lines      []string
	}{
		{name: "none"},
		{name: "a word", body: "ok", lines: []string{"ok"}},
		{name: "JSON", body: `{"detail": "CSRF Failed"}` + "\n", lines: []string{`{"detail": "CSRF Failed"}`}},
		{
			name: "Express", page: true,
			body:  "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>Error</title>\n</head>\n<body>\n<pre>Cannot POST /webhooks/elevenlabs</pre>\n</body>\n</html>\n",
			lines: []string{"Error", "Cannot POST /webhooks/elevenlabs"},
		},
		{
			name: "scripts and comments", page: true,
			body:  "<html><head><style>h1 { color: red }</style><script>if (a < b) alert('x')</script></head><body><!-- <p>no --><h1>Log in &amp; go on</h1>",
			lines: []string{"Log in & go on"},
		},
		{name: "a page that was cut off", page: true, body: "<h1>Sign in</h1><script>a < b", lines: []string{"Sign in"}},
		{name: "many lines", body: "1\n\n \n2\n3\r\n4\n5\n6\n7\n", lines: []string{"1", "2", "3", "4", "5", "…"}},
		{name: "five lines", body: "1\n2\n3\n4\n5\n\n", lines: []string{"1", "2", "3", "4", "5"}},
		{name: "a long line", body: strings.Repeat("é", 1000), lines: []string{strings.Repeat("é", 160) + "…"}},
		{name: "tabs and blanks", body: "\ta \t b", lines: []string{"a b"}},
		{name: "control characters", body: "\x1b[2Jgone\n\u009b2J", lines: []string{`"\x1b[2Jgone"`, `"\u009b2J"`}},
		{name: "of a page", page: true, body: "<p>&#27;[2J", lines: []string{`"\x1b[2J"`}},
		{name: "no UTF-8", body: "caf\xe9 \x9b2J", lines: []string{"caf\uFFFD \uFFFD2J"}},
	} {
		assert.Equal(t, test.page, isPage([]byte(test.body)), test.name)
		assert.Equal(t, test.lines, firstLines([]byte(test.body)), test.name)
	}
}
