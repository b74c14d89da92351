package standardwebhooks_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	official "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/standardwebhooks"
)

const id = "25f9fd8b17bf918bfc8230b23ca55e3dcba250e0ee80f3b5e6e7a2e6fbbf2b82"

// key returns a key of so many bytes, as it is written.
func key(size int, fill byte) string {
	return "whsec_" + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{fill}, size))
}

func parse(t *testing.T, texts ...string) [][]byte {
	t.Helper()
	keys := make([][]byte, len(texts))
	for i, text := range texts {
		var err error
		keys[i], err = standardwebhooks.ParseKey(text)
		require.NoError(t, err)
	}
	return keys
}

// The example is that of the specification's libraries.
func TestTheSignatureIsThatOfTheOfficialExample(t *testing.T) {
	keys := parse(t, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	got, err := standardwebhooks.Sign(keys, "msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), strings.NewReader(`{"test": 2432232314}`))
	require.NoError(t, err)
	assert.Equal(t, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", got)
}

func TestTheOfficialLibraryVerifiesWithEitherKey(t *testing.T) {
	old, next, other := key(24, 1), key(64, 0xfb), key(32, 3)
	for name, body := range map[string][]byte{
		"empty":       {},
		"JSON":        []byte(`{"type":"post_call_transcription"}`),
		"not UTF-8":   {0xff, 0, '.', '\n'},
		"large":       bytes.Repeat([]byte("audio"), 1<<20),
		"a signature": []byte(id + ".1." + id),
	} {
		t.Run(name, func(t *testing.T) {
			now := time.Now()
			value, err := standardwebhooks.Sign(parse(t, old, next), id, now, iotest.HalfReader(bytes.NewReader(body)))
			require.NoError(t, err)
			header := http.Header{}
			header.Set(standardwebhooks.HeaderID, id)
			header.Set(standardwebhooks.HeaderTimestamp, standardwebhooks.Timestamp(now))
			header.Set(standardwebhooks.HeaderSignature, value)
			for text, verifies := range map[string]bool{old: true, next: true, other: false} {
				library, err := official.NewWebhook(text)
				require.NoError(t, err)
				assert.Equal(t, verifies, library.Verify(body, header) == nil)
				require.Error(t, library.Verify(append(bytes.Clone(body), ' '), header))
			}
			library, err := official.NewWebhook(old)
			require.NoError(t, err)
			first, err := library.Sign(id, now, body)
			require.NoError(t, err)
			assert.True(t, strings.HasPrefix(value, first+" v1,"), "the signatures are in the order of the keys, with a space between")
		})
	}
}

func TestABodyThatCannotBeReadIsNotSigned(t *testing.T) {
	broken := errors.New("a damaged page")
	value, err := standardwebhooks.Sign(parse(t, key(24, 1)), id, time.Now(), io.MultiReader(strings.NewReader("{"), iotest.ErrReader(broken)))
	require.ErrorIs(t, err, broken)
	assert.Empty(t, value)
}

func TestKeysOfAnotherFormAreErrorsThatDoNotShowThem(t *testing.T) {
	for _, test := range []struct{ name, text, err string }{
		{"no prefix", key(32, 1)[len("whsec_"):], "it does not begin with whsec_"},
		{"in quotes", `"` + key(32, 1) + `"`, "it does not begin with whsec_"},
		{"a webhook's secret", "wsec_AQEBAQEB", "it begins with wsec_: it is the secret of a webhook at ElevenLabs, and sign needs a key of your own, whsec_ and base64"},
		{"a public key", "whpk_AQEBAQEB", "it does not begin with whsec_"},
		{"hexadecimal, which is base64 of 48 bytes", "whsec_" + strings.Repeat("01", 32), ""},
		{"for URLs", "whsec_" + base64.URLEncoding.EncodeToString(bytes.Repeat([]byte{0xfb}, 24)), "what follows whsec_ is not base64 with the characters + and / and with its padding"},
		{"without padding", strings.TrimRight(key(32, 1), "="), "what follows whsec_ is not base64 with the characters + and / and with its padding"},
		{"empty", "whsec_", "it has 0 bytes after base64 is decoded, and must have from 24 to 64"},
		{"of 23 bytes", key(23, 1), "it has 23 bytes after base64 is decoded, and must have from 24 to 64"},
		{"of 24 bytes", key(24, 1), ""},
		{"of 64 bytes", key(64, 1), ""},
		{"of 65 bytes", key(65, 1), "it has 65 bytes after base64 is decoded, and must have from 24 to 64"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := standardwebhooks.ParseKey(test.text)
			if test.err == "" {
				require.NoError(t, err)
				return
			}
			require.EqualError(t, err, test.err)
			assert.NotContains(t, err.Error(), "AQEB", "the key")
		})
	}
}
