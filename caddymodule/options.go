package caddymodule

import (
	"errors"
	"fmt"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/spool"
)

const (
	defaultPast         = 30 * time.Minute // that of the official SDKs
	defaultFuture       = 5 * time.Minute
	defaultMaxSize      = 100 << 20
	defaultMemoryBuffer = 1 << 20
	defaultSpoolLimit   = 1 << 30
	defaultReadTimeout  = time.Minute
	defaultRetries      = 3
	defaultPause        = 100 * time.Millisecond

	pauseFactor = 4  // each pause is so many times the last,
	maxRetries  = 10 // by which the last of so many, from 100ms, is 7 hours
)

var errNoSecret = errors.New("at least one is required: the webhook's signing secret, as {env.NAME} or {file./path}")

func (h *Handler) setDefaults() {
	setDefault(&h.Tolerance.Past, caddy.Duration(defaultPast))
	setDefault(&h.Tolerance.Future, caddy.Duration(defaultFuture))
	setDefault(&h.MaxSize, defaultMaxSize)
	setDefault(&h.MemoryBuffer, min(defaultMemoryBuffer, h.MaxSize))
	setDefault(&h.SpoolLimit, defaultSpoolLimit)
	setDefault(&h.ReadTimeout, caddy.Duration(defaultReadTimeout))
	setDefault(&h.Retries.Pause, caddy.Duration(defaultPause))
	if h.Retries.Count == nil {
		h.Retries.Count = new(defaultRetries)
	}
}

func setDefault[T comparable](option *T, value T) {
	var zero T
	if *option == zero {
		*option = value
	}
}

// check finds the first option, by its name in the Caddyfile, that cannot be
// meant. Zero stands for the default.
func (h *Handler) check() (option string, err error) {
	if len(h.Secrets) == 0 {
		return "secret", errNoSecret
	}
	for _, secret := range h.Secrets {
		if err := secret.check(); err != nil {
			return "secret", err
		}
	}
	for _, number := range []struct {
		option string
		value  int64
	}{
		{"tolerance", int64(h.Tolerance.Past)},
		{"tolerance", int64(h.Tolerance.Future)},
		{"max_size", h.MaxSize},
		{"memory_buffer", h.MemoryBuffer},
		{"spool_limit", h.SpoolLimit},
		{"read_timeout", int64(h.ReadTimeout)},
		{"retries", int64(h.Retries.Pause)},
	} {
		if number.value < 0 {
			return number.option, errNotPositive
		}
	}
	maxSize := h.MaxSize
	setDefault(&maxSize, defaultMaxSize)
	if h.MemoryBuffer > maxSize {
		return "memory_buffer", fmt.Errorf("%d bytes is more than max_size, %d bytes", h.MemoryBuffer, maxSize)
	}
	if count := h.Retries.Count; count != nil && (*count < 0 || *count > maxRetries) {
		return "retries", fmt.Errorf("the count must be from 0 to %d", maxRetries)
	}
	if _, err := parseSources(h.SourceIPs); err != nil {
		return "source_ips", err
	}
	if err := spool.CheckDir(h.SpoolDir); err != nil {
		return "spool_dir", fmt.Errorf("a temporary file cannot be made: %w", err)
	}
	return "", nil
}

var errNotPositive = errors.New("must be greater than zero")
