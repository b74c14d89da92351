package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const headerBackfill = "X-ElevenLabs-Backfill"

// phone is ElevenLabs as far as calls are concerned. Each call has a recording of its own.
type phone struct {
	began int64 // when the first call began; each later one a minute after

	calls int
	mp3   []byte // the recording of each call; nil for one with its id

	mu   sync.Mutex
	read func(id string, r *http.Request)
}

// newPhone has a number of calls, and puts the API into the environment of commands.
func newPhone(t *testing.T, calls int) *phone {
	p := &phone{began: time.Now().Add(-5 * time.Hour).Unix(), calls: calls, read: func(string, *http.Request) {}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/convai/conversations", p.list)
	mux.HandleFunc("GET /v1/convai/conversations/{id}", func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		read := p.read
		p.mu.Unlock()
		read(r.PathValue("id"), r)
		_, _ = w.Write([]byte(p.conversation(r.PathValue("id"))))
	})
	mux.HandleFunc("GET /v1/convai/conversations/{id}/audio", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "audio/mpeg")
		_, _ = w.Write(p.recording(r.PathValue("id")))
	})
	proxy, ca := serveAPI(t, mux)
	t.Setenv("HTTPS_PROXY", proxy)
	t.Setenv("SSL_CERT_FILE", ca)
	t.Setenv("ELEVENLABS_API_KEY", apiKey)
	t.Setenv("ELEVENLABS_WEBHOOK_SECRET", secret)
	return p
}

// onRead sets what is called for each conversation that is read.
func (p *phone) onRead(read func(id string, r *http.Request)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.read = read
}

func callID(n int) string { return "conv_" + strconv.Itoa(n) }

// list has the newest first, two a page.
func (p *phone) list(w http.ResponseWriter, r *http.Request) {
	from, _ := strconv.Atoi(r.FormValue("cursor"))
	after, _ := strconv.ParseInt(r.FormValue("call_start_after_unix"), 10, 64)
	var page []map[string]any
	for n := p.calls - 1 - from; n >= 0 && len(page) < 2; n-- {
		if start := p.began + int64(n)*60; start >= after {
			page = append(page, map[string]any{
				"agent_id": "agent_1", "conversation_id": callID(n), "start_time_unix_secs": start, "call_duration_secs": 30, "message_count": 4, "status": "done",
			})
		}
	}
	next := from + len(page)
	_ = json.NewEncoder(w).Encode(map[string]any{"conversations": page, "has_more": next < p.calls, "next_cursor": strconv.Itoa(next)})
}

func (p *phone) conversation(id string) string {
	n, _ := strconv.Atoi(strings.TrimPrefix(id, "conv_"))
	return fmt.Sprintf(`{"agent_id":"agent_1","conversation_id":"%s","status":"done","cost":0.0,"metadata":{"start_time_unix_secs":%d,"call_duration_secs":30},"has_audio":true}`, id, p.began+int64(n)*60)
}

func (p *phone) recording(id string) []byte {
	if p.mp3 != nil {
		return p.mp3
	}
	return []byte("ID3 of " + id)
}

// events are what the command makes of a call.
func (p *phone) events(n int, withAudio bool) (bodies []string) {
	end := p.began + int64(n)*60 + 30
	bodies = append(bodies, fmt.Sprintf(`{"type": "post_call_transcription", "event_timestamp": %d, "data": %s}`, end, p.conversation(callID(n))))
	if withAudio {
		bodies = append(bodies, fmt.Sprintf(`{"type": "post_call_audio", "event_timestamp": %d, "data": {"agent_id": "agent_1", "conversation_id": "%s", "full_audio": "%s"}}`,
			end, callID(n), base64.StdEncoding.EncodeToString(p.recording(callID(n)))))
	}
	return bodies
}

// genuine is an event as ElevenLabs sends it: its bytes are others than those of a backfill.
func genuine(eventType string, n int) []byte {
	return fmt.Appendf(nil, `{"type":"%s","event_timestamp":1,"data":{"conversation_id":"%s","agent_id":"agent_1"}}`, eventType, callID(n))
}

func (s *server) backfill(args ...string) outcome {
	s.t.Helper()
	return elevenlabs(s.t, "", s.backfillArgs(args...)...)
}

func (s *server) backfillArgs(args ...string) []string {
	return append(append([]string{"inbox", "backfill", s.url(), "--since", "24h"}, s.trust()...), args...)
}

// idsOf are the event ids of bodies.
func idsOf(bodies ...string) (ids []string) {
	for _, body := range bodies {
		ids = append(ids, digestOf([]byte(body)))
	}
	slices.Sort(ids)
	return ids
}

// marked returns the ids of what came as a backfill, and of what came from ElevenLabs.
func marked(t testing.TB, deliveries []delivery) (backfilled, others []string) {
	for _, d := range deliveries {
		assert.Equal(t, "true", d.header.Get("X-ElevenLabs-Verified"))
		assert.Equal(t, d.digest, d.header.Get("X-ElevenLabs-Event-Id"))
		switch values := d.header.Values(headerBackfill); {
		case slices.Equal(values, []string{"true"}):
			backfilled = append(backfilled, d.digest)
		default:
			assert.Empty(t, values)
			others = append(others, d.digest)
		}
	}
	slices.Sort(backfilled)
	slices.Sort(others)
	return backfilled, others
}

func TestCallsLostWhileCaddyWasDownArriveByBackfill(t *testing.T) {
	p := newPhone(t, 7)
	b := newBackend(t)
	s := start(t, inboxSite(b.address(), newInboxFile(t), ""))
	s.awaitInbox()
	client := s.client("HTTP/1.1")
	var sent []string
	come := func(body []byte) {
		require.Equal(t, 200, send(t, client, s.event(body)).status)
		sent = append(sent, string(body))
	}
	for n := range 3 {
		come(genuine("post_call_transcription", n))
		come(genuine("post_call_audio", n))
	}
	s.eventually("all to be delivered", func() bool { return s.inboxCount("delivered") == len(sent) })
	s.kill()
	_, err := try(client, s.event(genuine("post_call_transcription", 3)))
	require.Error(t, err, "Caddy is down")
	s.done = make(chan struct{})
	s.serve()
	s.awaitInbox()
	client = s.client("HTTP/1.1")
	come(genuine("post_call_transcription", 6))

	assert.Contains(t, s.get("/elevenlabs/inbox"), `"remember_seconds":259200`)
	dry := s.backfill("--audio", "--address", s.admin, "--dry-run")
	require.Equal(t, 0, dry.code, dry.stdout+dry.stderr)
	assert.Contains(t, dry.stdout, "7 conversations: 3 here, 4 missing, 0 unfinished, 0 recent, 0 never started\n")

	first := s.backfill("--audio", "--address", s.admin, "--json")
	require.Equal(t, 0, first.code, first.stdout+first.stderr)
	var lost []string
	for n := 3; n < 6; n++ {
		lost = append(lost, p.events(n, true)...)
	}
	lost = append(lost, p.events(6, true)[1])
	s.eventually("all to be delivered", func() bool { return s.inboxCount("delivered") == len(sent)+len(lost) })
	backfilled, others := marked(t, b.take())
	assert.Equal(t, idsOf(lost...), backfilled, "exactly the lost ones, marked")
	assert.Equal(t, idsOf(sent...), others)
	reported := make([]string, 0, len(lost))
	for _, line := range objects[map[string]any](t, first)[:len(lost)] {
		assert.Equal(t, "sent", line["result"])
		assert.Equal(t, "stored", line["inbox"])
		reported = append(reported, line["event_id"].(string))
	}
	slices.Sort(reported)
	assert.Equal(t, idsOf(lost...), reported)

	second := s.backfill("--audio", "--address", s.admin)
	require.Equal(t, 0, second.code, second.stdout+second.stderr)
	assert.Equal(t, "7 conversations: 7 here, 0 missing, 0 unfinished, 0 recent, 0 never started\n", second.stdout)
	assert.Empty(t, b.take())

	assert.Equal(t, len(lost), strings.Count(elevenlabs(t, "", "tail", "--once", "--address", s.admin).stdout, "  backfill=true  "))
	list := elevenlabs(t, "", "inbox", "list", "--address", s.admin)
	assert.Equal(t, len(lost), strings.Count(list.stdout, " (backfill) "), list.stdout)
	seq := objects[map[string]any](t, elevenlabs(t, "", "inbox", "list", "--address", s.admin, "--json", "--conversation", callID(4)))[0]["seq"]
	show := elevenlabs(t, "", "inbox", "show", fmt.Sprint(seq), "--address", s.admin)
	assert.Contains(t, show.stdout, "backfill      inbox backfill made it from ElevenLabs' API\n")
	again := elevenlabs(t, "", "inbox", "redeliver", fmt.Sprint(seq), "--address", s.admin)
	require.Equal(t, 0, again.code, again.stderr)
	s.eventually("it to be delivered again", func() bool {
		again, _ := marked(t, b.take())
		return len(again) == 1
	})
	for _, d := range shown(t, s, "/elevenlabs/deliveries")[:len(lost)] {
		assert.Equal(t, true, d["backfill"])
		assert.Equal(t, false, d["counts"], "ElevenLabs knows nothing of it")
	}
}

func TestABackfillThatIsInterruptedGoesOn(t *testing.T) {
	p := newPhone(t, 6)
	b := newBackend(t)
	s := start(t, inboxSite(b.address(), newInboxFile(t), ""))
	s.awaitInbox()

	command := exec.Command(binary, append([]string{"elevenlabs"}, s.backfillArgs("--address", s.admin)...)...)
	output := new(lockedBuffer)
	command.Stdout, command.Stderr = output, output
	started := make(chan struct{})
	p.onRead(func(id string, r *http.Request) {
		if id == callID(3) {
			<-started
			_ = command.Process.Signal(os.Interrupt)
			<-r.Context().Done() // the command no longer waits
		}
	})
	require.NoError(t, command.Start())
	close(started)
	require.Error(t, command.Wait())
	assert.Equal(t, 1, command.ProcessState.ExitCode(), output)
	assert.Contains(t, output.String(), "interrupted; 3 of 6 events sent, 3 left: run the command again to send the rest")

	p.onRead(func(string, *http.Request) {})
	second := s.backfill("--address", s.admin)
	require.Equal(t, 0, second.code, second.stdout+second.stderr)
	assert.Contains(t, second.stdout, "6 conversations: 3 here, 3 missing, 0 unfinished, 0 recent, 0 never started; 3 events: 3 sent, 0 skipped, 0 failed\n")
	want := make([]string, 0, 6)
	for n := range 6 {
		want = append(want, p.events(n, false)...)
	}
	s.eventually("all to be delivered", func() bool { return s.inboxCount("delivered") == 6 })
	backfilled, _ := marked(t, b.take())
	assert.Equal(t, idsOf(want...), backfilled, "each once")
}

func TestWithoutAnInboxTheApplicationLearnsOfABackfillToo(t *testing.T) {
	p := newPhone(t, 3)
	b := newBackend(t)
	s := start(t, webhook(b.address(), ""))
	file := filepath.Join(t.TempDir(), "ids.txt")
	require.NoError(t, os.WriteFile(file, []byte(callID(1)+"\n"), 0o600))
	first := s.backfill("--ids", file)
	require.Equal(t, 0, first.code, first.stdout+first.stderr)
	backfilled, _ := marked(t, b.take())
	assert.Equal(t, idsOf(p.events(0, false)[0], p.events(2, false)[0]), backfilled)

	second := s.backfill("--ids", file)
	require.Equal(t, 0, second.code, second.stdout+second.stderr)
	assert.Empty(t, b.take())

	missing := s.backfill("--address", s.admin)
	assert.Equal(t, 1, missing.code)
	assert.Contains(t, missing.stderr, "or compare with a list of your own by --ids")
}

// The one who attacks has a genuine request that ElevenLabs signed, and one that the command
// made, but not the secret.
func TestAForgedMarkOfABackfillIsNotBelieved(t *testing.T) {
	newPhone(t, 0)
	for name, options := range map[string]string{"direct": "", "inbox": "inbox {\ndatabase " + newInboxFile(t) + "\n}", "report_only": "report_only"} {
		t.Run(name, func(t *testing.T) {
			b := newBackend(t)
			s := start(t, webhook(b.address(), options))
			if name == "inbox" {
				s.awaitInbox()
			}
			at := time.Now()
			mark := func(body []byte) string {
				key := hmac.New(sha256.New, []byte(secret))
				key.Write([]byte("caddy-elevenlabs backfill"))
				of := hmac.New(sha256.New, key.Sum(nil))
				fmt.Fprintf(of, "%d.%s", at.Unix(), digestOf(body))
				return hex.EncodeToString(of.Sum(nil))
			}
			captured := mark(genuine("post_call_audio", 99))
			forged := 0
			event := func() (body []byte, request *http.Request) {
				forged++
				body = genuine("post_call_transcription", forged)
				return body, s.signed(body, secret, at)
			}
			for _, proto := range []string{"HTTP/1.1", "HTTP/2.0"} {
				client := s.client(proto)
				for _, header := range []http.Header{
					{headerBackfill: {"true"}},
					{headerBackfill: {captured}},
					{"x-elevenlabs-backfill": {captured}, headerBackfill: {"true"}},
					{"X_ElevenLabs_Backfill": {"true"}},
					{"X-Elevenlabs-Backfill-": {"true"}},
				} {
					_, request := event()
					maps.Copy(request.Header, header)
					assert.Equal(t, 200, send(t, client, request).status)
				}
				body, request := event()
				request.Header[headerBackfill] = []string{mark(body), "true"}
				assert.Equal(t, 200, send(t, client, request).status)
				body, request = event()
				request.Header[headerBackfill] = []string{mark(body), mark(body)}
				assert.Equal(t, 200, send(t, client, request).status)
				body, request = event()
				request = chunked(request)
				request.Trailer = http.Header{headerBackfill: {mark(body)}}
				assert.Equal(t, 200, send(t, client, request).status)
			}
			s.eventually("all to arrive", func() bool {
				b.mu.Lock()
				defer b.mu.Unlock()
				return len(b.deliveries) == forged
			})
			for _, d := range b.take() {
				for name := range d.header {
					assert.NotContains(t, strings.ToLower(name), "backfill")
				}
				assert.Empty(t, d.trailer)
			}
			// and the mark that the command makes is believed, so this test can fail
			body, request := event()
			request.Header.Set(headerBackfill, mark(body))
			got := send(t, s.client("HTTP/1.1"), request)
			assert.Equal(t, "true", got.header.Get(headerBackfill))
			s.eventually("it to arrive", func() bool {
				backfilled, _ := marked(t, b.take())
				return len(backfilled) == 1
			})
		})
	}
}

// commandOfBackfill is the command in the unit, and the one in the Compose file.
var commandOfBackfill = regexp.MustCompile(`(?m)^(?:ExecStart=/usr/local/bin/caddy-elevenlabs|\s+caddy) elevenlabs (inbox backfill .*)$`)

func TestTheExamplesFetchMissedCalls(t *testing.T) {
	for _, example := range []struct{ file, folder string }{
		{"systemd/caddy-elevenlabs-backfill.service", "%d/"},
		{"compose/compose.yaml", "/run/secrets/"},
	} {
		t.Run(example.file, func(t *testing.T) {
			p := newPhone(t, 2)
			b := newBackend(t)
			s := start(t, inboxSite(b.address(), newInboxFile(t), ""))
			s.awaitInbox()
			text, err := os.ReadFile(filepath.Join(examples, example.file))
			require.NoError(t, err)
			command := commandOfBackfill.FindStringSubmatch(string(text))
			require.NotNil(t, command)
			secrets := t.TempDir()
			for name, value := range map[string]string{"elevenlabs_webhook_secret": secret, "elevenlabs_api_key": apiKey} {
				require.NoError(t, os.WriteFile(filepath.Join(secrets, name), []byte(value+"\n"), 0o600))
				require.Contains(t, command[1], example.folder+name)
			}
			t.Setenv("ELEVENLABS_API_KEY", "")
			t.Setenv("ELEVENLABS_WEBHOOK_SECRET", "")
			here := strings.NewReplacer("https://localhost/", "https://"+s.address+"/", example.folder, secrets+"/").Replace(command[1])
			got := elevenlabs(t, "", append(strings.Fields(here), "--address", s.admin)...)
			require.Equal(t, 0, got.code, got.stdout+got.stderr)
			s.eventually("all to be delivered", func() bool { return s.inboxCount("delivered") == 4 })
			backfilled, _ := marked(t, b.take())
			assert.Equal(t, idsOf(append(p.events(0, true), p.events(1, true)...)...), backfilled)
		})
	}
}
