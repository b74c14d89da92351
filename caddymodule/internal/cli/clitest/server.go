package clitest

import (
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/delivery"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/signature"
)

// Server serves over TLS. It returns its URL and the arguments with which to reach
// it, and puts Secret into the environment.
func Server(t *testing.T, handler http.Handler) (target string, trust []string) {
	t.Helper()
	t.Setenv("ELEVENLABS_WEBHOOK_SECRET", Secret)
	s := httptest.NewTLSServer(handler)
	t.Cleanup(s.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	require.NoError(t, os.WriteFile(ca, certificate, 0o600))
	return s.URL + "/webhooks/elevenlabs", []string{"--ca", ca}
}

// Answering answers every request with a status and headers.
func Answering(status int, header ...string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
	})
}

// Protected is a small elevenlabs_webhook whose clock stands.
func Protected(secret string, now time.Time, next http.Handler) http.Handler {
	verifier, err := signature.NewVerifier([][]byte{[]byte(secret)}, 30*time.Minute, 5*time.Minute, func() time.Time { return now })
	if err != nil {
		panic(err)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		if _, set := w.Header()["Date"]; !set {
			w.Header().Set("Date", now.UTC().Format(http.TimeFormat))
		}
		_, err = verifier.Verify(r.Header.Values(signature.HeaderName), body)
		for _, rejected := range []struct {
			err error
			by  *facts.Rejection
		}{
			{signature.ErrMissing, facts.SignatureMissing},
			{signature.ErrMalformed, facts.SignatureMalformed},
			{signature.ErrMismatch, facts.SignatureMismatch},
			{signature.ErrStale, facts.TimestampStale},
			{signature.ErrFuture, facts.TimestampFuture},
		} {
			if errors.Is(err, rejected.err) {
				w.Header().Set(delivery.HeaderRejection, rejected.by.Code)
				w.WriteHeader(rejected.by.Status)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}
