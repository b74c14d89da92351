package workspace

import (
	"regexp"
	"slices"
	"strings"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
)

// CommandLine writes out a command about webhooks, for the user to run. It finds the
// workspace with the same flags as this one, except for a key from standard input.
func (w *Workspace) CommandLine(args ...string) string {
	for _, name := range []string{"region", "api-key-file", "api-key-env"} {
		flag := w.cmd.Flags().Lookup(name)
		if value := flag.Value.String(); flag.Changed && value != "-" {
			args = append(slices.Clip(args), "--"+name, value)
		}
	}
	quoted := make([]string, 0, len(args))
	for _, arg := range args {
		quoted = append(quoted, ShellQuoted(arg))
	}
	return cmdutil.Program(w.cmd) + " elevenlabs webhooks " + strings.Join(quoted, " ")
}

var plainWord = regexp.MustCompile(`^[\w./:=,@%+-]+$`)

// ShellQuoted quotes a word for a POSIX shell, if necessary.
func ShellQuoted(word string) string {
	if plainWord.MatchString(word) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
