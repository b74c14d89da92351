package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// received is what the examples' applications answer.
type received struct {
	EventType      string `json:"event_type"`
	EventID        string `json:"event_id"`
	ConversationID string `json:"conversation_id"`
	AgentID        string `json:"agent_id"`
	SecretName     string `json:"secret_name"`
	Verified       string `json:"verified"`
	Bytes          int
	SHA256         string
}

func receivedOf(t testing.TB, got answer, body []byte) received {
	t.Helper()
	require.Equal(t, 200, got.status, got.body)
	var r received
	require.NoError(t, json.Unmarshal([]byte(got.body), &r), got.body)
	assert.Equal(t, len(body), r.Bytes)
	assert.Equal(t, digestOf(body), r.SHA256, "the application got the same bytes")
	assert.Equal(t, digestOf(body), r.EventID)
	assert.Equal(t, "true", r.Verified)
	return r
}

// eventLine is what the examples' applications print for an event.
var eventLine = regexp.MustCompile(`(?m)^post_call_transcription [0-9a-f]{64} (\d+ bytes)$`)

func TestEachExampleRunsOnLocalhostAndSaysHowToSendAnEvent(t *testing.T) {
	caddyfiles, err := filepath.Glob(filepath.Join(examples, "*", "Caddyfile"))
	require.NoError(t, err)
	require.NotEmpty(t, caddyfiles)
	comment := regexp.MustCompile(`(?m)#.*$`)
	for _, file := range caddyfiles {
		folder := filepath.Base(filepath.Dir(file))
		t.Run(folder, func(t *testing.T) {
			content, err := os.ReadFile(file)
			require.NoError(t, err)
			assert.Contains(t, string(content), "For production, change this line to your ")
			directives := comment.ReplaceAllString(string(content), "")
			assert.Regexp(t, `(?m)^localhost(:8443)? \{$`, directives)
			assert.NotContains(t, directives, "example.com")
			commandsOf(t, folder, "elevenlabs send https://localhost")
			readme, err := os.ReadFile(filepath.Join(examples, folder, "README.md"))
			require.NoError(t, err)
			assert.Contains(t, string(readme), "\nIn production, change the marked line")
		})
	}
}

func TestExamplesInEachLanguage(t *testing.T) {
	t.Parallel()
	for _, language := range languages {
		t.Run(language.folder, func(t *testing.T) {
			address, output := startBackend(t, language.folder)
			s := startExample(t, language.folder, map[string]string{"localhost:3000": address})
			s.sendAsREADME()
			readme, err := os.ReadFile(filepath.Join(examples, language.folder, "README.md"))
			require.NoError(t, err)
			shown := eventLine.FindStringSubmatch(string(readme))
			require.NotNil(t, shown, "the README shows what the application prints")
			s.eventually("the application to print the event", func() bool {
				printed := eventLine.FindStringSubmatch(output.String())
				return printed != nil && printed[1] == shown[1]
			})

			client := s.client("HTTP/2.0")
			for _, body := range [][]byte{[]byte(transcript), audio(12 << 20), {}} {
				r := receivedOf(t, send(t, client, s.event(body)), body)
				if len(body) == len(transcript) {
					assert.Equal(t, "post_call_transcription", r.EventType)
					assert.Equal(t, "conv_1", r.ConversationID)
					assert.Equal(t, "agent_1", r.AgentID)
				}
				forged := send(t, client, s.signed(body, "wsec_other", time.Now()))
				assert.Equal(t, 401, forged.status)
				assert.Empty(t, forged.body, "the application did not answer")
			}
		})
	}
}

// Caddy breaks off if the client leaves while Caddy forwards the event.
func TestExamplesApplicationsTakeNoBodyThatIsCutOff(t *testing.T) {
	t.Parallel()
	for _, language := range languages {
		t.Run(language.folder, func(t *testing.T) {
			address, output := startBackend(t, language.folder)
			for range 5 {
				conn, err := net.Dial("tcp", address)
				require.NoError(t, err)
				fmt.Fprintf(conn, "POST /webhooks/elevenlabs HTTP/1.1\r\nHost: x\r\nX-ElevenLabs-Event-Id: cut-off\r\nContent-Length: 1000000\r\n\r\n%s", strings.Repeat("x", 500_000))
				require.NoError(t, conn.Close())
				whole, err := http.NewRequest(http.MethodPost, "http://"+address+"/webhooks/elevenlabs", strings.NewReader(transcript))
				require.NoError(t, err)
				whole.Header.Set("X-ElevenLabs-Event-Id", "whole")
				require.Equal(t, 200, send(t, http.DefaultClient, whole).status, "it still serves")
			}
			require.Eventually(t, func() bool { return strings.Contains(output.String(), fmt.Sprint(len(transcript), " bytes")) }, patience, 20*time.Millisecond)
			assert.NotContains(t, output.String(), "cut-off")
		})
	}
}

func TestExampleOfRoutingByEvent(t *testing.T) {
	t.Parallel()
	calls, audios := newBackend(t), newBackend(t)
	s := startExample(t, "routing-by-event", map[string]string{"localhost:3000": calls.address(), "localhost:3001": audios.address()})
	s.sendAsREADME()
	for to, event := range map[*backend]string{calls: "post_call_transcription", audios: "post_call_audio"} {
		deliveries := to.take()
		require.Len(t, deliveries, 1)
		assert.Equal(t, event, deliveries[0].header.Get("X-ElevenLabs-Event-Type"))
	}

	client := s.client("HTTP/2.0")
	for body, to := range map[string]*backend{
		transcript:                         calls,
		`{"type":"voice_removed"}`:         calls,
		`{"type":"of_next_year"}`:          calls,
		string(audio(100)):                 audios,
		`{"data":{},"type":"unreadable\"}`: calls,
	} {
		require.Equal(t, 200, send(t, client, s.event([]byte(body))).status)
		assert.Equal(t, 401, send(t, client, s.signed([]byte(body), "wsec_other", time.Now())).status)
		deliveries := to.take()
		require.Len(t, deliveries, 1, body)
		assert.Equal(t, digestOf([]byte(body)), deliveries[0].digest)
		assert.Equal(t, "true", deliveries[0].header.Get("X-ElevenLabs-Verified"))
	}
	assert.Empty(t, append(calls.take(), audios.take()...))
}

func TestExampleOfSeveralApplications(t *testing.T) {
	t.Parallel()
	crm, archive := newInboxLedger(t), newInboxLedger(t)
	types := make(chan string, 10)
	typesOf := func(_ http.ResponseWriter, r *http.Request, _ int) int {
		types <- r.Header.Get("X-ElevenLabs-Event-Type")
		return http.StatusOK
	}
	address, comeUp := archive.away(taken)
	s := startExample(t, "several-applications", map[string]string{"localhost:3000": crm.backend(typesOf), "localhost:3001": address})
	s.sendAsREADME()
	assert.Equal(t, "post_call_transcription", <-types)
	look := strings.ReplaceAll(commandsOf(t, "several-applications", "curl ")[0], "localhost:2019", s.admin)
	output, err := exec.Command("sh", "-c", look).Output()
	require.NoError(t, err)
	assert.Contains(t, string(output), `"destination":"archive"`)
	assert.Equal(t, 2, s.destinationState("archive").Events["waiting"]+s.destinationState("archive").Events["delivering"])
	comeUp()
	assert.Len(t, archive.got(s.server, 2), 2)
	assert.Empty(t, types, "the CRM takes transcripts only")
}

func TestExampleBehindALoadBalancer(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	port := strconv.Itoa(freePort(t))
	s := startExample(t, "behind-load-balancer", map[string]string{"localhost:3000": b.address(), "8080": port})
	s.sendAsREADME()
	require.Len(t, b.take(), 1)

	direct := s.event([]byte(transcript))
	direct.URL.Scheme, direct.URL.Host = "http", "127.0.0.1:"+port
	requireRejected(t, b, send(t, http.DefaultClient, direct), 403, "insecure_transport")

	fromBalancer := func(request *http.Request, proto, client string) answer {
		request.URL.Scheme, request.URL.Host = "http", "127.0.0.1:"+port
		request.Header.Set("X-Forwarded-Proto", proto)
		request.Header.Set("X-Forwarded-For", client)
		return send(t, http.DefaultClient, request)
	}
	const elevenLabs = "34.67.146.145"
	body := []byte(transcript)
	require.Equal(t, 200, fromBalancer(s.event(body), "https", elevenLabs).status)
	deliveries := b.take()
	require.Len(t, deliveries, 1)
	assert.Equal(t, digestOf(body), deliveries[0].digest)
	assert.Equal(t, "true", deliveries[0].header.Get("X-ElevenLabs-Verified"))
	requireRejected(t, b, fromBalancer(s.event(body), "http", elevenLabs), 403, "insecure_transport")
	requireRejected(t, b, fromBalancer(s.event(body), "https", "192.0.2.1"), 403, "source_not_allowed")
	requireRejected(t, b, fromBalancer(s.event(body), "https", elevenLabs+", 192.0.2.1"), 403, "source_not_allowed")
	requireRejected(t, b, fromBalancer(s.signed(body, "wsec_other", time.Now()), "https", elevenLabs), 401, "signature_mismatch")
}

func TestExampleOfSeveralAgents(t *testing.T) {
	t.Parallel()
	address, output := startBackend(t, "python")
	s := startExample(t, "several-agents", map[string]string{"localhost:3000": address})
	s.sendAsREADME()
	s.eventually("the application to print both events", func() bool { return len(eventLine.FindAllString(output.String(), -1)) == 2 })

	client := s.client("HTTP/2.0")
	body := []byte(transcript)
	for key, name := range map[string]string{secret: "support", "wsec_sales": "sales"} {
		r := receivedOf(t, send(t, client, s.signed(body, key, time.Now())), body)
		assert.Equal(t, name, r.SecretName)
		assert.Equal(t, "agent_1", r.AgentID)
	}
	assert.Equal(t, 401, send(t, client, s.signed(body, "wsec_other", time.Now())).status)
}

func TestExamplesWithTheSecretInAFile(t *testing.T) {
	t.Parallel()
	for folder, upstream := range map[string]string{"systemd": "localhost:3000", "compose": "app:3000"} {
		t.Run(folder, func(t *testing.T) {
			b := newBackend(t)
			s := startExample(t, folder, map[string]string{upstream: b.address()})
			s.sendAsREADME()
			require.Len(t, b.take(), 1)
			client := s.client("HTTP/2.0")
			require.Equal(t, 200, send(t, client, s.event([]byte(transcript))).status)
			require.Len(t, b.take(), 1)
			requireRejected(t, b, send(t, client, s.signed([]byte(transcript), "wsec_other", time.Now())), 401, "signature_mismatch")
			assert.NotContains(t, s.log.String(), "were removed", "the handler does not warn about the line end of a file")
		})
	}
}

func TestExampleOfFastAPIWorksOnARepeatedEventOnce(t *testing.T) {
	t.Parallel()
	address, output := startBackend(t, "fastapi")
	s := startExample(t, "fastapi", map[string]string{"localhost:3000": address})
	client := s.client("HTTP/2.0")
	event := []byte(transcript)
	for range 3 {
		receivedOf(t, send(t, client, s.event(event)), event)
	}
	receivedOf(t, send(t, client, s.event(audio(100))), audio(100))
	s.eventually("the work on the last event", func() bool { return strings.Contains(output.String(), "post_call_audio ") })
	assert.Equal(t, 1, strings.Count(output.String(), "post_call_transcription "))
}

// The application comes only after the event, as in the README.
func TestExampleOfAnInbox(t *testing.T) {
	t.Parallel()
	address := nowhere(t)
	s := startExample(t, "inbox", map[string]string{"localhost:3000": address})
	s.awaitInboxes(1)
	s.sendAsREADME()
	look := strings.ReplaceAll(commandsOf(t, "inbox", "curl ")[0], "localhost:2019", s.admin)
	output, err := exec.Command("sh", "-c", look).Output()
	require.NoError(t, err)
	assert.Contains(t, string(output), `"inbox":"default"`)
	assert.Equal(t, 1, waiting(s.inboxesByName()["default"]))

	b := newBackend(t)
	b.comeUp(t, address, 0)
	require.Eventually(t, func() bool { return len(b.ids()) > 0 }, 2*patience, 50*time.Millisecond, "the inbox pauses for at most 30 seconds")
	deliveries := b.take()
	require.Len(t, deliveries, 1)
	assert.Equal(t, "post_call_transcription", deliveries[0].header.Get("X-ElevenLabs-Event-Type"))
	requireRejected(t, b, send(t, s.client("HTTP/2.0"), s.signed([]byte(transcript), "wsec_other", time.Now())), 401, "signature_mismatch")
}
