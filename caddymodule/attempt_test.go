package caddymodule

import (
	"context"
	"net/http"
	"net/http/httptrace"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// connect tells a request's context of a connection, as the HTTP transport does.
func connect(r *http.Request, times int) {
	for range times {
		httptrace.ContextClientTrace(r.Context()).GotConn(httptrace.GotConnInfo{})
	}
}

func TestAnAttemptWithoutABodyEndsWhenItsConnectionsAreSpent(t *testing.T) {
	h, logs := provision(t, &Handler{Retries: Retries{Count: new(0)}})
	response := serveWith(t, h, newRequest(""), caddyhttp.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) error {
		connect(r, maxRewinds+1)
		assert.NoError(t, r.Context().Err())
		connect(r, 1)
		assert.ErrorIs(t, r.Context().Err(), context.DeadlineExceeded)
		return caddyhttp.Error(http.StatusGatewayTimeout, r.Context().Err())
	}))
	require.ErrorIs(t, response.err, errEnded)
	assert.Equal(t, http.StatusBadGateway, response.err.(caddyhttp.HandlerError).StatusCode) //nolint:errorlint // it is one
	failed := logs.FilterMessage("event not delivered").All()
	require.Len(t, failed, 1)
	assert.EqualValues(t, maxRewinds+1, failed[0].ContextMap()["attempts"])
}

// A context that ends must have an error: the standard library panics otherwise, in a
// goroutine of its own.
func TestContextsOfAnAttemptWithoutABodyEndWithIt(t *testing.T) {
	h, _ := provision(t, &Handler{})
	children := make(chan context.Context, 2)
	serveWith(t, h, newRequest(""), caddyhttp.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		child, cancel := context.WithCancel(r.Context())
		t.Cleanup(cancel)
		later, cancelLater := context.WithTimeout(r.Context(), time.Hour)
		t.Cleanup(cancelLater)
		children <- child
		children <- later
		w.WriteHeader(http.StatusOK)
		return nil
	}))
	for range 2 {
		child := <-children
		<-child.Done()
		assert.ErrorIs(t, child.Err(), context.Canceled)
	}
}
