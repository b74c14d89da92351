package caddymodule

import (
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	official "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/inbox"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/signature"
)

const (
	signKey    = "whsec_AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB" // of 24 bytes
	oldSignKey = "whsec_AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI="
)

// signing returns a handler that signs with both keys.
func signing() *Handler {
	return &Handler{Sign: []string{"{env.TEST_SIGN_KEY}", "{env.TEST_OLD_SIGN_KEY}"}}
}

// requireSigned requires that an application with either key verifies a request.
func requireSigned(t testing.TB, header http.Header, body string) {
	t.Helper()
	for _, key := range []string{signKey, oldSignKey} {
		library, err := official.NewWebhook(key)
		require.NoError(t, err)
		require.NoError(t, library.VerifyIgnoringTimestamp([]byte(body), header))
	}
	assert.Equal(t, header.Get("X-ElevenLabs-Event-Id"), header.Get("webhook-id"))
}

func TestVerifiedEventsAreSignedForTheBackend(t *testing.T) {
	for name, body := range map[string]string{"of JSON": transcript, "empty": "", "on disk": strings.Repeat("x", 3<<20)} {
		t.Run(name, func(t *testing.T) {
			h, logs := provision(t, signing())
			res := serve(t, h, newRequest(body))
			require.NoError(t, res.err)
			assert.Equal(t, body, string(res.upstreamBody))
			requireSigned(t, res.upstream, body)
			assert.Equal(t, []string{"1795421654"}, res.upstream["Webhook-Timestamp"])
			assert.Len(t, res.upstream["Webhook-Id"], 1)
			assert.Len(t, res.upstream["Webhook-Signature"], 1)
			assert.Zero(t, logs.Len())
		})
	}
}

func TestEachRetryIsSignedAnewWithItsOwnTime(t *testing.T) {
	h := signing()
	now := signedAt
	h.now = func() time.Time { return now }
	h, _ = provision(t, h)
	var times []string
	res := serveWith(t, h, newRequest(transcript), caddyhttp.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) error {
		times = append(times, r.Header.Get("webhook-timestamp"))
		requireSigned(t, r.Header, transcript)
		now = now.Add(7 * time.Second)
		if len(times) == 3 {
			return nil
		}
		return caddyhttp.Error(http.StatusBadGateway, &net.OpError{Op: "dial", Err: errors.New("refused")})
	}))
	require.NoError(t, res.err)
	assert.Equal(t, []string{"1795421654", "1795421661", "1795421668"}, times)
}

// The keys are the spellings that an application could take for the header.
func TestClientsCannotSetTheHeadersOfASignature(t *testing.T) {
	spoofed := []string{
		"Webhook-Id", "webhook-id", "WEBHOOK_ID", "Webhook_Timestamp", "webhook.signature", "Webhook-Signature", "webhook~timestamp",
	}
	others := []string{"Webhook-Idea", "Webhook-Foo", "X-Webhook-Id", "Webhookid"}
	for _, test := range []struct {
		name             string
		sign, reportOnly bool
		forged           bool
	}{
		{"a verified event", true, false, false},
		{"a forgery that report_only forwards", true, true, true},
		{"a rejected request", true, false, true},
		{"without sign", false, false, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := new(Handler)
			if test.sign {
				h = signing()
			}
			h.ReportOnly = test.reportOnly
			h, _ = provision(t, h)
			r := newRequest(transcript)
			if test.forged {
				r.Header.Del(signature.HeaderName)
			}
			for _, name := range append(spoofed, others...) {
				r.Header[name] = []string{"spoofed"}
			}
			header := r.Header
			res := serve(t, h, r)
			for _, name := range spoofed {
				assert.NotEqual(t, test.sign, header[name] != nil, "%s after the handler", name)
			}
			if res.upstream == nil {
				assert.True(t, test.forged)
				return
			}
			for _, name := range others {
				assert.Equal(t, []string{"spoofed"}, res.upstream[name], name)
			}
			for _, name := range spoofed {
				if test.sign {
					assert.NotContains(t, res.upstream[name], "spoofed", name)
				} else {
					assert.Equal(t, []string{"spoofed"}, res.upstream[name], name)
				}
			}
			if test.sign && !test.forged {
				requireSigned(t, res.upstream, transcript)
			}
			if test.reportOnly {
				assert.Equal(t, "false", res.upstream.Get("X-ElevenLabs-Verified"))
				for name := range res.upstream {
					assert.NotEqual(t, headerSigned, kindOf(name), "%s of a forgery", name)
				}
			}
		})
	}
}

func TestAnErrorRouteGetsNoSignature(t *testing.T) {
	h, _ := provision(t, signing())
	h.proxy = new(needsSignature)
	r := newRequest(transcript)
	header := r.Header
	res := serve(t, h, r)
	require.Error(t, res.err)
	for name := range header {
		assert.NotEqual(t, headerSigned, kindOf(name), name)
	}
}

// needsSignature is a proxy that counts the signed events that it gets, and takes none.
type needsSignature struct{ signed, unsigned int }

func (p *needsSignature) ServeHTTP(_ http.ResponseWriter, r *http.Request, _ caddyhttp.Handler) error {
	if r.Header.Get("webhook-signature") == "" {
		p.unsigned++
	} else {
		p.signed++
	}
	return caddyhttp.Error(http.StatusTeapot, errors.New("not taken"))
}

func TestAnEventFromTheInboxThatCannotBeSignedIsNotDelivered(t *testing.T) {
	h, _ := provision(t, signing())
	proxy := new(needsSignature)
	h.proxy = proxy
	for name, body := range map[string]testBody{"damaged": damaged{}, "changed": other("[]")} {
		outcome := queueFor(h).current().deliverStored(t.Context(), claimOf(body), body)
		assert.Equal(t, inbox.Outcome{Reason: "handler_error"}, outcome, name)
	}
	assert.Equal(t, needsSignature{}, *proxy)
	queueFor(h).current().deliverStored(t.Context(), claimOf(whole("{}")), whole("{}"))
	assert.Equal(t, needsSignature{signed: 1}, *proxy)
}

func TestSigningEndsWithTheAttempt(t *testing.T) {
	_, err := contextReader{t.Context(), strings.NewReader("x")}.Read(make([]byte, 1))
	require.NoError(t, err)
	ctx, cancel := caddy.NewContext(caddy.Context{Context: t.Context()})
	cancel()
	_, err = contextReader{ctx, strings.NewReader("x")}.Read(make([]byte, 1))
	require.ErrorIs(t, err, ctx.Err())
}

func TestWrongKeysAreStartUpErrorsThatDoNotShowThem(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	t.Setenv("GOOD", signKey)
	t.Setenv("PADDED", " "+signKey+"\n")
	const literal = "the secret is written out in the configuration, where others may read it: set it as {env.NAME} or {file./path}"
	for _, test := range []struct {
		name, value, content string
		warning, err         string
	}{
		{"a variable", "{env.GOOD}", "", "", ""},
		{"a variable with blanks", "{env.PADDED}", "", "spaces or line ends around the secret were removed", ""},
		{"a file with a line end", "", signKey + "\n", "", ""},
		{"a literal", signKey, "", literal, ""},
		{"not set", "{env.NOT_SET_ANYWHERE}", "", "", "sign 1: evaluated placeholder {env.NOT_SET_ANYWHERE} is empty"},
		{"a missing file", "{file./nowhere/key}", "", "", "sign 1: the file /nowhere/key does not exist: create it, or correct the path"},
		{"the key for a variable's name", "{env." + signKey + "}", "", "", "sign 1: the secret itself seems to stand in place of a name: write {env.NAME} or {file./path}"},
		{"the documentation's placeholder", "", "whsec_…", "", `sign 1: {file.FILE} has "whsec_…", which stands for a secret in the documentation: put your own there`},
		{"two lines", "", signKey + "\n" + oldSignKey, "", "sign 1: {file.FILE} has more than one line: put nothing but the secret there"},
		{"a webhook's secret", "", "wsec_AQEBAQEBAQEBAQEBAQEBAQEBAQEB", "", "sign 1: the key in {file.FILE} is wrong: it begins with wsec_: it is the secret of a webhook at ElevenLabs, and sign needs a key of your own, whsec_ and base64"},
		{"no prefix", "", "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB", "", "sign 1: the key in {file.FILE} is wrong: it does not begin with whsec_"},
		{"not base64", "", "whsec_AQEBAQEBAQEB-QEBAQEBAQEBAQEBAQEB", "", "sign 1: the key in {file.FILE} is wrong: what follows whsec_ is not base64 with the characters + and / and with its padding"},
		{"too short", "", "whsec_AQEBAQEB", "", "sign 1: the key in {file.FILE} is wrong: it has 6 bytes after base64 is decoded, and must have from 24 to 64"},
		{"a literal that is too short", "whsec_AQEBAQEB", "", literal, "sign 1: the key in the configuration is wrong: it has 6 bytes after base64 is decoded, and must have from 24 to 64"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.content != "" {
				require.NoError(t, os.WriteFile(file, []byte(test.content), 0o600))
				test.value = "{file." + file + "}"
			}
			core, logs := observer.New(zapcore.DebugLevel)
			keys, err := resolveSign([]string{test.value}, zap.New(core))
			said := ""
			for _, entry := range logs.All() {
				said += entry.Message
				context, err := json.Marshal(entry.ContextMap())
				require.NoError(t, err)
				assert.JSONEq(t, `{"sign":1}`, string(context))
			}
			assert.Equal(t, test.warning, said)
			if test.err == "" {
				require.NoError(t, err)
				assert.Equal(t, strings.Repeat("\x01", 24), string(keys[0]))
				return
			}
			require.EqualError(t, err, strings.ReplaceAll(test.err, "FILE", file))
			assert.NotContains(t, err.Error(), "AQEB", "the key")
		})
	}
}

func TestKeysOfSignAreShownNowhere(t *testing.T) {
	h := signing()
	h.Sign = append(h.Sign, oldSignKey)
	h, _ = provision(t, h)
	dump, err := json.Marshal(h)
	require.NoError(t, err)
	status, err := json.Marshal(allStatus())
	require.NoError(t, err)
	assert.Contains(t, string(dump), "{env.TEST_SIGN_KEY}")
	assert.NotContains(t, string(dump), "AQEB")
	assert.Contains(t, string(status), `"sign":["{env.TEST_SIGN_KEY}","{env.TEST_OLD_SIGN_KEY}",""]`)
	assert.NotContains(t, string(status), "AgIC")

	plain, _ := provision(t, &Handler{Secrets: []Secret{{Value: "{env.TEST_SECRET}", Name: "plain"}}})
	assert.NotContains(t, plain.shown(), "sign")
}

func TestSignTakesOneKeyALine(t *testing.T) {
	for line, problem := range map[string]string{
		"sign":           "wrong argument count",
		"sign a b":       "wrong argument count",
		`sign ""`:        "sign: it is empty: set a key of your own, as {env.NAME} or {file./path}",
		"sign a {\nx\n}": "sign takes no block",
	} {
		_, err := adapt(":80 {\nelevenlabs_webhook {\nsecret {env.TEST_SECRET}\n" + line + "\n}\n}\n")
		require.ErrorContains(t, err, problem, line)
	}
	h := &Handler{Secrets: []Secret{{Value: "{env.TEST_SECRET}"}}, Sign: []string{""}}
	option, err := h.check()
	require.EqualError(t, err, "it is empty: set a key of your own, as {env.NAME} or {file./path}")
	assert.Equal(t, "sign", option)
}
