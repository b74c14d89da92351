package clitest

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/tools/txtar"
)

// Update reports whether the golden files, and what shows them, must be written anew.
var Update = flag.Bool("update", false, "rewrite the golden files")

// Case is a golden file: a command, its exit code, and named parts, such as what
// was set up, the output, and the output with --json.
type Case struct {
	Command string // without `caddy elevenlabs`
	Code    int
	Parts   []Part
}

// Part is a part of a golden file.
type Part struct{ Name, Text string }

// Part returns the text of a part, or an empty string.
func (c Case) Part(name string) string {
	for _, p := range c.Parts {
		if p.Name == name {
			return p.Text
		}
	}
	return ""
}

var heading = regexp.MustCompile(`^\$ caddy elevenlabs (.*)\nexit code (\d)\n`)

// ReadCase reads a golden file.
func ReadCase(t *testing.T, file string) Case {
	t.Helper()
	archive, err := txtar.ParseFile(file)
	require.NoError(t, err, "go test -update writes it")
	words := heading.FindSubmatch(archive.Comment)
	require.NotNil(t, words, "%s: it must begin with a command and an exit code", file)
	code, err := strconv.Atoi(string(words[2]))
	require.NoError(t, err)
	c := Case{Command: string(words[1]), Code: code}
	for _, f := range archive.Files {
		c.Parts = append(c.Parts, Part{f.Name, string(f.Data)})
	}
	return c
}

// Golden compares a case with a golden file. With -update it writes the file.
func Golden(t *testing.T, file string, c Case) {
	t.Helper()
	archive := &txtar.Archive{Comment: []byte("$ caddy elevenlabs " + c.Command + "\nexit code " + strconv.Itoa(c.Code) + "\n\n")}
	for _, p := range c.Parts {
		archive.Files = append(archive.Files, txtar.File{Name: p.Name, Data: []byte(p.Text)})
	}
	got := txtar.Format(archive)
	if *Update {
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o750))
		require.NoError(t, os.WriteFile(file, got, 0o644)) //nolint:gosec // as git has it
		return
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err, "go test -update writes it")
	assert.Equal(t, string(want), string(got), file)
}

// Text returns what a user sees: standard output, and the error that cobra prints.
func (o Outcome) Text() string {
	if o.Err == nil {
		return o.Stdout
	}
	return o.Stdout + "Error: " + o.Err.Error() + "\n"
}

// Arguments splits a command at its blanks. Quotes are not supported.
func (c Case) Arguments() []string { return strings.Fields(c.Command) }
