package listen

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/stored"
)

// temporary is the pattern of files that are not whole.
const temporary = ".listen-*.part"

// savedFile is a body in a folder, which can be read from its beginning.
type savedFile struct {
	*os.File        // the temporary one
	name     string // of the file that stays
}

// save writes a body to a file whose name sorts by the event's number. The file is there
// whole or not at all. One that is there already stays as it is: the name has the event's
// id, so that it is the same event.
func (f folder) save(e stored.Event, body io.Reader) (kept *savedFile, err error) {
	file, err := os.CreateTemp(string(f), temporary)
	if err != nil {
		return nil, fmt.Errorf("saving: %w", err)
	}
	kept = &savedFile{file, filepath.Join(string(f), fileName(e))}
	defer func() {
		if err != nil {
			kept.discard()
			kept = nil
		}
	}()
	size, err := io.Copy(file, body)
	if err != nil {
		return kept, fmt.Errorf("saving: %w", err)
	}
	if size != e.Size {
		return kept, lost(fmt.Errorf("%d of %d bytes came", size, e.Size))
	}
	if err := file.Sync(); err != nil {
		return kept, fmt.Errorf("saving: %w", err)
	}
	if err := publish(file.Name(), kept.name); err != nil {
		return kept, fmt.Errorf("saving: %w", err)
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return kept, fmt.Errorf("saving: %w", err)
	}
	return kept, nil
}

// publish gives a file its name, except if there is a file of that name.
func publish(from, name string) error {
	err := os.Link(from, name) // which overwrites nothing
	if err == nil || errors.Is(err, fs.ErrExist) {
		return nil
	}
	// a file system without hard links
	if _, missing := os.Lstat(name); !errors.Is(missing, fs.ErrNotExist) {
		return missing
	}
	return os.Rename(from, name)
}

// discard removes the temporary file.
func (s *savedFile) discard() {
	_ = s.Close()
	_ = os.Remove(s.File.Name()) // a rename may have done it
}

// fileName returns the name of an event's file.
func fileName(e stored.Event) string {
	plain := func(c rune) rune {
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' {
			return c
		}
		return '_'
	}
	const digits = 16 // of the id
	return fmt.Sprintf("%010d-%s-%s.json", e.Seq, cmp.Or(strings.Map(plain, e.EventType), "event"),
		strings.Map(plain, e.EventID[:min(digits, len(e.EventID))]))
}
