package cli

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
)

const (
	whichSecret = "Compare the secret first: each webhook has its own, shown once, when it is created; if it is lost, create a new webhook."
	fitsNot     = "No single change makes it match: it was signed with another secret, or the body was changed in some other way, or it is forged."
)

var gzipMagic = []byte{0x1f, 0x8b}

// nothingFits says what can be said when no change makes the signature match.
func nothingFits(h clues) explanation {
	value, isJSON := parseJSON(h.body)
	sorted, choice := value.inOrder(sortedOrder)
	switch {
	case len(h.whole) == 0:
		return explanation{
			Change:   "no_signature",
			Sentence: "There is no signature to compare with.",
			Remedy:   "Give the ElevenLabs-Signature header as it came. If it did not come: the request is not from ElevenLabs, or a proxy in front removes the header.",
		}
	case h.incomplete != "":
		return explanation{
			Change:   "body_incomplete",
			Sentence: "The capture is cut off: " + h.incomplete + ". What was signed is the whole body.",
			Remedy:   "Capture the request to its end, and byte by byte.",
		}
	case h.wrong != nil && (!h.anyMAC() || h.time == "" && len(h.v0)+len(h.v1) > 0):
		return explanation{
			Change:   "no_whole_signature",
			Sentence: "There is no whole signature to compare with: " + h.wrong.Error() + ".",
			Remedy:   "Give the ElevenLabs-Signature header as it came, to its end: t=<Unix seconds>,v0=<64 hex digits>. Logs and editors cut long lines off.",
		}
	case len(h.body) == 0:
		return explanation{
			Change:   "body_empty",
			Sentence: "The body is empty, and what was signed is not.",
			Remedy:   "Something read the body before it was captured, as body parsers do. " + useRawBody,
		}
	case bytes.HasPrefix(h.body, gzipMagic):
		return explanation{
			Change:   "body_compressed",
			Sentence: "No single change makes it match. But the body is compressed (gzip), and what is signed is not.",
			Remedy:   mendCompression + " Then verify what that is. " + whichSecret,
		}
	case bytes.Contains(h.body, []byte("\ufffd")):
		return explanation{
			Change:   "characters_lost",
			Sentence: "No single change makes it match. But the body holds U+FFFD, which software puts for bytes that it cannot read as UTF-8: what they were cannot be recovered.",
			Remedy:   mendCharset + " Then capture another delivery.",
		}
	case isJSON && sorted && choice:
		return explanation{
			Change:   "order_lost",
			Sentence: "No single change makes it match. But all names in the body stand in alphabetical order, as a re-encoding leaves them; the order that was signed cannot be recovered.",
			Remedy:   useRawBody + " Otherwise it is another webhook's secret.",
		}
	case isJSON && byJavaScript(value, h.body):
		return explanation{
			Change:   "numbers_lost",
			Sentence: fitsNot + " The body is as JavaScript writes JSON: if it was parsed and written anew, numbers such as 1.0 and 1e-05 became 1 and 0.00001, and what was signed cannot be recovered.",
			Remedy:   whichSecret + " " + useRawBody,
		}
	}
	return explanation{
		Change:   "nothing_fits",
		Sentence: fitsNot,
		Remedy:   whichSecret + " Then verify the very bytes that came.",
	}
}

// anyMAC is whether there is something in the header that may be a signature.
func (h clues) anyMAC() bool {
	return len(decodeAll(slices.Concat(h.v0, h.v1, h.bare()), decoders...)) > 0
}

// byJavaScript is whether JSON.stringify may have written a text, and would have
// changed numbers in it.
func byJavaScript(value jsonValue, text []byte) bool {
	form := jsonForm{jsonLayout: jsonLayout{",", ":", ""}}
	some, all := value.numbers()
	return some && all && bytes.Equal(text, form.append(nil, value, 0))
}

// numbers reports whether there are any, and whether all are as JavaScript writes
// them, which is as package json does.
func (v jsonValue) numbers() (some, all bool) {
	if v.scalar != nil {
		number, err := strconv.ParseFloat(string(v.scalar), 64)
		if err != nil {
			return false, true
		}
		written, err := json.Marshal(number)
		return true, err == nil && bytes.Equal(written, v.scalar)
	}
	all = true
	for _, m := range v.members {
		s, a := m.value.numbers()
		some, all = some || s, all && a
	}
	return some, all
}
