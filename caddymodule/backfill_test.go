package caddymodule

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/stretchr/testify/assert"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/backfill"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/signature"
)

// backfillOf is the mark that the command makes of a body, with a secret.
func backfillOf(secret string, at time.Time, body string) string {
	id := sha256.Sum256([]byte(body))
	return backfill.Mark(backfill.Key([]byte(secret)), strconv.FormatInt(at.Unix(), 10), hex.EncodeToString(id[:]))
}

func TestTheMarkOfABackfillReachesTheBackendHoweverManyHandlersDeleteIt(t *testing.T) {
	outer, _ := provision(t, &Handler{})
	inner, _ := provision(t, &Handler{Secrets: []Secret{{Value: "wsec_unused_here"}, {Value: "{env.TEST_SECRET}"}}})
	var sent http.Header
	backend := caddyhttp.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		sent = r.Header.Clone()
		w.WriteHeader(http.StatusOK)
		return nil
	})
	for name, handler := range map[string]caddyhttp.Handler{
		"one handler":            through(outer, backend),
		"the second secret":      through(inner, backend),
		"two handlers":           through(outer, through(inner, backend)),
		"elevenlabs_strip":       through(Strip{}, through(outer, backend)),
		"elevenlabs_strip twice": through(Strip{}, through(Strip{}, through(outer, backend))),
	} {
		for mark, want := range map[string]string{backfillOf(testSecret, signedAt, transcript): "true", "": ""} {
			r := newRequest(transcript)
			if mark != "" {
				r.Header.Set(facts.HeaderBackfill, mark)
			}
			w := httptest.NewRecorder()
			assert.NoError(t, handler.ServeHTTP(w, caddyhttp.PrepareRequest(r, caddy.NewReplacer(), w, nil)), name)
			assert.Equal(t, want, sent.Get(facts.HeaderBackfill), name)
			assert.Equal(t, "true", sent.Get("X-ElevenLabs-Verified"), name)
			assert.Equal(t, want, w.Header().Get(facts.HeaderBackfill), "%s: the command learns whether its mark was believed", name)
			last := lastDelivery(t)
			assert.Equal(t, want == "true", last.Backfill, name)
			assert.Equal(t, want == "", last.Counts, "%s: ElevenLabs knows nothing of a backfill", name)
		}
	}
}

// Otherwise the command would take the handler for one without an inbox, and stop.
func TestTheCommandLearnsThatNobodyTakesABackfill(t *testing.T) {
	h, _ := provision(t, &Handler{Events: []string{"post_call_audio"}})
	for mark, want := range map[string]string{backfillOf(testSecret, signedAt, transcript): "ignored", "true": "", "": ""} {
		r := newRequest(transcript)
		r.Header.Set(facts.HeaderBackfill, mark)
		got := serve(t, h, r)
		assert.Equal(t, http.StatusOK, got.Code)
		assert.Equal(t, want, got.Header().Get(facts.HeaderBackfill))
	}
}

// The one who attacks has genuine requests, also marked ones, and not the secret.
func TestAMarkOfABackfillThatNobodyMadeWithTheSecretIsNotBelieved(t *testing.T) {
	const other = `{"type":"post_call_transcription","data":{"conversation_id":"conv_other"}}`
	raw := func(key, message string) string {
		mac := hmac.New(sha256.New, []byte(key))
		_, _ = io.WriteString(mac, message)
		return hex.EncodeToString(mac.Sum(nil))
	}
	id := sha256.Sum256([]byte(transcript))
	genuine := backfillOf(testSecret, signedAt, transcript)
	header, err := signature.Parse([]string{signature.Sign([]byte(testSecret), signedAt, []byte(transcript))})
	assert.NoError(t, err)
	seconds := header.Timestamp()
	v0 := raw(testSecret, seconds+"."+transcript)
	set := func(value string) func(*http.Request) {
		return func(r *http.Request) { r.Header[headerBackfill] = []string{value} }
	}
	for name, attack := range map[string]func(*http.Request){
		"what the backend gets":           set("true"),
		"the mark of a test":              set(facts.TestMark("v1.2.3")),
		"an empty one":                    set(""),
		"that of another body":            set(backfillOf(testSecret, signedAt, other)),
		"that of another time":            set(backfillOf(testSecret, signedAt.Add(time.Second), transcript)),
		"with a leading zero in the time": set(backfill.Mark(backfill.Key([]byte(testSecret)), "0"+seconds, hex.EncodeToString(id[:]))),
		"with another secret":             set(backfillOf("wsec_other", signedAt, transcript)),
		"with an empty secret":            set(backfillOf("", signedAt, transcript)),
		"with the signature as its key":   set(backfill.Mark([]byte(v0), seconds, hex.EncodeToString(id[:]))),
		"the signature itself":            set(v0),
		"a signature of the event id":     set(raw(testSecret, seconds+"."+hex.EncodeToString(id[:]))),
		"cut off":                         set(genuine[:63]),
		"with a digit more":               set(genuine + "0"),
		"twice": func(r *http.Request) {
			r.Header[headerBackfill] = []string{genuine, genuine}
		},
		"behind another one":   func(r *http.Request) { r.Header[headerBackfill] = []string{"true", genuine} },
		"in one line with it":  set(genuine + ", " + genuine),
		"in another spelling":  func(r *http.Request) { r.Header["X_ElevenLabs_Backfill"] = []string{genuine} },
		"as a name with a dot": func(r *http.Request) { r.Header["X.elevenlabs.backfill"] = []string{genuine} },
		"in a trailer": func(r *http.Request) {
			r.Trailer = http.Header{headerBackfill: {genuine}}
			r.Header.Set("Trailer", facts.HeaderBackfill)
		},
		"in the name of a test": func(r *http.Request) { r.Header.Set(facts.HeaderTest, genuine) },
	} {
		t.Run(name, func(t *testing.T) {
			for mode, h := range map[string]*Handler{"": {}, "report_only": {ReportOnly: true}} {
				h, _ := provision(t, h)
				r := newRequest(transcript)
				attack(r)
				got := serve(t, h, r)
				assert.Equal(t, "true", got.upstream.Get("X-ElevenLabs-Verified"), "%s: the event is genuine", mode)
				for name := range got.upstream {
					assert.NotContains(t, name, "ackfill", mode)
				}
				assert.Empty(t, got.Header().Values(facts.HeaderBackfill), mode)
				assert.False(t, lastDelivery(t).Backfill, mode)
				assert.True(t, lastDelivery(t).Counts, "%s: nobody hides a genuine event by a mark", mode)
			}
		})
	}
}

func TestTheMarkOfABackfillProvesNothingOfARequestThatIsNotVerified(t *testing.T) {
	for name, spoil := range map[string]func(*http.Request){
		"without a signature":      func(r *http.Request) { r.Header.Del(signature.HeaderName) },
		"with another's signature": func(r *http.Request) { sign(r, "wsec_other", signedAt, transcript) },
		"too old": func(r *http.Request) {
			sign(r, testSecret, signedAt.Add(-time.Hour), transcript)
			r.Header.Set(facts.HeaderBackfill, backfillOf(testSecret, signedAt.Add(-time.Hour), transcript))
		},
	} {
		t.Run(name, func(t *testing.T) {
			h, _ := provision(t, &Handler{ReportOnly: true})
			r := newRequest(transcript)
			r.Header.Set(facts.HeaderBackfill, backfillOf(testSecret, signedAt, transcript))
			spoil(r)
			got := serve(t, h, r)
			assert.Equal(t, "false", got.upstream.Get("X-ElevenLabs-Verified"))
			assert.Empty(t, got.upstream.Values(facts.HeaderBackfill))
			assert.Empty(t, got.Header().Values(facts.HeaderBackfill))

			strict, _ := provision(t, &Handler{})
			r = newRequest(transcript)
			r.Header.Set(facts.HeaderBackfill, backfillOf(testSecret, signedAt, transcript))
			spoil(r)
			got = serve(t, strict, r)
			assert.Nil(t, got.upstream)
			assert.Empty(t, got.Header().Values(facts.HeaderBackfill))
			assert.Empty(t, r.Header.Values(facts.HeaderBackfill), "an error route gets no mark")
		})
	}
}
