package caddymodule

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/signature"
)

var update = flag.Bool("update", false, "write testdata/vectors/README.md anew")

// differences are the rows of the list in docs/sdk-differences.md, with the vectors on which this
// handler and the official JavaScript SDK disagree for that reason.
var differences = []struct {
	what, sdk, here, because string
	vectors                  []string
}{
	{
		"a time in the future", "accepted, however far", "rejected beyond 5 minutes", "such a signature would never expire",
		[]string{"5 minutes and a second ahead", "an hour ahead", "100 years ahead"},
	},
	{
		"`t=abc`, `t=NaN`, `t=Infinity`", "accepted, for ever", "rejected", "a time that is no number never expires",
		[]string{"t of a word", "t NaN", "t Infinity"},
	},
	{
		"`t` as `1.5`, `1e12`, `0x…`, `+1`, in milliseconds, with spaces or underscores", "accepted", "rejected: 1 to 12 digits",
		"the signature covers `t`, a dot and the body. With dots in `t`, one signature fits two bodies",
		[]string{
			"t with a fraction", "t with an exponent", "t in hexadecimal", "t with a sign", "t with blanks", "t with underscores",
			"t of 5000 digits", "milliseconds", "one MAC for another body",
		},
	},
	{
		"`t` twice, or two headers in one", "the first one counts", "rejected", "the Python SDK takes the last one",
		[]string{"two t, the signed one first", "two lines joined"},
	},
	{
		"several `v0`", "the first one counts", "any of them may match", "as above, and each of them is a proof",
		[]string{"two v0, the good one last"},
	},
	{
		"spaces after commas and around the value, hex in upper case", "rejected", "accepted", "they mean the same (RFC 9110, section 5.5)",
		[]string{"blank after comma", "blank before t", "blank behind the hex", "upper-case hex"},
	},
	{
		"a body that is empty, not JSON, not UTF-8, or begins with a byte order mark", "rejected", "accepted and forwarded",
		"the signature covers bytes. What ElevenLabs signed, it sent",
		[]string{"body empty", "body not JSON", "body with a byte order mark", "body not UTF-8"},
	},
}

// testdata/vectors/README.md has the table of this test.
func TestVerificationAgreesWithTheOfficialSDKExceptForTheListedDifferences(t *testing.T) {
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

	table := "# Agreement with the official SDK\n\n`make.mjs` runs these headers and bodies through the official JavaScript SDK 2.73.0 and writes `vectors.json`. `go test ./caddymodule -run OfficialSDK` runs them through the handler and compares. With `-update` the test writes this table.\n\n" +
		"| Case | SDK | here | because |\n|---|---|---|---|\n"
	reasons := map[string]string{}
	for _, row := range differences {
		for _, name := range row.vectors {
			reasons[name] = row.because
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
				here = "reject: " + res.Header().Get(headerRejection)
			} else {
				assert.Equal(t, string(vector.Body), string(res.upstreamBody))
			}
			reason, differs := reasons[vector.Name]
			delete(reasons, vector.Name)
			assert.Equal(t, differs, (vector.SDK == "accept") != (here == "accept"), "SDK: %s, here: %s", vector.SDK, here)
			table += fmt.Sprintf("| %s | %s | %s | %s |\n", vector.Name, vector.SDK, here, reason)
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

func TestTheDocumentationListsTheDifferences(t *testing.T) {
	page, err := os.ReadFile("../docs/sdk-differences.md")
	require.NoError(t, err)
	_, list, found := strings.Cut(string(page), "|---|\n")
	require.True(t, found)
	list, _, _ = strings.Cut(list, "\n\n")
	rows := make([]string, len(differences))
	for i, row := range differences {
		rows[i] = fmt.Sprintf("| %s | %s | %s | %s |", row.what, row.sdk, row.here, row.because)
	}
	assert.Equal(t, strings.Join(rows, "\n"), list)

	var npm struct{ Dependencies map[string]string }
	content, err := os.ReadFile("testdata/vectors/package.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(content, &npm))
	assert.Contains(t, string(page), "the JavaScript SDK "+npm.Dependencies["@elevenlabs/elevenlabs-js"]+".")
}
