//go:build !linux && !darwin

package doctor

import (
	"errors"
	"io/fs"
)

// ownerOf returns -1: the owner is not known.
func ownerOf(fs.FileInfo) int { return -1 }

// writable returns nil: it is not known without writing.
func writable(string) error { return nil }

func freeSpace(string) (uint64, error) {
	return 0, errors.New("doctor cannot ask for it on this system")
}
