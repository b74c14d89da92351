package verify

import (
	"bytes"
	"iter"
	"slices"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/verify/reencode"
)

// carrier is something other than the signed body that has the event in it, such
// as base64 of the body, or an event of AWS Lambda.
type carrier struct {
	name   string
	what   string // completes "The body is …"
	remedy string
	// open returns what may be the signed body, and reports whether the body is
	// this carrier. It may know the carrier without being able to open it.
	open func(body []byte, k clues) (inner [][]byte, ok bool)
}

// carrierBytes is up to how many bytes the search for the signed body in a carrier
// tries other numbers. A carrier of more, such as of long audio, is opened, and what
// is in it is tried as it is.
const carrierBytes = 16 << 20

// carriers are tried in this order: from those that are known for certain to
// those that are only likely.
var carriers = slices.Concat(encodedCarriers, jsonCarriers, printedCarriers)

func carrierChanges() []change {
	all := make([]change, 0, len(carriers))
	for _, c := range carriers {
		all = append(all, change{c.name, "The body is " + c.what + ". The signed body is in it", c.remedy, c.attempts})
	}
	return all
}

// attempts tries what is in the carrier, as it is and restored, and what is in a
// carrier within it.
func (c carrier) attempts(base attempt, k clues) iter.Seq2[string, attempt] {
	return func(yield func(string, attempt) bool) {
		inner, ok := c.open(base.body, k)
		if !ok {
			return
		}
		for _, body := range inner {
			if !tryInner(base, k, body, carrierBytes/len(inner), 2, yield) {
				return
			}
		}
	}
}

func tryInner(base attempt, k clues, body []byte, limit, depth int, yield func(string, attempt) bool) bool {
	body = bytes.TrimPrefix(body, []byte(byteOrderMark))
	if !yield("", base.withBody(body)) {
		return false
	}
	if trimmed := bytes.TrimRight(body, "\r\n"); len(trimmed) < len(body) && !yield("", base.withBody(trimmed)) {
		return false
	}
	if len(body) > limit && beginsAsJSON(body) {
		return true
	}
	if value, ok := k.json(body); ok && isEvent(value) {
		for body := range reencode.Restorations(value, limit) {
			if !yield(", where it was parsed and encoded again", base.withBody(body)) {
				return false
			}
		}
		return true
	}
	if depth == 0 {
		return true
	}
	for _, c := range carriers {
		inner, ok := c.open(body, k)
		if !ok {
			continue
		}
		for _, body := range inner {
			if !tryInner(base, k, body, limit/len(inner), depth-1, yield) {
				return false
			}
		}
	}
	return true
}

// carrierOf returns the carrier that a body is, and what is in it.
func carrierOf(k clues) (c carrier, inner [][]byte, ok bool) {
	for _, c := range carriers {
		if inner, ok := c.open(k.read(), k); ok {
			return c, inner, true
		}
	}
	return carrier{}, nil, false
}

// isEvent reports whether JSON has the envelope of ElevenLabs's events.
func isEvent(v reencode.Value) bool {
	_, hasType := v.Member("type")
	data, hasData := v.Member("data")
	return hasType && hasData && !data.IsArray()
}
