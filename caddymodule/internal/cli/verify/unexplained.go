package verify

import (
	"bytes"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/verify/reencode"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"
)

const (
	noChange       = "No single change makes the signature match"
	possibleCauses = noChange + ": the sender has another secret, something changed the body in another way, or the request is forged."
	orAnother      = " If nothing changes the body, the sender has another secret."
	notRecovered   = "The signed bytes cannot be recovered."
)

var gzipMagic = []byte{0x1f, 0x8b}

// unexplained describes a capture that no single change restores. What is certain
// comes first, then what is likely.
func unexplained(k clues, secret string) explanation {
	for _, find := range []func(clues, string) (explanation, bool){noSignature, wrongSecret, noWholeBody, otherBody, rewrittenBody} {
		if e, ok := find(k, secret); ok {
			return e
		}
	}
	return explanation{
		Change:   "nothing_fits",
		Sentence: possibleCauses,
		Remedy:   whichSecret + " Then verify the exact bytes that were received.",
	}
}

func noSignature(k clues, _ string) (explanation, bool) {
	switch {
	case len(k.all) == 0:
		return explanation{
			Change:   "no_signature",
			Sentence: "There is no signature to compare with.",
			Remedy:   "Give the ElevenLabs-Signature header as received. If there was none, a proxy in front removes it, or the request is not a signed webhook: ElevenLabs does not sign conversation-initiation webhooks and server tools.",
		}, true
	case k.incomplete == "" && k.wrong != nil && (!k.anyMAC() || k.time == "" && len(k.v0)+len(k.v1) > 0):
		return explanation{
			Change:   "no_whole_signature",
			Sentence: "There is no whole signature to compare with: " + k.wrong.Error() + ".",
			Remedy:   "Give the ElevenLabs-Signature header as received, to its end: t=<Unix seconds>,v0=<64 hex digits>. Logs and editors cut long lines.",
		}, true
	}
	return explanation{}, false
}

// wrongSecret knows other things that people take for the secret.
func wrongSecret(_ clues, secret string) (explanation, bool) {
	secret = cmdutil.TrimQuotes(onlyASCII(secret))
	const where = "Give the webhook's signing secret: wsec_ and what follows, which ElevenLabs shows once, when the webhook is created. If it is lost, create a new webhook."
	for _, other := range []struct{ prefix, change, what string }{
		{"sk_", "secret_is_api_key", "an API key (sk_…), which does not sign webhooks. Take care that the key does not leak"},
		{"whsec_", "secret_of_another_service", "one of Stripe or Standard Webhooks (whsec_…)"},
		{"wh_", "secret_is_an_id", "the id of a webhook"},
		{"agent_", "secret_is_an_id", "the id of an agent"},
		{"http", "secret_is_a_url", "a URL"},
		{"$", "secret_is_a_placeholder", "the name of a variable, and not its value"},
		{"{", "secret_is_a_placeholder", "a placeholder, and not its value"},
	} {
		if strings.HasPrefix(secret, other.prefix) {
			return explanation{Change: other.change, Sentence: "The given secret is " + other.what + ".", Remedy: where}, true
		}
	}
	_, notHex := hex.DecodeString(secret)
	withoutPrefix := notHex == nil && len(secret) == 64
	switch {
	case strings.HasSuffix(secret, "...") || strings.Contains(secret, "***") || strings.HasSuffix(strings.ToLower(secret), "xxx"):
		return explanation{
			Change: "secret_is_a_placeholder", Sentence: "The given secret has dots, stars or x in place of its characters, as in documentation and on web pages.", Remedy: where,
		}, true
	case !strings.HasPrefix(secret, facts.SecretPrefix) && !withoutPrefix:
		return explanation{
			Change: "secret_form", Sentence: "The given secret does not begin with wsec_, as every signing secret of ElevenLabs does.", Remedy: where,
		}, true
	}
	return explanation{}, false
}

// nothing is what languages write in place of a body that is not there.
var nothing = []string{"{}", "[]", `""`, "null", "undefined", "None", "nil", "b''", `b""`, "NaN", "false"}

// noWholeBody knows bodies of which a part is missing.
func noWholeBody(k clues, _ string) (explanation, bool) {
	body := k.read()
	end, isCut := cutOff(body)
	switch {
	case k.incomplete != "":
		return explanation{
			Change:   "body_incomplete",
			Sentence: "The capture is cut off: " + k.incomplete + ". The signature covers the whole body.",
			Remedy:   "Capture the request to its end, byte for byte.",
		}, true
	case len(bytes.TrimSpace(body)) == 0:
		return explanation{
			Change:   "body_empty",
			Sentence: "The body is empty, and the signed body was not.",
			Remedy:   "Something read the body before it was captured, as body parsers do. " + rawBodyRemedy,
		}, true
	case slices.Contains(nothing, string(bytes.TrimSpace(body))):
		return explanation{
			Change:   "body_empty",
			Sentence: "The body is " + string(bytes.TrimSpace(body)) + ", which software gives where there is no body, or where no parser has read it.",
			Remedy:   rawBodyRemedy,
		}, true
	case bytes.HasPrefix(body, gzipMagic):
		return explanation{
			Change:   "body_compressed",
			Sentence: noChange + ". But the body is compressed (gzip), and ElevenLabs signs bodies without compression.",
			Remedy:   compressionRemedy + " Then verify the result. " + whichSecret,
		}, true
	case bytes.Contains(body, []byte("\ufffd")):
		return explanation{
			Change:   "characters_lost",
			Sentence: noChange + ". But the body contains U+FFFD, which software writes for bytes that are not UTF-8. " + notRecovered,
			Remedy:   charsetRemedy + " Then capture another delivery.",
		}, true
	case isCut:
		return explanation{Change: "body_cut_off", Sentence: cutSentence(body, end), Remedy: cutRemedy}, true
	}
	return explanation{}, false
}

// otherBody knows bodies that are something else than the signed body.
func otherBody(k clues, _ string) (explanation, bool) {
	body := k.read()
	short := body // long strings, such as audio, take time and have no names
	if k.isJSON(body) {
		short = reencode.AbridgeText(body)
	}
	if renamed.Match(short) {
		return explanation{
			Change:   "names_changed",
			Sentence: "The body was parsed and encoded again with other names: ElevenLabs writes event_timestamp and conversation_id, with underscores. " + notRecovered + orAnother,
			Remedy:   "Something reads the body into a class, and writes the class. " + rawBodyRemedy,
		}, true
	}
	if c, inner, ok := carrierOf(k); ok {
		e := explanation{
			Change:   c.name,
			Sentence: "The body is " + c.what + ", and not what ElevenLabs signed. " + notRecovered + orAnother,
			Remedy:   c.remedy,
		}
		if len(inner) > 0 {
			e.Sentence = "The body is " + c.what + ", and not what ElevenLabs signed. The event in it does not match either: something changed it too, or the sender has another secret."
			e.Remedy += " If it fails again, compare the secret. " + eachSecret
		}
		return e, true
	}
	if hidden.Match(short) {
		return explanation{
			Change:   "values_hidden",
			Sentence: "Values of the body were hidden, as logs and monitors hide them, or left out. " + notRecovered,
			Remedy:   "Capture the body as received, not from a log. Rails, Sentry, pino and others replace values in what they log.",
		}, true
	}
	offset, err := syntaxError(body)
	if begins := bytes.TrimSpace(body); err != nil && begins[0] != '{' && begins[len(begins)-1] == '}' && bytes.Count(body, []byte(`":`)) > 1 {
		return explanation{
			Change:   "body_begin_lost",
			Sentence: "The beginning of the body is missing: it ends as JSON does, and does not begin with {. The signature covers the whole body.",
			Remedy:   "Capture the body from its first byte. Logs and terminals keep only the end of long texts, and a buffer in pieces must be joined.",
		}, true
	}
	if err != nil {
		return explanation{
			Change:   "body_not_json",
			Sentence: "The body is not JSON, as all of ElevenLabs's are: the first error is at byte " + strconv.FormatInt(offset, 10) + " of " + strconv.Itoa(len(body)) + ". Something changed it, or the sender has another secret and is not ElevenLabs.",
			Remedy:   captureRemedy,
		}, true
	}
	return explanation{}, false
}

// rewrittenBody knows bodies that are not in the form in which ElevenLabs writes.
func rewrittenBody(k clues, _ string) (explanation, bool) {
	body := bytes.TrimPrefix(k.read(), []byte(byteOrderMark))
	value, _ := reencode.Parse(body)
	traits := reencode.Traits(body, value)
	if len(traits) == 0 {
		return explanation{}, false
	}
	writers := reencode.RewritersOf(body, value)
	names, remedy := by(writers)
	e := explanation{
		Change:   "body_rewritten",
		Sentence: "The body was parsed and encoded again" + names + ": it " + enumerate(traits, "and") + ". " + notRecovered + orAnother,
		Remedy:   remedy + " If nothing encodes the body again, compare the secret. " + eachSecret,
	}
	byJavaScript := slices.ContainsFunc(writers, func(w reencode.Writer) bool { return w.Platform == reencode.JavaScript })
	alphabetical, several := value.Sorted()
	byLength, _ := value.SortedByLength()
	switch {
	case several && (alphabetical || byLength):
		e.Change = "order_lost"
	case byJavaScript && value.HasNumbers():
		e.Change = "numbers_lost"
		e.Sentence = "The body was parsed and encoded again" + names + ": it " + enumerate(traits, "and") + ". If JavaScript did it, numbers such as 1.0 and 1e-05 became 1 and 0.00001. " + notRecovered + orAnother
	}
	return e, true
}
