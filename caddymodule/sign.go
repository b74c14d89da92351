package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/standardwebhooks"
)

// sign signs a verified event for its backend, at the time of an attempt. It reads the
// whole body, since the signature begins with the time. What report_only forwards without
// proof is not signed.
func (h *Handler) sign(r *http.Request, e *event, body eventBody, to backend) error {
	if len(to.signKeys) == 0 || !e.Verified {
		return nil
	}
	now := time.Now()
	if h.now != nil {
		now = h.now()
	}
	reader := body.NewReader()
	defer reader.Close()
	signature, err := standardwebhooks.Sign(to.signKeys, e.EventID, now, contextReader{r.Context(), reader})
	if err != nil {
		return caddyhttp.Error(http.StatusInternalServerError, fmt.Errorf("signing the event for the backend: %w", err))
	}
	r.Header[standardwebhooks.HeaderID] = []string{e.EventID}
	r.Header[standardwebhooks.HeaderTimestamp] = []string{standardwebhooks.Timestamp(now)}
	r.Header[standardwebhooks.HeaderSignature] = []string{signature}
	return nil
}

// contextReader fails when the context has ended: a large body of a slow database must
// not hold up the end of an attempt.
type contextReader struct {
	context.Context
	io.Reader
}

// Read implements io.Reader.
func (r contextReader) Read(p []byte) (int, error) {
	if err := r.Err(); err != nil {
		return 0, err
	}
	return r.Reader.Read(p)
}

// resolveSign returns the keys of sign. It never puts a key into an error, a log or an
// exported field.
func resolveSign(secrets []string, logger *zap.Logger) ([][]byte, error) {
	keys := make([][]byte, len(secrets))
	for i, text := range secrets {
		secret, err := resolveTrimmed(text, logger.With(zap.Int("sign", i+1)))
		if err != nil {
			return nil, fmt.Errorf("sign %d: %w", i+1, err)
		}
		if keys[i], err = standardwebhooks.ParseKey(secret); err != nil {
			return nil, fmt.Errorf("sign %d: the key in %s is wrong: %w", i+1, sourceOf(text), err)
		}
	}
	return keys, nil
}

func checkSign(secrets []string) error {
	if slices.Contains(secrets, "") {
		return errors.New("it is empty: set a key of your own, as {env.NAME} or {file./path}")
	}
	return nil
}

// shownSign returns the keys of sign, each only if it is a placeholder and nothing else.
func shownSign(secrets []string) []string {
	shown := slices.Clone(secrets) // nil if there are none
	for i, text := range shown {
		if _, ok := placeholderKey(text); !ok {
			shown[i] = ""
		}
	}
	return shown
}
