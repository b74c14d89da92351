package caddymodule

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/deliveries"
)

// admin starts a server that has only the admin routes. It returns what ends the
// configuration.
func admin(t *testing.T) (*httptest.Server, context.CancelFunc) {
	t.Helper()
	ctx, end := caddy.NewContext(caddy.Context{Context: context.Background()})
	t.Cleanup(end)
	api := new(Admin)
	require.NoError(t, api.Provision(ctx))
	mux := http.NewServeMux()
	for _, route := range api.Routes() {
		mux.HandleFunc(route.Pattern, func(w http.ResponseWriter, r *http.Request) {
			err := route.Handler.ServeHTTP(w, r)
			if apiErr, ok := errors.AsType[caddy.APIError](err); ok {
				http.Error(w, apiErr.Err.Error(), apiErr.HTTPStatus)
			}
		})
	}
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server, end
}

func ask(t *testing.T, method, url string, header http.Header) *http.Response {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	require.NoError(t, err)
	request.Header = header
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	t.Cleanup(func() { response.Body.Close() })
	return response
}

func getDeliveries(t *testing.T, url string) (all []deliveries.Delivery) {
	t.Helper()
	response := ask(t, http.MethodGet, url, http.Header{})
	require.Equal(t, http.StatusOK, response.StatusCode)
	require.NoError(t, json.NewDecoder(response.Body).Decode(&all))
	return all
}

func TestDeliveriesAreShownNewestFirstAndFiltered(t *testing.T) {
	server, _ := admin(t)
	h, _ := provision(t, &Handler{})
	serve(t, h, newRequest(`{"type":"post_call_audio"}`))
	serve(t, h, newRequest(transcript))
	forged := newRequest(transcript)
	sign(forged, "wsec_other", signedAt, transcript)
	serve(t, h, forged)

	url := server.URL + "/elevenlabs/deliveries"
	all := getDeliveries(t, url+"?limit=3")
	require.Len(t, all, 3)
	assert.Equal(t, []string{"", "post_call_transcription", "post_call_audio"}, []string{all[0].EventType, all[1].EventType, all[2].EventType})
	assert.Equal(t, "conv_1", all[1].ConversationID)
	assert.Equal(t, 200, all[1].UpstreamStatus)
	assert.Equal(t, all[1].Sequence, getDeliveries(t, url+"?result=accepted&limit=1")[0].Sequence)
	assert.Equal(t, all[2].Sequence, getDeliveries(t, url+"?type=post_call_audio&limit=1")[0].Sequence)
	assert.Empty(t, getDeliveries(t, url+"?type=nothing"))
}

func TestAdminRoutesRejectUnknownMethodsAndFilters(t *testing.T) {
	server, _ := admin(t)
	for request, want := range map[string]int{
		"POST /elevenlabs/status":              405,
		"DELETE /elevenlabs/deliveries":        405,
		"GET /elevenlabs/deliveries?limit=0":   400,
		"GET /elevenlabs/deliveries?limit=a":   400,
		"GET /elevenlabs/deliveries?result=ok": 400,
		"GET /elevenlabs/status":               200,
	} {
		method, path, _ := strings.Cut(request, " ")
		assert.Equal(t, want, ask(t, method, server.URL+path, http.Header{}).StatusCode, request)
	}
	assert.Equal(t, 400, ask(t, http.MethodGet, server.URL+"/elevenlabs/deliveries", http.Header{"Last-Event-Id": {"x"}}).StatusCode)
}

// stream follows the deliveries of type post_call_audio.
func stream(t *testing.T, server *httptest.Server, header http.Header) func() (deliveries.Delivery, bool) {
	t.Helper()
	header.Set("Accept", "text/event-stream")
	response := ask(t, http.MethodGet, server.URL+"/elevenlabs/deliveries?type=post_call_audio&limit=1", header)
	require.Equal(t, "text/event-stream", response.Header.Get("Content-Type"))
	lines := bufio.NewScanner(response.Body)
	return func() (d deliveries.Delivery, ok bool) {
		var id string
		for lines.Scan() {
			if value, found := strings.CutPrefix(lines.Text(), "id: "); found {
				id = value
			}
			if data, found := strings.CutPrefix(lines.Text(), "data: "); found {
				require.NoError(t, json.Unmarshal([]byte(data), &d))
				assert.Equal(t, strconv.FormatUint(d.Sequence, 10), id)
				return d, true
			}
		}
		return d, false
	}
}

func TestTheStreamEndsWithTheConfiguration(t *testing.T) {
	server, end := admin(t)
	h, _ := provision(t, &Handler{})
	audio := func() { serve(t, h, newRequest(`{"type":"post_call_audio"}`)) }
	audio()
	audio()
	next := stream(t, server, http.Header{})
	first, ok := next()
	require.True(t, ok)
	audio()
	serve(t, h, newRequest(transcript)) // not asked for
	audio()
	second, _ := next()
	third, _ := next()
	assert.Greater(t, second.Sequence, first.Sequence)
	assert.Greater(t, third.Sequence, second.Sequence)
	assert.Equal(t, "post_call_audio", third.EventType)
	end()
	_, ok = next()
	assert.False(t, ok, "the stream ends")
}

// Caddy keeps the admin server of a configuration that it then rejects, though the
// context of that configuration has ended.
func TestTheStreamWorksAfterARejectedReload(t *testing.T) {
	server, end := admin(t)
	end()
	h, _ := provision(t, &Handler{})
	audio := func() uint64 {
		serve(t, h, newRequest(`{"type":"post_call_audio"}`))
		return lastDelivery(t).Sequence
	}
	audio()
	next := stream(t, server, http.Header{})
	_, _ = next()
	later := audio()
	d, _ := next()
	assert.Equal(t, later, d.Sequence)
	admin(t) // of the next configuration
	_, ok := next()
	assert.False(t, ok, "the stream ends")
}

func TestTheStreamContinuesAfterLastEventID(t *testing.T) {
	server, _ := admin(t)
	h, _ := provision(t, &Handler{})
	audio := func() uint64 {
		serve(t, h, newRequest(`{"type":"post_call_audio"}`))
		return lastDelivery(t).Sequence
	}
	seen := audio()
	missed := audio()
	next := stream(t, server, http.Header{"Last-Event-Id": {strconv.FormatUint(seen, 10)}})
	d, _ := next()
	assert.Equal(t, missed, d.Sequence)
	later := audio()
	d, _ = next()
	assert.Equal(t, later, d.Sequence)
}

func TestTheDeliveriesContainTheLastFailure(t *testing.T) {
	server, _ := admin(t)
	h, _ := provision(t, &Handler{})
	deliver(t, h, 500)
	var all []struct {
		LastFailure deliveries.Delivery `json:"last_failure"`
	}
	require.NoError(t, json.NewDecoder(ask(t, http.MethodGet, server.URL+"/elevenlabs/status", http.Header{}).Body).Decode(&all))
	assert.Equal(t, []deliveries.Delivery{all[0].LastFailure}, getDeliveries(t, server.URL+"/elevenlabs/deliveries?limit=1"))
}
