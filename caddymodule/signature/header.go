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
	maxTimeDigits  = 12 // up to the year 33658
)

var (
	// ErrMissing is returned if there is no signature header, or an empty one.
	ErrMissing = errors.New("the " + HeaderName + " header is missing")
	// ErrMalformed is wrapped by the error for a header that is not of the form
	// that Parse takes. The wrapping error says what is wrong.
	ErrMalformed = errors.New("the " + HeaderName + " header is malformed")
)

// Header is a parsed signature header. The zero value matches no body.
type Header struct {
	time string // the digits as sent, which are part of the signed message
	macs [][sha256.Size]byte
}

// SignedAt returns the time of signing, as the sender states it. Trust it only
// after the signature is verified. The zero Header has the zero time.
func (h Header) SignedAt() time.Time {
	seconds, err := strconv.ParseInt(h.time, 10, 64)
	if err != nil {
		return time.Time{}
	}
	return time.Unix(seconds, 0)
}

// Timestamp returns the time of signing as it was sent: Unix seconds in 1 to 12
// decimal digits, leading zeros included. The zero Header has an empty one.
func (h Header) Timestamp() string { return h.time }

// Parse reads the values of the signature header, as http.Header.Values returns
// them. It accepts a header of this form only:
//   - exactly one value, of at most 4 KiB;
//   - exactly one "t", of 1 to 12 ASCII digits;
//   - one or more "v0", each of 64 hex digits in either case.
//
// Parse allows blanks around the value and after commas, and empty elements. It
// ignores schemes other than "t" and "v0".
//
// "t" must be digits only for security. The signed message is t + "." + body, so
// with a "t" of "1.5" the signature of one body would also fit another body.
//
// The error is ErrMissing, or wraps ErrMalformed. It never quotes the header.
func Parse(values []string) (Header, error) {
	if len(values) == 0 {
		return Header{}, ErrMissing
	}
	if len(values) > 1 {
		return Header{}, fmt.Errorf("%w: the request has it %d times", ErrMalformed, len(values))
	}
	rest := strings.Trim(values[0], " \t")
	if rest == "" {
		return Header{}, ErrMissing
	}
	if len(rest) > maxHeaderBytes {
		return Header{}, fmt.Errorf("%w: it is longer than %d bytes", ErrMalformed, maxHeaderBytes)
	}

	var h Header
	for more := true; more; {
		var element string
		element, rest, more = strings.Cut(rest, ",")
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
				return Header{}, fmt.Errorf("%w: \"t\" occurs more than once", ErrMalformed)
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
