//go:build !race

package caddymodule

import (
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"io"
	"math"
	"net/http"
	"runtime"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/signature"
)

// The race detector takes blocks out of the pools at random, so this runs without it.
func TestAllocationsDoNotGrowWithTheBody(t *testing.T) {
	h, _ := provision(t, signing())
	h.proxy = discard{}
	allocated := func(size int64, tries int) int64 {
		mac := hmac.New(sha256.New, []byte(testSecret))
		fmt.Fprintf(mac, "%d.", signedAt.Unix())
		_, err := io.CopyN(mac, zeros{}, size)
		require.NoError(t, err)
		header := fmt.Sprintf("t=%d,v0=%x", signedAt.Unix(), mac.Sum(nil))
		least := int64(math.MaxInt64) // the garbage collector and the race detector take blocks out of the pools
		for range tries {
			r := newRequest("")
			r.Header.Set(signature.HeaderName, header)
			r.Body, r.ContentLength = io.NopCloser(io.LimitReader(zeros{}, size)), -1
			w := discard{http.Header{}}
			r = caddyhttp.PrepareRequest(r, caddy.NewReplacer(), w, nil)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			require.NoError(t, h.ServeHTTP(w, r, nil))
			runtime.ReadMemStats(&after)
			least = min(least, int64(after.TotalAlloc-before.TotalAlloc)) //nolint:gosec // far from the limit
		}
		return least
	}
	const block = 64 << 10
	assert.Less(t, allocated(1<<20, 20), allocated(2<<10, 20)+4*block, "in memory")
	assert.Less(t, allocated(8<<20, 20), allocated(2<<20, 20)+4*block, "on disk")
}
