package cli

import (
	"errors"
	"strings"
)

// words is a flag of words with commas between them, which may be repeated. An
// empty one is refused: without an agent, say, a command is for the whole
// workspace, and a variable of the shell that is not set is not to mean that.
type words struct {
	values *[]string
	none   bool // whether it may be empty as a whole
}

func (w words) Set(value string) error {
	if w.none && value == "" {
		*w.values = nil
		return nil
	}
	for word := range strings.SplitSeq(value, ",") {
		if strings.TrimSpace(word) == "" {
			return errors.New("a part of it is empty: is a variable of the shell not set?")
		}
		*w.values = append(*w.values, word)
	}
	return nil
}

func (w words) String() string { return "" } // the default, for --help

func (words) Type() string { return "words" }
