package setup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

const (
	caddyfileName = "Caddyfile"
	// secretName is that of the secret's file in the documentation of systemd too.
	secretName = "elevenlabs_webhook_secret" //nolint:gosec // the name of a file
)

// folder is where the files go.
type folder struct {
	name     string // as the user gave it
	absolute string
}

func openFolder(name string) (*folder, error) {
	absolute, err := filepath.Abs(name)
	if err != nil {
		return nil, fmt.Errorf("finding --dir: %w", err)
	}
	info, err := os.Stat(absolute)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("there is no folder %s: make it first, or name another by --dir", name)
	case err != nil:
		return nil, fmt.Errorf("reading --dir: %w", err)
	case !info.IsDir():
		return nil, fmt.Errorf("--dir names %s, which is no folder", name)
	case strings.ContainsFunc(absolute, func(c rune) bool { return c < ' ' || strings.ContainsRune("{}\"`", c) }):
		return nil, fmt.Errorf("the path of the folder %s has a character that a Caddyfile cannot have in a path: name another by --dir", name)
	}
	return &folder{name, absolute}, nil
}

// path returns the path of a file as the user would type it.
func (f *folder) path(name string) string { return filepath.Join(f.name, name) }

// secretFile is the absolute path of the secret's file.
func (f *folder) secretFile() string { return filepath.Join(f.absolute, secretName) }

// free returns an error if a file is there already.
func (f *folder) free() error {
	for _, name := range []string{caddyfileName, secretName} {
		_, err := os.Lstat(f.path(name))
		if err == nil {
			return fmt.Errorf("%s is there already, and init overwrites nothing: move it away, or name another folder by --dir", f.path(name))
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("looking whether there is a file already: %w", err)
		}
	}
	return nil
}

// writeNew writes a file that must not be there yet, and gives it its mode whatever the
// umask is. After an error, there is none.
func writeNew(path, content string, mode os.FileMode) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	err = file.Chmod(mode)
	if err == nil {
		_, err = file.WriteString(content)
	}
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}

// writeSecret writes the secret's file, without a line end, as `webhooks create` does.
func (f *folder) writeSecret(secret string) error {
	if err := writeNew(f.path(secretName), secret, 0o600); err != nil {
		return fmt.Errorf("writing the secret's file, so there is no Caddyfile either: %w", err)
	}
	return nil
}

// write writes the Caddyfile, and lets store write the secret's file. If that fails, it
// leaves none of them.
func (f *folder) write(caddyfile string, store func() error) error {
	path := f.path(caddyfileName)
	if err := writeNew(path, caddyfile, 0o644); err != nil {
		return fmt.Errorf("writing the Caddyfile, so nothing else was done: %w", err)
	}
	if err := store(); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}
