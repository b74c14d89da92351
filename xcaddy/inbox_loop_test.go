package main

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Caddy's own answer, that the event is stored, must not count as the application's.
func TestAnInboxWhoseBackendLeadsBackToItKeepsItsEvents(t *testing.T) {
	t.Parallel()
	l := newInboxLedger(t)
	path := newInboxFile(t)
	s := start(t, inboxSite("https://$ADDRESS {\ntransport http {\ntls_insecure_skip_verify\n}\n}", path, "retry 50ms"))
	s.awaitInbox()
	got := send(t, s.client("HTTP/1.1"), s.signed([]byte(transcript), secret, time.Now()))
	require.Equal(t, 200, got.status)
	require.Equal(t, "stored", got.header.Get(headerInbox))
	s.eventually("two attempts that come back", func() bool {
		return s.metricSum("caddy_elevenlabs_webhook_deliveries_total", `reason="loop"`) >= 2 || s.inboxCount("delivered") > 0
	})
	assert.Zero(t, s.inboxCount("delivered"))

	require.Empty(t, s.post("/load", inboxSite(l.backend(taken), path, "retry 50ms")))
	s.eventually("the application to get it", func() bool { return s.inboxCount("delivered") == 1 })
	assert.Len(t, l.of([]byte(transcript)), 1)
}

func TestAnInboxDeliversToAnotherInboxBehindIt(t *testing.T) {
	t.Parallel()
	l := newInboxLedger(t)
	path := newInboxFile(t)
	handler := func(at, name, proxy string) string {
		return fmt.Sprintf("handle %s {\nelevenlabs_webhook {\nsecret {env.WEBHOOK_SECRET}\ninbox %s {\ndatabase %s\n}\nreverse_proxy %s\n}\n}\n", at, name, path, proxy)
	}
	s := start(t, site(handler("/webhooks/elevenlabs", "outer", "https://$ADDRESS {\nrewrite /inner\ntransport http {\ntls_insecure_skip_verify\n}\n}")+
		handler("/inner", "inner", l.backend(taken))))
	s.awaitInbox()
	got := send(t, s.client("HTTP/1.1"), s.signed([]byte(transcript), secret, time.Now()))
	require.Equal(t, 200, got.status)
	s.eventually("both to deliver it", func() bool { return s.inboxCount("delivered") == 2 })
	assert.Len(t, l.of([]byte(transcript)), 1)
}
