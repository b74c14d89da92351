package main

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The option as docs/security.md has it: also what Caddy logs of a request that it
// answers 502 has the request's headers.
func TestTheLogFilterDropsTheSignatureFromEveryLog(t *testing.T) {
	t.Parallel()
	option := findBlock(t, "docs/security.md", "caddyfile", "{\n\tlog {").text
	format := regexp.MustCompile(`(?s)format filter \{.*?\n\t\t\}\n`).FindString(option)
	require.NotEmpty(t, format)
	const nobody = "127.0.0.1:1"
	for name, test := range map[string]struct {
		globals, log string
		kept         bool
	}{
		"without":                     {"", "log", true},
		"with it":                     {option, "log", false},
		"with it, and in a log apart": {option, "log {\noutput stdout\n" + format + "}", false},
	} {
		t.Run(name, func(t *testing.T) {
			failing := "\nhandle_errors {\nreverse_proxy " + nobody + "\n}\n" // so that Caddy logs the error with the request
			s := start(t, test.globals+strings.Replace(webhook(nobody, "retries 0"), "tls internal\n", "tls internal\n"+test.log+failing, 1))
			assert.Equal(t, 502, send(t, s.client("HTTP/2.0"), s.event([]byte(transcript))).status)
			for _, logger := range []string{`"logger":"http.log.access`, `"logger":"http.log.error`} {
				s.eventually(logger, func() bool { return strings.Contains(s.log.String(), logger) })
				for line := range strings.Lines(s.log.String()) {
					if strings.Contains(line, logger) {
						assert.Equal(t, test.kept, strings.Contains(line, "v0="), line)
					}
				}
			}
			assert.Equal(t, test.kept, strings.Contains(s.log.String(), "v0="))
		})
	}
}
