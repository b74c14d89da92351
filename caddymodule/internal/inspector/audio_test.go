package inspector

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/inbox"
)

func noise(n int) []byte {
	text := make([]byte, n)
	random := rand.NewChaCha8([32]byte{1})
	_, _ = random.Read(text)
	return text
}

func TestAudioIsDecodedWhereAPlayerAsks(t *testing.T) {
	for _, size := range []int{1, 2, 3, 45, 3 << 18, 3<<18 + 1, 2<<20 + 2} {
		want := noise(size)
		body := strings.NewReader(`{"type": "post_call_audio", "data": {"agent_id": "a", "x": {"full_audio": "no"}, "full_audio" : "` +
			base64.StdEncoding.EncodeToString(want) + `", "after": "\"x"}}`)
		a, err := locateAudio(body)
		require.NoError(t, err)
		r := &audioReader{body: body, audio: a}
		all, err := io.ReadAll(r)
		require.NoError(t, err)
		require.True(t, bytes.Equal(want, all), size)

		end, err := r.Seek(0, io.SeekEnd)
		require.NoError(t, err)
		assert.EqualValues(t, size, end)
		for range 50 {
			at := rand.IntN(size)
			_, err := r.Seek(int64(at), io.SeekStart)
			require.NoError(t, err)
			rest := make([]byte, min(1000, size-at))
			_, err = io.ReadFull(r, rest)
			require.NoError(t, err)
			require.True(t, bytes.Equal(want[at:at+len(rest)], rest), "%d of %d", at, size)
		}
		_, err = r.Seek(int64(size), io.SeekStart)
		require.NoError(t, err)
		_, err = r.Read(make([]byte, 1))
		assert.ErrorIs(t, err, io.EOF)
	}
}

func TestEventsWithoutAudioHaveNoPlayer(t *testing.T) {
	for body, want := range map[string]int{
		`{"data":{"full_audio":null}}`:                            http.StatusNotFound,
		`{"data":{"full_audio":{"x":"AAAA"}}}`:                    http.StatusNotFound,
		`{"full_audio":"AAAA"}`:                                   http.StatusNotFound,
		`{"data":{"x":"\"full_audio\":\"AAAA\""}}`:                http.StatusNotFound,
		`{"data":[{"full_audio":"AAAA"}]}`:                        http.StatusNotFound,
		`{"data":{"full_audio":"AAAA`:                             http.StatusNotFound,
		`{"data":{"full_audio":"AA\/A"}}`:                         http.StatusUnprocessableEntity,
		`{"data":{"x":"` + strings.Repeat("x", maxBefore) + `"}}`: http.StatusNotFound,
		``:     http.StatusNotFound,
		`text`: http.StatusNotFound,
	} {
		_, err := locateAudio(strings.NewReader(body))
		known, ok := errors.AsType[statusError](err)
		if assert.True(t, ok, body) {
			assert.Equal(t, want, known.HTTPStatus(), body)
		}
	}
}

func TestAPlayerGetsRanges(t *testing.T) {
	want := noise(3000)
	copy(want, "RIFF")
	s := new(source)
	s.add(7, inbox.Delivered, `{"data":{"full_audio":"`+base64.StdEncoding.EncodeToString(want)+`"}}`)
	s.add(8, inbox.Delivered, `{"data":{"full_audio":"?not base64?"}}`)
	p := New(s, false)
	for _, test := range []struct {
		ranges string
		status int
		want   []byte
	}{
		{"", http.StatusOK, want},
		{"bytes=0-0", http.StatusPartialContent, want[:1]},
		{"bytes=1001-2000", http.StatusPartialContent, want[1001:2001]},
		{"bytes=-10", http.StatusPartialContent, want[2990:]},
		{"bytes=3000-", http.StatusRequestedRangeNotSatisfiable, nil},
	} {
		w := serve(t, p, "/events/7/audio?inbox=default", "", func(r *http.Request) { r.Header.Set("Range", test.ranges) })
		assert.Equal(t, test.status, w.Code, test.ranges)
		if test.want != nil {
			assert.Equal(t, "audio/wav", w.Header().Get("Content-Type"))
			assert.True(t, bytes.Equal(test.want, w.Body.Bytes()), test.ranges)
		}
	}
	assert.Equal(t, http.StatusUnprocessableEntity, serve(t, p, "/events/8/audio", "").Code)
}

// counting counts how much of a body is read.
type counting struct {
	Body
	read int
}

func (c *counting) ReadAt(p []byte, offset int64) (int, error) {
	c.read += len(p)
	return c.Body.ReadAt(p, offset)
}

func TestARangeReadsLittleOfALargeBody(t *testing.T) {
	const size = 32 << 20
	body := &counting{Body: strings.NewReader(`{"data":{"full_audio":"` + strings.Repeat("AAAA", size/4) + `"}}`)}
	var cache audioCache
	a, err := cache.locate("id", body)
	require.NoError(t, err)
	assert.EqualValues(t, size, a.length)
	body.read = 0
	_, err = cache.locate("id", body)
	require.NoError(t, err)
	r := &audioReader{body: body, audio: a}
	_, err = r.Seek(20<<20, io.SeekStart)
	require.NoError(t, err)
	_, err = io.ReadFull(r, make([]byte, 64<<10))
	require.NoError(t, err)
	assert.LessOrEqual(t, body.read, 2*readSize)
}
