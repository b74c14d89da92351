package inbox

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"os"
)

const (
	logHeader  = 32
	pageHeader = 24
	// bigEndianLog is in the first number of a log whose checksums are over numbers in
	// this order.
	bigEndianLog = 1
)

// countLogged returns how many pages of a log SQLite would read after a crash: those up to
// the last transaction before a page whose checksum is wrong. While SQLite runs, it knows
// where the pages are, and looks at no checksum.
//
// https://sqlite.org/fileformat2.html#the_write_ahead_log describes the file.
func countLogged(path string) (pages int, err error) {
	file, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	reader := bufio.NewReaderSize(file, 1<<20)
	header := make([]byte, logHeader)
	if _, err := io.ReadFull(reader, header); err != nil {
		return 0, ignoreEnd(err)
	}
	sum := logSum{order: binary.LittleEndian}
	if binary.BigEndian.Uint32(header)&bigEndianLog != 0 {
		sum.order = binary.BigEndian
	}
	if sum.add(header[:24]); !sum.is(header[24:]) {
		return 0, nil
	}
	salt := string(header[16:24])
	page := make([]byte, pageHeader+binary.BigEndian.Uint32(header[8:]))
	for n := 1; ; n++ {
		if _, err := io.ReadFull(reader, page); err != nil {
			return pages, ignoreEnd(err)
		}
		sum.add(page[:8])
		if sum.add(page[pageHeader:]); string(page[8:16]) != salt || !sum.is(page[16:]) {
			return pages, nil
		}
		if binary.BigEndian.Uint32(page[4:]) != 0 { // the last of a transaction
			pages = n
		}
	}
}

func ignoreEnd(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}

// logSum is the checksum of a log up to some place.
type logSum struct {
	order  binary.ByteOrder
	s0, s1 uint32
}

func (s *logSum) add(data []byte) {
	for ; len(data) >= 8; data = data[8:] {
		s.s0 += s.order.Uint32(data) + s.s1
		s.s1 += s.order.Uint32(data[4:]) + s.s0
	}
}

// is reports whether the checksum is the stored one.
func (s *logSum) is(stored []byte) bool {
	return binary.BigEndian.Uint32(stored) == s.s0 && binary.BigEndian.Uint32(stored[4:]) == s.s1
}
