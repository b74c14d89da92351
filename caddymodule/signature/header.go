package signature

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// HeaderName is the request header that carries the signature.
const HeaderName = "ElevenLabs-Signature"

const (
	maxHeaderBytes = 4 << 10
	maxTimeDigits  = 12 // enough for the year 33658, and no overflow anywhere
)

var (
	// ErrMissing says that there is no signature header, or an empty one.
	ErrMissing = errors.New("the " + HeaderName + " header is missing")
	// ErrMalformed says that the header is not of the documented form. It
	// comes wrapped, with what is wrong.
	ErrMalformed = errors.New("the " + HeaderName + " header is malformed")
)

// Header is a parsed signature header. Its zero value verifies nothing.
type Header struct {
	time string // the digits as sent: they are part of the signed message
	macs [][sha256.Size]byte
}

// SignedAt is the time at which the sender says it signed. It is to be
// believed only once the signature is verified.
func (h Header) SignedAt() time.Time {
	seconds, err := strconv.ParseInt(h.time, 10, 64)
	if err != nil {
		return time.Time{}
	}
	return time.Unix(seconds, 0)
}

// Timestamp is SignedAt as it was sent: Unix seconds in decimal digits.
func (h Header) Timestamp() string { return h.time }

// Parse reads the lines of the signature header, as http.Header.Values gives
// them. It wants exactly one line of at most 4 KiB, in which "t" stands once,
// in 1 to 12 ASCII digits, and "v0" at least once, in 64 hex digits of either
// case. Blanks after commas and empty elements are allowed, and other schemes
// are ignored.
//
// That "t" is digits only is a matter of security: the signed message is
// t + "." + body, so that with a "t" of "1.5" the signature for one body
// would also fit another.
//
// The error is ErrMissing or wraps ErrMalformed. It never quotes the header.
func Parse(lines []string) (Header, error) {
	if len(lines) == 0 {
		return Header{}, ErrMissing
	}
	if len(lines) > 1 {
		return Header{}, fmt.Errorf("%w: it is sent %d times", ErrMalformed, len(lines))
	}
	line := strings.Trim(lines[0], " \t")
	if line == "" {
		return Header{}, ErrMissing
	}
	if len(line) > maxHeaderBytes {
		return Header{}, fmt.Errorf("%w: it is longer than %d bytes", ErrMalformed, maxHeaderBytes)
	}

	var h Header
	for more := true; more; {
		var element string
		element, line, more = strings.Cut(line, ",")
		element = strings.TrimLeft(element, " \t")
		if element == "" {
			continue // RFC 9110, section 5.6.1.2
		}
		scheme, value, found := strings.Cut(element, "=")
		if !found {
			return Header{}, fmt.Errorf("%w: an element has no \"=\"", ErrMalformed)
		}
		switch scheme {
		case "t":
			if h.time != "" {
				return Header{}, fmt.Errorf("%w: \"t\" stands more than once", ErrMalformed)
			}
			if !isTime(value) {
				return Header{}, fmt.Errorf("%w: \"t\" is not 1 to %d digits", ErrMalformed, maxTimeDigits)
			}
			h.time = value
		case "v0":
			var mac [sha256.Size]byte
			if len(value) != hex.EncodedLen(len(mac)) {
				return Header{}, fmt.Errorf("%w: \"v0\" is not %d hex digits", ErrMalformed, hex.EncodedLen(len(mac)))
			}
			if _, err := hex.Decode(mac[:], []byte(value)); err != nil {
				return Header{}, fmt.Errorf("%w: \"v0\" is not hex", ErrMalformed)
			}
			h.macs = append(h.macs, mac)
		}
	}
	if h.time == "" {
		return Header{}, fmt.Errorf("%w: there is no \"t\"", ErrMalformed)
	}
	if len(h.macs) == 0 {
		return Header{}, fmt.Errorf("%w: there is no \"v0\"", ErrMalformed)
	}
	return h, nil
}

func isTime(s string) bool {
	if s == "" || len(s) > maxTimeDigits {
		return false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}
