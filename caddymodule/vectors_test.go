package caddymodule

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/signature"
)

var update = flag.Bool("update", false, "write testdata/vectors/README.md anew")

// differences are the vectors on which this handler and the official JavaScript
// SDK disagree, by the reason that the README gives.
var differences = map[string][]string{
	"a signature would never expire": {"5 minutes and a second ahead", "an hour ahead", "100 years ahead"},
	"what is not a number never expires": {
		"t of a word", "t NaN", "t Infinity",
	},
	"what is signed is `t`, a dot and the body: with dots in `t`, one signature fits two bodies": {
		"t with a fraction", "t with an exponent", "t in hexadecimal", "t with a sign", "t with blanks", "t with underscores",
		"t of 5000 digits", "milliseconds", "one MAC for another body",
	},
	"the Python SDK takes the last": {"two t, the signed one first", "two lines joined"},
	"as above, and each is proof":   {"two v0, the good one last"},
	"they mean the same (RFC 9110, section 5.5)": {
		"blank after comma", "blank before t", "blank behind the hex", "upper-case hex",
	},
	"the signature covers bytes; what ElevenLabs signed, it sent": {
		"body empty", "body not JSON", "body with a byte order mark", "body not UTF-8",
	},
}

// testdata/vectors/README.md is the table of this test, and the README's list of
// differences has its reasons.
func TestAgreesWithTheOfficialSDKButForTheListedDifferences(t *testing.T) {
	file, err := os.ReadFile("testdata/vectors/vectors.json")
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

	table := "# Agreement with the official SDK\n\n`make.mjs` runs these headers and bodies through the official JavaScript SDK 2.73.0, and `go test ./caddymodule -run OfficialSDK` through the handler. With `-update` it writes this table.\n\n" +
		"| Case | SDK | here | because |\n|---|---|---|---|\n"
	reasons := map[string]string{}
	for reason, names := range differences {
		for _, name := range names {
			reasons[name] = reason
		}
	}
	for _, vector := range vectors {
		t.Run(vector.Name, func(t *testing.T) {
			h, _ := provision(t, &Handler{
				Secrets: []Secret{{Value: vector.Secret}},
				now:     func() time.Time { return time.Unix(vector.Now, 0) },
			})
			r := newRequest(string(vector.Body))
			r.Header.Set(signature.HeaderName, vector.Header)
			res := serve(t, h, r)

			here := "accept"
			if res.upstream == nil {
				here = "refuse: " + res.Header().Get(headerRejection)
			} else {
				assert.Equal(t, string(vector.Body), string(res.upstreamBody))
			}
			reason, differs := reasons[vector.Name]
			delete(reasons, vector.Name)
			sdk := strings.Replace(vector.SDK, "reject", "refuse", 1)
			assert.Equal(t, differs, (sdk == "accept") != (here == "accept"), "SDK: %s, here: %s", sdk, here)
			table += fmt.Sprintf("| %s | %s | %s | %s |\n", vector.Name, sdk, here, reason)
		})
	}
	assert.Empty(t, reasons, "differences without a vector")

	const readme = "testdata/vectors/README.md"
	if *update {
		require.NoError(t, os.WriteFile(readme, []byte(table), 0o644))
	}
	written, err := os.ReadFile(readme)
	require.NoError(t, err)
	assert.Equal(t, string(written), table)
}

func TestTheREADMEListsTheDifferences(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	require.NoError(t, err)
	_, section, found := strings.Cut(string(readme), "\n## Differences from the official SDKs\n")
	require.True(t, found)
	section, _, _ = strings.Cut(section, "\n## ")
	_, section, found = strings.Cut(section, "|---|\n")
	require.True(t, found)
	var listed []string
	for row := range strings.Lines(strings.TrimSpace(section)) {
		cells := strings.Split(strings.Trim(row, " |\n"), " | ")
		listed = append(listed, cells[len(cells)-1])
	}
	slices.Sort(listed)
	assert.Equal(t, slices.Sorted(maps.Keys(differences)), listed)
}
