package verify

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/verify/reencode"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/signature"
)

// attempt is a way in which a capture may have been signed.
type attempt struct {
	secret []byte
	before string // the signed text before the body: the timestamp and a dot
	body   []byte
	macs   [][]byte // any of them may match
}

func (a attempt) matches() bool {
	if len(a.macs) == 0 {
		return false
	}
	mac := hmac.New(sha256.New, a.secret)
	mac.Write([]byte(a.before)) // hash.Hash never returns an error
	mac.Write(a.body)
	sum := mac.Sum(nil)
	return slices.ContainsFunc(a.macs, func(given []byte) bool { return hmac.Equal(given, sum) })
}

func (a attempt) withBody(body []byte) attempt {
	a.body = body
	return a
}

func (a attempt) signedAt() (time.Time, bool) {
	t := strings.TrimSuffix(a.before, ".")
	number, err := strconv.ParseInt(t, 10, 64)
	if err == nil && isMilliseconds(t) {
		return time.UnixMilli(number), true
	}
	return time.Unix(number, 0), err == nil
}

func isMilliseconds(t string) bool { return len(t) == 13 }

// clues are a capture and the parts of its signature header, however that is
// written.
type clues struct {
	capture
	time    string
	v0, v1  []string
	all     []string // the lines as written
	renamed bool     // the header is X-ElevenLabs-Signature
	wrong   error    // why package signature rejects the header
	last    *parsed  // so that not every carrier parses the body
}

// parsed is a text and the JSON that it is, if it is.
type parsed struct {
	text  []byte
	value reencode.Value
	ok    bool
}

// json parses a text, or remembers that it has.
func (k clues) json(text []byte) (reencode.Value, bool) {
	if last := k.last; len(text) == 0 || len(text) != len(last.text) || &text[0] != &last.text[0] {
		value, ok := reencode.Parse(bytes.TrimPrefix(text, []byte(byteOrderMark)))
		*last = parsed{text, value, ok}
	}
	return k.last.value, k.last.ok
}

func (k clues) isJSON(text []byte) bool {
	_, ok := k.json(text)
	return ok
}

// parseLoosely reads a signature header that may have a wrong form.
func parseLoosely(c capture) clues {
	_, err := signature.Parse(c.lines)
	k := clues{capture: c, all: c.lines, wrong: err, last: &parsed{}}
	if len(c.lines) == 0 && len(c.recipe) > 0 {
		k.all, k.renamed = c.recipe, true
	}
	for _, line := range k.all {
		for element := range strings.FieldsFuncSeq(line, func(r rune) bool { return r == ',' || r == ';' }) {
			name, value, _ := strings.Cut(element, "=")
			value = cmdutil.TrimQuotes(value)
			switch strings.ToLower(cmdutil.TrimQuotes(name)) {
			case "t":
				if k.time == "" {
					k.time = value
				}
			case "v0":
				k.v0 = append(k.v0, value)
			case "v1":
				k.v1 = append(k.v1, value)
			}
		}
	}
	return k
}

// bare returns the lines as signatures without a name, as recipes on the web have
// them.
func (k clues) bare() []string {
	values := make([]string, 0, len(k.all))
	for _, line := range k.all {
		values = append(values, strings.TrimPrefix(cmdutil.TrimQuotes(line), "sha256="))
	}
	return values
}

// anyMAC reports whether the header contains anything that may be a signature.
func (k clues) anyMAC() bool {
	return len(decodeAll(slices.Concat(k.v0, k.v1, k.bare()), decoders...)) > 0
}

// decodeAll decodes those values that are MACs.
func decodeAll(values []string, decoders ...func(string) ([]byte, error)) [][]byte {
	var macs [][]byte
	for _, value := range values {
		for _, decode := range decoders {
			if mac, err := decode(value); err == nil && len(mac) == sha256.Size {
				macs = append(macs, mac)
			}
		}
	}
	return macs
}

// decoders decode hex, and all kinds of base64.
var decoders = []func(string) ([]byte, error){
	hex.DecodeString,
	base64.StdEncoding.DecodeString, base64.RawStdEncoding.DecodeString,
	base64.URLEncoding.DecodeString, base64.RawURLEncoding.DecodeString,
}
