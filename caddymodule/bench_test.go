package caddymodule

import (
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"io"
	"math"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/signature"
)

// discard is a proxy and a ResponseWriter that cost nothing.
type discard struct{ header http.Header }

func (discard) ServeHTTP(w http.ResponseWriter, r *http.Request, _ caddyhttp.Handler) error {
	_, err := io.Copy(io.Discard, r.Body)
	w.WriteHeader(http.StatusOK)
	return err
}

func (d discard) Header() http.Header       { return d.header }
func (discard) Write(p []byte) (int, error) { return len(p), nil }
func (discard) WriteHeader(int)             {}

// BenchmarkHandler measures the handler without server and proxy. It includes the
// preparation of a request.
func BenchmarkHandler(b *testing.B) {
	for _, size := range []int{2 << 10, 128 << 10, 8 << 20} {
		b.Run(strconv.Itoa(size>>10)+"KiB", func(b *testing.B) {
			h, _ := provision(b, &Handler{})
			h.proxy = discard{}
			body := transcript[:len(transcript)-1] + `,"x":"` + strings.Repeat("x", size-len(transcript)) + `"}`
			header := signature.Sign([]byte(testSecret), signedAt, []byte(body))
			template := newRequest("")
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				r := template.Clone(b.Context())
				r.Header.Set(signature.HeaderName, header)
				r.Header.Set("User-Agent", "benchmark")
				r.Body, r.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
				w := discard{http.Header{}}
				r = caddyhttp.PrepareRequest(r, caddy.NewReplacer(), w, nil)
				if err := h.ServeHTTP(w, r, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// zeros is a body that takes no memory.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func TestAllocationsDoNotGrowWithTheBody(t *testing.T) {
	h, _ := provision(t, &Handler{})
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
