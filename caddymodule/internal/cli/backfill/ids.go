package backfill

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
)

// idsFile is a file with the ids of conversations whose events an application has. A line
// has an id, or an id and the type of an event. What follows a # is a comment.
type idsFile struct {
	name  string
	known Known
	file  *os.File // nil if nothing is added
}

// readIDs reads a file. With append, it opens the file so that ids can be added.
func readIDs(name string, toAppend bool) (*idsFile, error) {
	text, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("reading --ids: %w: create it with the ids of the conversations that your application has; an empty file means none", err)
	}
	if err != nil {
		return nil, fmt.Errorf("reading --ids: %w", err)
	}
	f := &idsFile{name: name, known: Known{}}
	lines := bufio.NewScanner(bytes.NewReader(bytes.TrimPrefix(text, []byte("\ufeff"))))
	for number := 1; lines.Scan(); number++ {
		line, _, _ := strings.Cut(lines.Text(), "#")
		switch words := strings.Fields(line); {
		case len(words) == 1:
			f.known.add(words[0], "")
		case len(words) == 2 && slices.Contains(types, words[1]):
			f.known.add(words[0], words[1])
		case len(words) > 0:
			return nil, fmt.Errorf("--ids: line %d of %s must be the id of a conversation, and may have one of %s behind it", number, name, strings.Join(types, ", "))
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("reading --ids: %w", err)
	}
	if !toAppend {
		return f, nil
	}
	if f.file, err = os.OpenFile(name, os.O_WRONLY|os.O_APPEND, 0); err != nil {
		return nil, fmt.Errorf("opening --ids: %w: the command adds the ids of what it has sent, so that another run does not send it again", err)
	}
	if len(text) > 0 && !bytes.HasSuffix(text, []byte("\n")) {
		if _, err := io.WriteString(f.file, "\n"); err != nil {
			return nil, f.failed(err)
		}
	}
	return f, nil
}

// add adds an event that an application has now.
func (f *idsFile) add(conversation, eventType string) error {
	if _, err := fmt.Fprintf(f.file, "%s %s\n", conversation, eventType); err != nil {
		return f.failed(err)
	}
	return nil
}

func (f *idsFile) failed(err error) error {
	return fmt.Errorf("writing --ids: %w: another run would send the last event again", err)
}

// close closes the file.
func (f *idsFile) close() error {
	if f == nil || f.file == nil {
		return nil
	}
	return f.file.Close()
}
