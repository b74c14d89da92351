package caddymodule

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

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
