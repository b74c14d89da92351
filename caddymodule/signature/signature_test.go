package signature_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/signature"
)

const (
	past   = 30 * time.Minute
	future = 5 * time.Minute
)

var (
	now     = time.Unix(1_795_421_654, 0)
	current = []byte("wsec_current")
	old     = []byte("wsec_old")
	body    = []byte(`{"type":"post_call_transcription"}`)
)

func verifier(t testing.TB, clock time.Time, secrets ...[]byte) *signature.Verifier {
	t.Helper()
	v, err := signature.NewVerifier(secrets, past, future, func() time.Time { return clock })
	require.NoError(t, err)
	return v
}

// macOf computes the MAC of a literal message without the code under test.
func macOf(secret []byte, message string) string {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(message))
	return hex.EncodeToString(mac.Sum(nil))
}

func TestSignWritesTheDocumentedForm(t *testing.T) {
	header := signature.Sign(current, now, body)
	assert.Equal(t, "t=1795421654,v0="+macOf(current, "1795421654."+string(body)), header)
}

func TestSignReaderSignsABodyItReadsInPieces(t *testing.T) {
	header, err := signature.SignReader(current, now, iotest.OneByteReader(bytes.NewReader(body)))
	require.NoError(t, err)
	assert.Equal(t, signature.Sign(current, now, body), header)

	_, err = signature.SignReader(current, now, iotest.ErrReader(io.ErrUnexpectedEOF))
	assert.ErrorIs(t, err, io.ErrUnexpectedEOF)
}

func TestVerifyFindsTheSecretThatSigned(t *testing.T) {
	t1 := "1795421654"
	good := macOf(current, t1+"."+string(body))
	goodOld := macOf(old, t1+"."+string(body))
	bad := strings.Repeat("ab", 32)

	tests := []struct {
		name   string
		header string
		secret int
		err    error
	}{
		{"first secret", "t=" + t1 + ",v0=" + good, 0, nil},
		{"second secret", "t=" + t1 + ",v0=" + goodOld, 1, nil},
		{"v0 before t", "v0=" + good + ",t=" + t1, 0, nil},
		{"blank after comma", "t=" + t1 + ", v0=" + good, 0, nil},
		{"tabs after comma", "t=" + t1 + ",\t\tv0=" + good, 0, nil},
		{"upper-case hex", "t=" + t1 + ",v0=" + strings.ToUpper(good), 0, nil},
		{"good v0 first", "t=" + t1 + ",v0=" + good + ",v0=" + bad, 0, nil},
		{"good v0 last", "t=" + t1 + ",v0=" + bad + ",v0=" + good, 0, nil},
		{"a v0 of each secret: the first secret counts", "t=" + t1 + ",v0=" + goodOld + ",v0=" + good, 0, nil},
		{"unknown scheme", "t=" + t1 + ",v1=zzz,v0=" + good, 0, nil},
		{"trailing comma", "t=" + t1 + ",v0=" + good + ",", 0, nil},
		{"wrong MAC", "t=" + t1 + ",v0=" + bad, 0, signature.ErrMismatch},
		{"t is not the one that was signed", "t=1795421655,v0=" + good, 0, signature.ErrMismatch},
		{"leading zero not signed", "t=01795421654,v0=" + good, 0, signature.ErrMismatch},
		{"leading zero as signed", "t=01795421654,v0=" + macOf(current, "01795421654."+string(body)), 0, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			match, err := verifier(t, now, current, old).Verify([]string{test.header}, body)
			require.ErrorIs(t, err, test.err)
			assert.Equal(t, test.secret, match.Secret)
		})
	}
}

func TestTimeWindowHasInclusiveBoundsOnBothSides(t *testing.T) {
	tests := []struct {
		name  string
		clock time.Time
		err   error
	}{
		{"now", now, nil},
		{"just not stale", now.Add(past), nil},
		{"just stale", now.Add(past + time.Millisecond), signature.ErrStale},
		{"just not future", now.Add(-future), nil},
		{"just future", now.Add(-future - time.Millisecond), signature.ErrFuture},
		{"a year late", now.AddDate(1, 0, 0), signature.ErrStale},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			match, err := verifier(t, test.clock, current).Verify([]string{signature.Sign(current, now, body)}, body)
			require.ErrorIs(t, err, test.err)
			assert.Equal(t, test.clock.Sub(now), match.Age)
		})
	}
}

// A time.Duration holds at most 292 years. A longer age must not wrap into the
// window.
func TestTimestampsBeyondTheRangeOfADurationAreRejected(t *testing.T) {
	tests := []struct {
		name   string
		digits string
		want   error
	}{
		{"1970", "0", signature.ErrStale},
		{"1970, in 12 digits", "000000000000", signature.ErrStale},
		{"the largest", "999999999999", signature.ErrFuture},
		{"292 years ahead, the last that fits", "11018793690", signature.ErrFuture},
		{"a second more", "11018793691", signature.ErrFuture},
		{"milliseconds, which have 13 digits", "1795421654000", signature.ErrMalformed},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			header := "t=" + test.digits + ",v0=" + macOf(current, test.digits+"."+string(body))
			_, err := verifier(t, now, current).Verify([]string{header}, body)
			require.ErrorIs(t, err, test.want)
		})
	}
}

func TestAgeIsMeasuredWhenTheHeaderArrives(t *testing.T) {
	clock := now.Add(past)
	v, err := signature.NewVerifier([][]byte{current}, past, future, func() time.Time { return clock })
	require.NoError(t, err)
	h, err := signature.Parse([]string{signature.Sign(current, now, body)})
	require.NoError(t, err)

	check := v.Begin(h)
	clock = clock.Add(time.Hour) // the body arrives slowly
	_, _ = check.Write(body)
	_, err = check.Result()
	require.NoError(t, err)
}

func TestForgeryIsAMismatchAtAnyAge(t *testing.T) {
	for _, clock := range []time.Time{now, now.AddDate(10, 0, 0), now.AddDate(-10, 0, 0)} {
		_, err := verifier(t, clock, current).Verify([]string{signature.Sign(old, now, body)}, body)
		require.ErrorIs(t, err, signature.ErrMismatch)
	}
}

// With a "t" that may have a dot, the MAC of "T" and "5.{…}" would also be that of
// "T.5" and "{…}".
func TestOneSignatureDoesNotFitTwoBodies(t *testing.T) {
	mac := macOf(current, "1795421654.5.{}")
	v := verifier(t, now, current)

	_, err := v.Verify([]string{"t=1795421654,v0=" + mac}, []byte("5.{}"))
	require.NoError(t, err)
	_, err = v.Verify([]string{"t=1795421654.5,v0=" + mac}, []byte("{}"))
	require.ErrorIs(t, err, signature.ErrMalformed)
}

func TestParseRejectsOtherForms(t *testing.T) {
	mac := strings.Repeat("0f", 32)
	tests := []struct {
		name   string
		values []string
		want   error
	}{
		{"no header", nil, signature.ErrMissing},
		{"empty header", []string{""}, signature.ErrMissing},
		{"blank header", []string{" \t"}, signature.ErrMissing},
		{"two headers", []string{"t=1,v0=" + mac, "t=1,v0=" + mac}, signature.ErrMalformed},
		{"two headers, the second empty", []string{"t=1,v0=" + mac, ""}, signature.ErrMalformed},
		{"two headers joined by a proxy", []string{"t=1,v0=" + mac + ",t=1,v0=" + mac}, signature.ErrMalformed},
		{"over 4 KiB", []string{"t=1,v0=" + mac + ",x=" + strings.Repeat("x", 4096)}, signature.ErrMalformed},
		{"no t", []string{"v0=" + mac}, signature.ErrMalformed},
		{"no v0", []string{"t=1"}, signature.ErrMalformed},
		{"v1 only", []string{"t=1,v1=" + mac}, signature.ErrMalformed},
		{"upper-case schemes", []string{"T=1,V0=" + mac}, signature.ErrMalformed},
		{"semicolons", []string{"t=1;v0=" + mac}, signature.ErrMalformed},
		{"an element without =", []string{"t=1,v0=" + mac + ",oops"}, signature.ErrMalformed},
		{"t empty", []string{"t=,v0=" + mac}, signature.ErrMalformed},
		{"t empty, then again", []string{"t=,t=1,v0=" + mac}, signature.ErrMalformed},
		{"t blank", []string{"t= ,v0=" + mac}, signature.ErrMalformed},
		{"t padded", []string{"t= 1,v0=" + mac}, signature.ErrMalformed},
		{"blank before comma", []string{"t=1 ,v0=" + mac}, signature.ErrMalformed},
		{"t a word", []string{"t=abc,v0=" + mac}, signature.ErrMalformed},
		{"t NaN", []string{"t=NaN,v0=" + mac}, signature.ErrMalformed},
		{"t signed", []string{"t=+1,v0=" + mac}, signature.ErrMalformed},
		{"t negative", []string{"t=-1,v0=" + mac}, signature.ErrMalformed},
		{"t fractional", []string{"t=1.5,v0=" + mac}, signature.ErrMalformed},
		{"t exponent", []string{"t=1e9,v0=" + mac}, signature.ErrMalformed},
		{"t hexadecimal", []string{"t=0x1f,v0=" + mac}, signature.ErrMalformed},
		{"t underscored", []string{"t=1_0,v0=" + mac}, signature.ErrMalformed},
		{"t in Arabic-Indic digits", []string{"t=١٢٣,v0=" + mac}, signature.ErrMalformed},
		{"t of 13 digits", []string{"t=1234567890123,v0=" + mac}, signature.ErrMalformed},
		{"t of 5000 digits", []string{"t=" + strings.Repeat("1", 5000) + ",v0=" + mac}, signature.ErrMalformed},
		{"v0 empty", []string{"t=1,v0="}, signature.ErrMalformed},
		{"v0 of 63 digits", []string{"t=1,v0=" + mac[1:]}, signature.ErrMalformed},
		{"v0 of 65 digits", []string{"t=1,v0=" + mac + "0"}, signature.ErrMalformed},
		{"v0 not hex", []string{"t=1,v0=" + strings.Repeat("zz", 32)}, signature.ErrMalformed},
		{"v0 quoted", []string{`t=1,v0="` + mac + `"`}, signature.ErrMalformed},
		{"one good v0, one malformed", []string{"t=1,v0=" + mac + ",v0=12"}, signature.ErrMalformed},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := signature.Parse(test.values)
			require.ErrorIs(t, err, test.want)
			assert.NotContains(t, err.Error(), mac)
		})
	}
}

func TestParseKeepsTheTimestampAsSent(t *testing.T) {
	h, err := signature.Parse([]string{"t=0042,v0=" + strings.Repeat("0f", 32)})
	require.NoError(t, err)
	assert.Equal(t, "0042", h.Timestamp())
	assert.Equal(t, time.Unix(42, 0), h.SignedAt())
	assert.True(t, signature.Header{}.SignedAt().IsZero())
}

func TestZeroHeaderMatchesNoBody(t *testing.T) {
	_, err := verifier(t, now, current).Begin(signature.Header{}).Result()
	require.ErrorIs(t, err, signature.ErrMismatch)
}

func TestNewVerifierRejectsEmptySecrets(t *testing.T) {
	tests := []struct {
		name    string
		secrets [][]byte
	}{
		{"none", nil},
		{"one, empty", [][]byte{{}}},
		{"two, one of them empty", [][]byte{current, nil}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := signature.NewVerifier(test.secrets, past, future, nil)
			require.ErrorIs(t, err, signature.ErrNoSecret)
		})
	}
}

func TestWriteTakesPiecesOfAnySize(t *testing.T) {
	v := verifier(t, now, current, old)
	h, err := signature.Parse([]string{signature.Sign(old, now, body)})
	require.NoError(t, err)
	for size := 1; size <= len(body); size++ {
		check := v.Begin(h)
		for piece := range slices.Chunk(body, size) {
			_, _ = check.Write(piece)
		}
		match, err := check.Result()
		require.NoError(t, err)
		assert.Equal(t, 1, match.Secret)
	}
}

// Checks share MACs through a pool. Bytes of a discarded check must not reach the
// next one.
func TestDiscardedCheckDoesNotAffectTheNext(t *testing.T) {
	v := verifier(t, now, current)
	h, err := signature.Parse([]string{signature.Sign(current, now, body)})
	require.NoError(t, err)

	check := v.Begin(h)
	_, _ = check.Write([]byte("something else"))
	check.Discard()
	check.Discard()

	_, err = v.Verify([]string{signature.Sign(current, now, body)}, body)
	require.NoError(t, err)
}

func FuzzVerify(f *testing.F) {
	f.Add("t=1795421654,v0="+macOf(current, "1795421654."), []byte{})
	f.Add("t=1795421654, v0="+macOf(current, "1795421654.{}")+",v1=x", []byte("{}"))
	f.Add("v0="+strings.Repeat("AB", 32)+",t=000000000001", []byte("5.{}"))
	f.Add("t=1.5,v0=", []byte("{}"))
	v := verifier(f, now, current)
	f.Fuzz(func(t *testing.T, header string, body []byte) {
		_, err := v.Verify([]string{header}, body)
		if err != nil {
			return
		}
		// The header was accepted, so it must hold the MAC of its own digits.
		h, err := signature.Parse([]string{header})
		require.NoError(t, err)
		require.Regexp(t, `^[0-9]{1,12}$`, h.Timestamp())
		require.Contains(t, strings.ToLower(header), "v0="+macOf(current, h.Timestamp()+"."+string(body)))
	})
}

func BenchmarkVerify(b *testing.B) {
	for _, size := range []int{2 << 10, 128 << 10, 8 << 20} {
		payload := bytes.Repeat([]byte{'x'}, size)
		b.Run("verifier/"+byteSize(size), func(b *testing.B) {
			v := verifier(b, now, current)
			values := []string{signature.Sign(current, now, payload)}
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := v.Verify(values, payload); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("crypto-hmac/"+byteSize(size), func(b *testing.B) {
			b.SetBytes(int64(size))
			b.ReportAllocs()
			mac := hmac.New(sha256.New, current) // keyed once, like a Verifier
			signed := append([]byte("1790000000."), payload...)
			for b.Loop() {
				mac.Reset()
				mac.Write(signed)
				mac.Sum(nil)
			}
		})
	}
}

func byteSize(n int) string { return strconv.Itoa(n>>10) + "KiB" }
