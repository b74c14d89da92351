package cmdutil

import (
	"errors"
	"strings"
)

// Words is a flag of words with commas between them. The flag may be repeated.
// An empty word is an error: without an agent, say, a command applies to the
// whole workspace, which a shell's variable that is not set must not mean.
type Words struct {
	Values *[]string
	// None reports whether the flag may be empty as a whole.
	None bool
}

// Set adds the words.
func (w Words) Set(value string) error {
	if w.None && value == "" {
		*w.Values = nil
		return nil
	}
	for word := range strings.SplitSeq(value, ",") {
		if strings.TrimSpace(word) == "" {
			return errors.New("one of its words is empty: is a variable of the shell not set?")
		}
		*w.Values = append(*w.Values, word)
	}
	return nil
}

// String returns the default for --help, which is none.
func (w Words) String() string { return "" }

// Type names the type of the flag.
func (Words) Type() string { return "words" }
