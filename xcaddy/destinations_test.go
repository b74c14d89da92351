package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	official "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// destination returns the block of a destination.
func destination(name, backend, options string) string {
	return fmt.Sprintf("destination %s {\n%s\nreverse_proxy %s\n}\n", name, options, backend)
}

// destinations returns a Caddyfile whose inbox has destinations.
func destinations(database, options string, blocks ...string) string {
	return site("handle /webhooks/elevenlabs {\n@german header X-Language de\nelevenlabs_webhook {\nsecret {env.WEBHOOK_SECRET} end-to-end\n" +
		"inbox {\ndatabase " + database + "\n" + options + "\n" + strings.Join(blocks, "") + "}\n}\n}\nhandle {\nmetrics\n}")
}

func eventOf(typ, agent, conversation string) []byte {
	return fmt.Appendf(nil, `{"type":%q,"event_timestamp":1739537297,"data":{"agent_id":%q,"conversation_id":%q}}`, typ, agent, conversation)
}

// got waits until a ledger has so many events, and returns how often each came.
func (l *inboxLedger) got(s *server, events int) map[string]int {
	l.t.Helper()
	count := func() map[string]int {
		l.mu.Lock()
		defer l.mu.Unlock()
		all := map[string]int{}
		for id, its := range l.deliveries {
			all[id] = len(its)
		}
		return all
	}
	s.eventually("the deliveries", func() bool { return len(count()) >= events })
	return count()
}

// destinationState returns what the admin endpoint shows of a destination.
func (s *server) destinationState(name string) inboxState {
	s.t.Helper()
	for _, i := range s.inboxes() {
		if i.Destination == name {
			return i
		}
	}
	return inboxState{}
}

func TestEachDestinationGetsTheEventsThatItTakes(t *testing.T) {
	t.Parallel()
	crm, archive, german, all := newInboxLedger(t), newInboxLedger(t), newInboxLedger(t), newInboxLedger(t)
	s := start(t, destinations(newInboxFile(t), "",
		destination("crm", crm.backend(taken), "events transcript\nagents agent_1 agent_2"),
		destination("archive", archive.backend(taken), "events audio"),
		destination("german @german", german.backend(taken), ""),
	))
	client := s.client("HTTP/1.1")
	post := func(body []byte, header string) answer {
		request := s.event(body)
		if header != "" {
			request.Header.Set("X-Language", header)
		}
		return send(t, client, request)
	}
	one, other, audio := eventOf("post_call_transcription", "agent_1", "conv_1"), eventOf("post_call_transcription", "agent_3", "conv_2"), eventOf("post_call_audio", "agent_1", "conv_1")
	for body, want := range map[string]string{string(one): "stored", string(audio): "stored", string(other): ""} {
		got := post([]byte(body), "")
		assert.Equal(t, 200, got.status)
		assert.Equal(t, want, got.header.Get(headerInbox), "an event that nobody takes is not stored")
	}
	assert.Equal(t, "stored", post(other, "de").header.Get(headerInbox), "now somebody takes it")
	assert.Equal(t, map[string]int{digestOf(one): 1}, crm.got(s, 1))
	assert.Equal(t, map[string]int{digestOf(audio): 1}, archive.got(s, 1))
	assert.Equal(t, map[string]int{digestOf(other): 1}, german.got(s, 1))
	assert.InDelta(t, 1, s.metricSum("caddy_elevenlabs_webhook_deliveries_total", `result="ignored"`), 0)

	s.load(destinations(newInboxFile(t), "", destination("crm", crm.backend(taken), ""), destination("all", all.backend(taken), "")))
	large := all.event(3 << 20)
	assert.Equal(t, "stored", post(large, "").header.Get(headerInbox))
	assert.Equal(t, map[string]int{digestOf(large): 1}, all.got(s, 1))
	s.eventually("the other one", func() bool { return len(crm.of(large)) == 1 })
	assert.Equal(t, len(large), s.destinationState("all").Bytes, "the body is stored once")
	assert.Zero(t, all.damaged+crm.damaged)
}

func TestADestinationThatIsAwayHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	crm, archive := newInboxLedger(t), newInboxLedger(t)
	address, comeUp := crm.away(taken)
	s := newServer(t)
	s.write(destinations(newInboxFile(t), "retry 1s", destination("crm", address, ""), destination("archive", archive.backend(taken), "")))
	s.serve()
	stop := archive.load(s, 4, mixedSizes...)
	s.eventually("events in the archive", func() bool { return archive.counts().acknowledged > 30 })
	s.awaitLog(`events wait, and one at a time is tried`, `"destination":"crm"`)
	assert.InDelta(t, 1, s.metricSum("caddy_elevenlabs_inbox_backend_down", `destination="crm"`), 0)
	assert.Zero(t, s.metricSum("caddy_elevenlabs_inbox_backend_down", `destination="archive"`))
	s.kill()
	archive.crashed()
	crm.crashed()
	s.clearSpool()
	s.launch()
	s.awaitServing()
	stop()
	s.eventually("the archive to have all", func() bool { return archive.counts().lost == 0 })
	assert.Empty(t, s.destinationState("archive").Events["waiting"])
	assert.GreaterOrEqual(t, s.destinationState("crm").Events["waiting"], 30)

	comeUp()
	archive.settled(s)
	crm.mu.Lock()
	defer crm.mu.Unlock()
	for id := range archive.acknowledged {
		assert.NotEmpty(t, crm.deliveries[id], "acknowledged, and the other destination does not have it")
	}
	assert.Zero(t, crm.damaged+archive.damaged)
}

func TestEachDestinationIsSignedWithItsOwnKey(t *testing.T) {
	t.Parallel()
	ledger := newInboxLedger(t)
	got := map[string]chan http.Header{}
	backendOf := func(name string) string {
		got[name] = make(chan http.Header, 10)
		return ledger.backend(func(_ http.ResponseWriter, r *http.Request, _ int) int { got[name] <- r.Header; return 200 })
	}
	s := start(t, destinations(newInboxFile(t), "",
		destination("one", backendOf("one"), "sign {env.SIGN_KEY}"),
		destination("two", backendOf("two"), "sign {env.OLD_SIGN_KEY}"),
		destination("plain", backendOf("plain"), "")), signEnv...)
	body := ledger.event(100)
	request := s.event(body)
	request.Header.Set("webhook_signature", "v1,forged")
	assert.Equal(t, "stored", send(t, s.client("HTTP/1.1"), request).header.Get(headerInbox))
	for name, key := range map[string]string{"one": signKey, "two": oldSignKey, "plain": ""} {
		header := <-got[name]
		assert.NotContains(t, header, "Webhook_signature", "a stranger's")
		if key == "" {
			assert.NotContains(t, header, "Webhook-Signature")
			continue
		}
		library, err := official.NewWebhook(key)
		require.NoError(t, err)
		assert.NoError(t, library.Verify(body, header), name)
		assert.Len(t, strings.Fields(header.Get("Webhook-Signature")), 1, "one key, one signature")
	}
}

// An event that cannot be stored goes to all destinations at once. The answer is 200 only if
// all of them take it.
func TestAnEventThatBypassesGoesToAllItsDestinations(t *testing.T) {
	t.Parallel()
	var status atomic.Int64
	status.Store(http.StatusOK)
	crm, archive := newInboxLedger(t), newInboxLedger(t)
	s := start(t, destinations(newInboxFile(t), "limit 100", // no event fits
		destination("crm", crm.backend(func(http.ResponseWriter, *http.Request, int) int { return int(status.Load()) }), ""),
		destination("archive", archive.backend(taken), ""),
		destination("audio", "127.0.0.1:1", "events audio")))
	client := s.client("HTTP/1.1")
	body := crm.event(3 << 20)
	got := send(t, client, s.event(body))
	assert.Equal(t, 200, got.status)
	assert.Equal(t, "bypassed", got.header.Get(headerInbox))
	assert.Equal(t, map[string]int{digestOf(body): 1}, crm.got(s, 1))
	assert.Equal(t, map[string]int{digestOf(body): 1}, archive.got(s, 1))

	status.Store(http.StatusInternalServerError)
	got = send(t, client, s.event(crm.event(2<<10)))
	assert.Equal(t, http.StatusBadGateway, got.status)
	s.awaitLog(`"event not delivered"`, `"destinations":["crm"]`, `"reason":"backend_answer"`)
	assert.Len(t, archive.got(s, 2), 2)
	assert.InDelta(t, 2, s.metricSum("caddy_elevenlabs_inbox_bypassed_total", `reason="full"`), 0)
	assert.InDelta(t, 1, s.metricSum("caddy_elevenlabs_webhook_deliveries_total", `result="failed"`), 0)
}

func TestANewDestinationGetsWhatComesAndByCommandWhatIsStored(t *testing.T) {
	t.Parallel()
	plain, crm, archive := newInboxLedger(t), newInboxLedger(t), newInboxLedger(t)
	file := newInboxFile(t)
	s := start(t, inboxSite(plain.backend(taken), file, ""))
	client := s.client("HTTP/1.1")
	old := plain.event(3 << 20)
	_, err := plain.send(client, s, old)
	require.NoError(t, err)
	plain.settled(s)

	both := destinations(file, "", destination("crm", crm.backend(taken), ""), destination("archive", archive.backend(taken), ""))
	s.load(both)
	young := plain.event(100)
	_, err = plain.send(client, s, young)
	require.NoError(t, err)
	assert.Equal(t, map[string]int{digestOf(young): 1}, archive.got(s, 1))
	changed := s.act("redeliver", `{"to":"archive","since":"2020-01-01T00:00:00Z"}`)
	assert.Equal(t, 1, changed)
	assert.Equal(t, map[string]int{digestOf(young): 1, digestOf(old): 1}, archive.got(s, 2))
	assert.Zero(t, archive.damaged)
	assert.Zero(t, s.act("redeliver", `{"to":"archive","since":"2020-01-01T00:00:00Z"}`), "it has them")
	assert.Equal(t, map[string]int{digestOf(young): 1}, crm.got(s, 1))
}

// act changes events by the admin endpoint, and returns how many.
func (s *server) act(verb, selection string) int {
	s.t.Helper()
	response, err := http.Post("http://"+s.admin+"/elevenlabs/inbox/"+verb, "application/json", strings.NewReader(selection))
	require.NoError(s.t, err)
	defer response.Body.Close()
	require.Equal(s.t, http.StatusOK, response.StatusCode)
	var changed struct{ Events int }
	require.NoError(s.t, json.NewDecoder(response.Body).Decode(&changed))
	return changed.Events
}

func TestWhatWaitsForADestinationThatIsTakenOutDoesNotWaitForEver(t *testing.T) {
	t.Parallel()
	crm, archive := newInboxLedger(t), newInboxLedger(t)
	address, _ := crm.away(taken)
	file := newInboxFile(t)
	s := start(t, destinations(file, "give_up 1s\nretry 1s", destination("crm", address, "give_up 1h"), destination("archive", archive.backend(taken), "")))
	client := s.client("HTTP/1.1")
	body := archive.event(100)
	_, err := archive.send(client, s, body)
	require.NoError(t, err)
	archive.got(s, 1)
	s.load(destinations(file, "give_up 1s\nretry 1s", destination("archive", archive.backend(taken), "")))
	s.awaitLog("an inbox has events and no handler")
	require.Eventually(t, func() bool { return s.destinationState("crm").Events["dead"] == 1 }, 4*patience, 500*time.Millisecond, "waiting for the sweep of each minute")
	s.awaitLog("events are given up, since their destination was renamed or taken out", `"destination":"crm"`)
	later := newInboxLedger(t)
	s.load(destinations(file, "", destination("archive", archive.backend(taken), ""), destination("crm2", later.backend(taken), "")))
	assert.Equal(t, 1, s.act("redeliver", `{"to":"crm2","destination":"crm"}`))
	assert.Equal(t, map[string]int{digestOf(body): 1}, later.got(s, 1))
	assert.Equal(t, 1, s.destinationState("crm").Events["discarded"], "nothing waits for it")
}
