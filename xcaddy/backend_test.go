package main

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// delivery is a request as the backend got it.
type delivery struct {
	method   string
	path     string
	header   http.Header
	length   int64
	encoding []string
	trailer  http.Header
	digest   string
}

// backend records the requests that reach it.
type backend struct {
	*httptest.Server
	mu         sync.Mutex
	deliveries []delivery
	status     int
}

func newBackend(t testing.TB) *backend {
	b := &backend{status: http.StatusOK}
	b.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		digest := sha256.New()
		_, err := io.Copy(digest, r.Body)
		if !assert.NoError(t, err, "the backend did not get a whole body") {
			return
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		b.deliveries = append(b.deliveries, delivery{r.Method, r.URL.Path, r.Header, r.ContentLength, r.TransferEncoding, r.Trailer, hex.EncodeToString(digest.Sum(nil))})
		w.WriteHeader(b.status)
	}))
	t.Cleanup(b.Close)
	return b
}

func (b *backend) address() string { return b.Listener.Addr().String() }

// take returns the requests that have come since the last call.
func (b *backend) take() []delivery {
	b.mu.Lock()
	defer b.mu.Unlock()
	taken := b.deliveries
	b.deliveries = nil
	return taken
}

// comeUp lets the backend listen at another address, where nothing was, after a
// while.
func (b *backend) comeUp(t testing.TB, address string, after time.Duration) {
	up := time.AfterFunc(after, func() {
		listener, err := net.Listen("tcp", address)
		if assert.NoError(t, err) {
			b.serveAt(t, listener)
		}
	})
	t.Cleanup(func() { up.Stop() })
}

// serveAt lets the backend serve at another address too.
func (b *backend) serveAt(t testing.TB, listener net.Listener) {
	go func() { _ = http.Serve(listener, b.Config.Handler) }()
	t.Cleanup(func() { listener.Close() })
}
