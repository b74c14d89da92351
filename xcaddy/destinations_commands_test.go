package main

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// destinationEvent is an event in the JSON of the commands.
type destinationEvent struct {
	Seq         int64
	Destination string
	EventID     string `json:"event_id"`
	State       string
	Others      []destinationEvent `json:"other_destinations"`
}

// withInspector adds the inspector to the site of destinations.
func withInspector(caddyfile string) string {
	return strings.Replace(caddyfile, "handle {\nmetrics\n}", "handle_path /inspect/* {"+inspected("")+"}\nhandle {\nmetrics\n}", 1)
}

// One of two applications is broken, a third one is new, and then the first one goes.
func TestTheCommandsKnowDestinations(t *testing.T) {
	t.Parallel()
	l := newInboxLedger(t)
	file := newInboxFile(t)
	broken := l.backend(func(http.ResponseWriter, *http.Request, int) int { return http.StatusInternalServerError })
	archive := newInboxLedger(t)
	archiving := destination("archive", archive.backend(taken), "")
	s := start(t, withInspector(destinations(file, "retry 50ms\ngive_up 10ms", destination("crm", broken, ""), archiving)))
	s.awaitInbox()
	inbox := func(args ...string) outcome {
		return elevenlabs(t, "", append([]string{"inbox", args[0], "--address", s.admin}, args[1:]...)...)
	}
	status := func() outcome { return elevenlabs(t, "", "status", "--address", s.admin) }
	bodies := make([][]byte, 3)
	for n := range bodies {
		bodies[n] = eventOf("post_call_transcription", "agent_1", fmt.Sprintf("conv_%d", n))
	}
	s.sendEvents(bodies...)
	s.eventually("one to give up, and the other one to have all", func() bool {
		return s.destinationState("crm").Events["dead"] == 3 && s.destinationState("archive").Events["delivered"] == 3
	})

	assert.Contains(t, inbox("list").stdout, "DESTINATION\n")
	dead := objects[destinationEvent](t, inbox("list", "--destination", "crm", "--json"))
	require.Len(t, dead, 3)
	assert.Equal(t, []string{"crm", "dead"}, []string{dead[0].Destination, dead[0].State})
	shown := inbox("show", digestOf(bodies[0]))
	require.Equal(t, 0, shown.code, shown.stderr)
	assert.Regexp(t, `(?m)^destination +crm$`, shown.stdout)
	assert.Regexp(t, `(?m)^other destinations\n  archive  number \d+  delivered`, shown.stdout)
	other := objects[destinationEvent](t, inbox("show", digestOf(bodies[0])[:8], "--destination", "archive", "--json"))[0]
	assert.Equal(t, "archive", other.Destination)
	require.Len(t, other.Others, 1)
	assert.Equal(t, "crm", other.Others[0].Destination)
	stats := strings.Split(inbox("stats").stdout, "\n")
	assert.Equal(t, []string{"default", "archive", "post_call_transcription", "3", "0", "0", "3", "0"}, strings.Fields(stats[1])[:8])
	assert.Equal(t, []string{"default", "crm", "post_call_transcription", "3", "0", "0", "0", "3"}, strings.Fields(stats[2])[:8])
	ill := status()
	assert.Equal(t, 2, ill.code)
	assert.Contains(t, ill.stderr, "inbox default/crm: 3 dead")
	assert.NotContains(t, ill.stderr, "archive")
	assert.Equal(t, 1, strings.Count(ill.stdout, file), "the database is that of both")

	once := listen(t, "--address", s.admin, "--since", "1h")
	assert.ElementsMatch(t, []string{digestOf(bodies[0]), digestOf(bodies[1]), digestOf(bodies[2])}, ids(once.next(3)))
	once.end()
	of := listen(t, "--address", s.admin, "--since", "1h", "--destination", "archive")
	for _, line := range of.next(3) {
		got := objects[destinationEvent](t, inbox("show", fmt.Sprint(line.Seq), "--json"))[0]
		assert.Equal(t, "archive", got.Destination)
	}
	of.end()

	found := elevenlabs(t, "", append([]string{"doctor", "--config", s.file, "--adapter", "caddyfile", "--url", s.url(), "--address", s.admin, "--no-send"}, s.trust()...)...)
	for _, line := range []string{
		"destination crm: " + broken + " listens", "inbox default/crm: 3 dead", "inbox default/archive: no event is dead, or waits for long",
	} {
		assert.Contains(t, found.stdout, line)
	}

	search := newInboxLedger(t)
	searching := destination("search", search.backend(taken), "")
	s.load(withInspector(destinations(file, "", archiving, searching)))
	assert.Equal(t, "there is no destination", strings.SplitN(strings.TrimPrefix(inbox("redeliver", "--to", "crm", "--since", "1h", "--yes").stderr, "Error: "), ` "`, 2)[0])
	left := status()
	giveUp := "inbox discard --inbox default --destination crm --state dead"
	assert.Contains(t, left.stdout, "send elsewhere   caddy elevenlabs inbox redeliver --inbox default --destination crm --state dead --to <archive|search>\n")
	assert.Contains(t, left.stdout, "give up          caddy elevenlabs "+giveUp+"\n")
	// a visitor presses the button of one event, and a command sends the rest
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+s.address+"/inspect/redeliver",
		strings.NewReader(url.Values{"event": {fmt.Sprint(dead[0].Seq)}, "inbox": {"default"}, "to": {"search"}}.Encode()))
	require.NoError(t, err)
	request.SetBasicAuth(operator, operatorKey)
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	client := s.client("HTTP/1.1")
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	assert.Equal(t, http.StatusSeeOther, send(t, client, request).status)
	search.got(s, 1)
	moved := inbox("redeliver", "--to", "search", "--destination", "archive", "--since", "1h", "--yes")
	assert.Equal(t, outcome{stdout: "2 events will be delivered to search; what it has already is left out\n"}, moved)
	assert.Len(t, search.got(s, 3), 3, "each once")
	again := inbox("redeliver", "--to", "archive", fmt.Sprint(dead[1].Seq), "--inbox", "default")
	assert.Equal(t, 2, again.code, "it changed what waited for crm, and says so")
	assert.Equal(t, "0 events will be delivered to archive\ndiscarded, since this Caddy does not have their destination: 1 event\n", again.stdout)
	assert.Contains(t, again.stderr, "or it has them already")
	twice := inbox("redeliver", "--to", "search", fmt.Sprint(dead[0].Seq))
	assert.Equal(t, 1, twice.code)
	assert.Contains(t, twice.stderr, "the destination has the event already")

	discarded := elevenlabs(t, "", append(strings.Fields(giveUp), "--yes", "--address", s.admin)...)
	assert.Equal(t, outcome{stdout: "1 event discarded\n"}, discarded, "those that were sent elsewhere were so before")
	assert.InDelta(t, 3, s.metricSum("caddy_elevenlabs_inbox_discarded_total", `destination="crm"`), 0, "by the button, by redeliver --to, by discard")
	well := status()
	assert.Equal(t, 0, well.code, well.stderr)
	assert.Contains(t, well.stdout, "none: no handler has this destination, and none of its events waits or is dead\n")

	assert.Equal(t, outcome{stdout: "1 event deleted\n"}, inbox("forget", "conv_0", "--yes"))
	assert.Empty(t, objects[destinationEvent](t, inbox("list", "--conversation", "conv_0", "--json")), "for all destinations")
	assert.Len(t, objects[destinationEvent](t, inbox("list", "--conversation", "conv_1", "--json")), 3)
}
