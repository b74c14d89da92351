package verify

import (
	"bytes"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/verify/reencode"
)

const (
	noChange       = "No single change makes the signature match"
	possibleCauses = noChange + ": the sender has another secret, something changed the body in another way, or the request is forged."
)

var gzipMagic = []byte{0x1f, 0x8b}

// unexplained describes a capture that no single change restores.
func unexplained(k clues) explanation {
	value, isJSON := reencode.Parse(k.body)
	sorted, several := value.Sorted()
	switch {
	case len(k.all) == 0:
		return explanation{
			Change:   "no_signature",
			Sentence: "There is no signature to compare with.",
			Remedy:   "Give the ElevenLabs-Signature header as received. If there was none, the request is not from ElevenLabs, or a proxy in front removes the header.",
		}
	case k.incomplete != "":
		return explanation{
			Change:   "body_incomplete",
			Sentence: "The capture is cut off: " + k.incomplete + ". The signature covers the whole body.",
			Remedy:   "Capture the request to its end, byte for byte.",
		}
	case k.wrong != nil && (!k.anyMAC() || k.time == "" && len(k.v0)+len(k.v1) > 0):
		return explanation{
			Change:   "no_whole_signature",
			Sentence: "There is no whole signature to compare with: " + k.wrong.Error() + ".",
			Remedy:   "Give the ElevenLabs-Signature header as received, to its end: t=<Unix seconds>,v0=<64 hex digits>. Logs and editors cut long lines.",
		}
	case len(k.body) == 0:
		return explanation{
			Change:   "body_empty",
			Sentence: "The body is empty, and the signed body was not.",
			Remedy:   "Something read the body before it was captured, as body parsers do. " + rawBodyRemedy,
		}
	case bytes.HasPrefix(k.body, gzipMagic):
		return explanation{
			Change:   "body_compressed",
			Sentence: noChange + ". But the body is compressed (gzip), and ElevenLabs signs bodies without compression.",
			Remedy:   compressionRemedy + " Then verify the result. " + whichSecret,
		}
	case bytes.Contains(k.body, []byte("\ufffd")):
		return explanation{
			Change:   "characters_lost",
			Sentence: noChange + ". But the body contains U+FFFD, which software writes for bytes that are not UTF-8. The signed bytes cannot be recovered.",
			Remedy:   charsetRemedy + " Then capture another delivery.",
		}
	case isJSON && sorted && several:
		return explanation{
			Change:   "order_lost",
			Sentence: noChange + ". But all names in the body are in alphabetical order, as after a re-encoding. The signed order cannot be recovered.",
			Remedy:   rawBodyRemedy + " If nothing encodes the body again, the secret is another webhook's.",
		}
	case isJSON && value.ByJavaScript(k.body):
		return explanation{
			Change:   "numbers_lost",
			Sentence: possibleCauses + " The body is as JavaScript writes JSON. If JavaScript encoded it again, numbers such as 1.0 and 1e-05 became 1 and 0.00001, and the signed body cannot be recovered.",
			Remedy:   whichSecret + " " + rawBodyRemedy,
		}
	}
	return explanation{
		Change:   "nothing_fits",
		Sentence: possibleCauses,
		Remedy:   whichSecret + " Then verify the exact bytes that were received.",
	}
}
