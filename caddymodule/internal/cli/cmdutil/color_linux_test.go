package cmdutil_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/clitest"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
)

func TestPaintColoursOnlyOnATerminalThatShowsColours(t *testing.T) {
	_, inside := clitest.Terminal(t)
	for _, test := range []struct{ noColor, term, want string }{
		{"", "xterm", "\x1b[31;1mFAIL\x1b[0;22m"},
		{"1", "xterm", "FAIL"},
		{"", "dumb", "FAIL"},
	} {
		t.Setenv("NO_COLOR", test.noColor)
		t.Setenv("TERM", test.term)
		assert.Equal(t, test.want, cmdutil.Paint(inside, cmdutil.Bad, "FAIL"))
		assert.Equal(t, "FAIL", cmdutil.Paint(new(bytes.Buffer), cmdutil.Bad, "FAIL"))
	}
}
