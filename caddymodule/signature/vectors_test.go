package signature_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// differences are the vectors on which this package and the official JavaScript
// SDK disagree, with the reason. The README's list is made from it.
var differences = map[string]string{
	"blank after comma":            "HTTP allows blanks after commas",
	"blank before t":               "blanks round a header's value are not part of it (RFC 9110, section 5.5)",
	"blank behind the hex":         "blanks round a header's value are not part of it (RFC 9110, section 5.5)",
	"upper-case hex":               "hex is hex in either case",
	"two v0, the good one last":    "any v0 may match; of the official SDKs one takes the first, the other the last",
	"two t, the signed one first":  "one t only; of the official SDKs one takes the first, the other the last",
	"two lines joined":             "one t only: two headers are not one",
	"5 minutes and a second ahead": "the future is bounded",
	"an hour ahead":                "the future is bounded",
	"100 years ahead":              "the future is bounded",
	"milliseconds":                 "t has at most 12 digits, and the future is bounded",
	"t of a word":                  "t is digits only: a word never expires",
	"t NaN":                        "t is digits only: NaN never expires",
	"t Infinity":                   "t is digits only",
	"t with a fraction":            "t is digits only, or one MAC would stand for two bodies",
	"t with an exponent":           "t is digits only",
	"t in hexadecimal":             "t is digits only",
	"t with a sign":                "t is digits only",
	"t with blanks":                "t is digits only",
	"t with underscores":           "t is digits only",
	"t of 5000 digits":             "t has at most 12 digits",
	"one MAC for another body":     "t is digits only, or one MAC would stand for two bodies",
	"body empty":                   "the body is not parsed: what ElevenLabs signed is forwarded",
	"body not JSON":                "the body is not parsed: what ElevenLabs signed is forwarded",
	"body with a byte order mark":  "the body is not parsed: what ElevenLabs signed is forwarded",
	"body not UTF-8":               "the body is verified as bytes, not as a string",
}

func TestAgreesWithTheOfficialSDKButForTheListedDifferences(t *testing.T) {
	file, err := os.ReadFile("../testdata/vectors/vectors.json")
	require.NoError(t, err)
	var vectors []struct {
		Name   string
		Secret string
		Header string
		Body   []byte `json:"body_base64"`
		Now    int64  `json:"now_unix"`
		SDK    string
	}
	require.NoError(t, json.Unmarshal(file, &vectors))
	require.GreaterOrEqual(t, len(vectors), 60)

	names := map[string]bool{}
	for _, vector := range vectors {
		names[vector.Name] = true
		t.Run(vector.Name, func(t *testing.T) {
			v := verifier(t, time.Unix(vector.Now, 0), []byte(vector.Secret))
			_, err := v.Verify([]string{vector.Header}, vector.Body)
			sdkAccepts := vector.SDK == "accept"
			require.True(t, sdkAccepts || strings.HasPrefix(vector.SDK, "reject: "))
			if reason, differs := differences[vector.Name]; differs {
				assert.NotEqual(t, sdkAccepts, err == nil, "no difference any more: %s", reason)
			} else {
				assert.Equal(t, sdkAccepts, err == nil, "SDK: %s, here: %v", vector.SDK, err)
			}
		})
	}
	for name := range differences {
		assert.True(t, names[name], "a difference without a vector: %s", name)
	}
}
