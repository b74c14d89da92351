package send

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/clitest"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/delivery"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/internal/buildinfo"
)

// receiver answers as the handler does, and keeps what it got.
type receiver struct {
	mu       sync.Mutex
	requests []*http.Request
	bodies   [][]byte
}

func (h *receiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	h.mu.Lock()
	h.requests = append(h.requests, r)
	h.bodies = append(h.bodies, body)
	h.mu.Unlock()

	r.Body = io.NopCloser(bytes.NewReader(body))
	clitest.Protected(clitest.Secret, clitest.Now, clitest.Answering(http.StatusOK)).ServeHTTP(w, r)
}

func TestSendPrints(t *testing.T) {
	for _, test := range []struct {
		name, setUp string
		handler     http.Handler
		args        string
		code        int
	}{
		{"one", "elevenlabs_webhook", new(receiver), "", 0},
		{"all", "elevenlabs_webhook", new(receiver), "--all", 0},
		{"count", "elevenlabs_webhook", new(receiver), "--event post_call_audio --minutes 0.5 --count 3", 0},
		{"forge", "elevenlabs_webhook", new(receiver), "--forge stale --event flows_generation", 0},
		{"forge_json", "elevenlabs_webhook", new(receiver), "--forge missing --file testdata/send/body.json --json", 0},
		{"wrong_path", "answers 404", clitest.Answering(404), "--all", 2},
		{"accepts_anything", "answers 200", clitest.Answering(200), "--all", 2},
		{"accepts_anything_json", "answers 200", clitest.Answering(200), "--forge body --file testdata/send/body.json --json", 2},
		{"not_200", "answers 204", clitest.Answering(204), "", 2},
		{"redirect", "answers 308 to https://www.example.com/", clitest.Answering(308, "Location", "https://www.example.com/"), "", 2},
		{"redirect_forged", "answers 302 to /login", clitest.Answering(302, "Location", "/login"), "--forge signature", 2},
		{"page", "answers 404 with a page of Express", page(404), "", 2},
		{"page_json", "answers 404 with a page of Express", page(404), "--json --file testdata/send/body.json", 2},
		{"login", "answers 200 with a page", page(200), "--all", 2},
		{"redirect_json", "answers 301 to /webhooks/elevenlabs/", clitest.Answering(301, "Location", "/webhooks/elevenlabs/"), "--json --file testdata/send/body.json", 2},
		{"stored", "answers 200 stored", clitest.Answering(200, delivery.HeaderInbox, "stored"), "", 0},
		{"stored_json", "answers 200 repeat", clitest.Answering(200, delivery.HeaderInbox, "repeat"), "--json --file testdata/send/body.json", 0},
		{"another_verifier", "answers 403", clitest.Answering(403), "--forge body", 0},
		{"another_reason", "answers 403 insecure_transport", clitest.Answering(403, delivery.HeaderRejection, "insecure_transport"), "--forge stale", 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			target, trust := clitest.Server(t, test.handler)
			args := append([]string{"send", target}, strings.Fields(test.args)...)
			outcome := clitest.Run(NewCmdSend, clitest.Stopped, "", append(args, trust...)...)
			assert.Equal(t, test.code, outcome.Code, outcome.Err)
			assert.Empty(t, outcome.Stderr)
			clitest.Golden(t, "testdata/send/"+test.name+".txtar", clitest.Case{
				Command: strings.TrimSpace("send https://hooks.example.com/webhooks/elevenlabs " + test.args), Code: outcome.Code,
				Parts: []clitest.Part{{Name: "server", Text: test.setUp}, {Name: "output", Text: outcome.Text()}},
			})
		})
	}
}

// page answers every request with a page as Express makes it.
func page(status int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<title>Error</title>\n</head>\n<body>\n<pre>Cannot POST /webhooks/elevenlabs</pre>\n</body>\n</html>\n")
	})
}

func TestSendSendsAsElevenLabsDoes(t *testing.T) {
	for eventType, length := range map[string]int64{"post_call_transcription": 1, "post_call_audio": -1} {
		t.Run(eventType, func(t *testing.T) {
			backend := new(receiver)
			target, trust := clitest.Server(t, backend)
			outcome := clitest.Run(NewCmdSend, clitest.Stopped, "", append([]string{"send", target, "--json", "--event", eventType}, trust...)...)
			require.NoError(t, outcome.Err)
			require.Len(t, backend.requests, 1)
			r, body := backend.requests[0], backend.bodies[0]
			assert.Equal(t, "POST /webhooks/elevenlabs HTTP/1.1", r.Method+" "+r.RequestURI+" "+r.Proto)
			assert.Equal(t, http.Header{
				"User-Agent": {"Python/3.12 aiohttp/3.11.16"}, "Accept": {"*/*"}, "Content-Type": {"application/json"},
				"Connection": {"close"}, "X-Elevenlabs-Test": {"caddy-elevenlabs/" + buildinfo.Read().Short()}, "Elevenlabs-Signature": r.Header["Elevenlabs-Signature"],
			}, withoutLength(r.Header))
			if length > 0 {
				assert.EqualValues(t, len(body), r.ContentLength)
			} else {
				assert.Equal(t, []string{"chunked"}, r.TransferEncoding)
			}

			var line delivery.Result
			require.NoError(t, json.Unmarshal([]byte(outcome.Stdout), &line))
			sum := sha256.Sum256(body)
			assert.Equal(t, hex.EncodeToString(sum[:]), line.EventID)
			assert.EqualValues(t, len(body), line.Bytes)
		})
	}
}

// withoutLength returns headers without the one that depends on the body.
func withoutLength(header http.Header) http.Header {
	header = header.Clone()
	header.Del("Content-Length")
	return header
}

func TestSendAddsHeadersOrReplacesThem(t *testing.T) {
	backend := new(receiver)
	target, trust := clitest.Server(t, backend)
	outcome := clitest.Run(NewCmdSend, clitest.Stopped, "", append([]string{
		"send", target, "--header", "X-Forwarded-For=34.67.146.145", "--header", "CF-Visitor: {\"a\":\"b=c\"}",
		"--header", "x-tag=1", "--header", "X-Tag=2", "--header", "user-agent=curl/8", "--header", "Accept=",
	}, trust...)...)
	require.NoError(t, outcome.Err)
	header := backend.requests[0].Header
	assert.Equal(t, "34.67.146.145", header.Get("X-Forwarded-For"))
	assert.Equal(t, `{"a":"b=c"}`, header.Get("CF-Visitor"))
	assert.Equal(t, []string{"1", "2"}, header.Values("X-Tag"))
	assert.Equal(t, []string{"curl/8"}, header.Values("User-Agent"))
	assert.Equal(t, []string{""}, header.Values("Accept"))
}

func TestSendMakesEveryEventAnew(t *testing.T) {
	backend := new(receiver)
	target, trust := clitest.Server(t, backend)
	outcome := clitest.Run(NewCmdSend, clitest.Stopped, "", append([]string{"send", target, "--count", "20", "--concurrency", "5"}, trust...)...)
	require.NoError(t, outcome.Err)
	bodies := map[string]bool{}
	for _, body := range backend.bodies {
		bodies[string(body)] = true
	}
	assert.Len(t, bodies, 20)
	assert.Equal(t, 1+20+2, strings.Count(outcome.Stdout, "\n"))
	assert.Contains(t, outcome.Stdout, "\n20 deliveries, all as expected\n")
}

func TestSendTakesTheBodyFromAFileOrStandardInputAsItIs(t *testing.T) {
	body := "\ufeff{ \"type\" :\r\n\"x\" }\n\xff"
	file := filepath.Join(t.TempDir(), "body")
	require.NoError(t, os.WriteFile(file, []byte(body), 0o600))
	for _, source := range []string{file, "-"} {
		backend := new(receiver)
		target, trust := clitest.Server(t, backend)
		outcome := clitest.Run(NewCmdSend, clitest.Stopped, body, append([]string{"send", target, "--file", source}, trust...)...)
		require.NoError(t, outcome.Err)
		require.Len(t, backend.bodies, 1)
		assert.Equal(t, body, string(backend.bodies[0]))
	}
}

func TestSendTakesTheNameOfASubscriptionForItsFirstType(t *testing.T) {
	for name, want := range map[string]string{
		"audio": "post_call_audio", "transcript": "post_call_transcription", "speech_to_text": "speech_to_text_transcription",
		"flows": "flows_generation", "voice_library_removal_notice": "voice_removal_notice", "call_initiation_failure": "call_initiation_failure",
	} {
		backend := new(receiver)
		target, trust := clitest.Server(t, backend)
		outcome := clitest.Run(NewCmdSend, clitest.Stopped, "", append([]string{"send", target, "--json", "--event", name}, trust...)...)
		require.NoError(t, outcome.Err)
		var line delivery.Result
		require.NoError(t, json.Unmarshal([]byte(outcome.Stdout), &line))
		assert.Equal(t, want, line.Event)
	}
}

func TestSendChangesTheSampleAsAsked(t *testing.T) {
	for args, want := range map[string]string{
		"--failed":                                          `"status": "failed"`,
		"--event audio --failed":                            `AAAAAAAAAAAAA"}}`,
		"--event voice_removed --set type=x":                `{"type": "x", `,
		"--all --set event_timestamp=7":                     `"event_timestamp": 7, `,
		"--set data.agent_id=a --set data.metadata.cost=12": `"data": {"agent_id": "a", `,
		"--turns 1":                                         `"call_duration_secs": 4, "cost": 4, `,
	} {
		backend := new(receiver)
		target, trust := clitest.Server(t, backend)
		outcome := clitest.Run(NewCmdSend, clitest.Stopped, "", append(append([]string{"send", target}, strings.Fields(args)...), trust...)...)
		require.NoError(t, outcome.Err, args)
		for _, body := range backend.bodies {
			if !strings.Contains(args, "--all") {
				assert.Contains(t, string(body), want, args)
			}
		}
		assert.Contains(t, string(backend.bodies[0]), want, args)
	}
}

func TestPrintPrintsABodyThatFileSends(t *testing.T) {
	t.Setenv("ELEVENLABS_WEBHOOK_SECRET", "") // which --print does not need
	printed := clitest.Run(NewCmdSend, clitest.Stopped, "", "send", "--print", "--event", "audio", "--minutes", "0.01", "--set", "data.agent_id=agent_7")
	require.NoError(t, printed.Err)
	assert.Regexp(t, `^\{"type": "post_call_audio", .*"agent_id": "agent_7", .*"\}\}$`, printed.Stdout)

	backend := new(receiver)
	target, trust := clitest.Server(t, backend)
	outcome := clitest.Run(NewCmdSend, clitest.Stopped, printed.Stdout, append([]string{"send", target, "--file", "-"}, trust...)...)
	require.NoError(t, outcome.Err)
	assert.Equal(t, printed.Stdout, string(backend.bodies[0]))
}

func TestSendCompletesTheValuesOfItsFlags(t *testing.T) {
	for flag, want := range map[string][]string{
		"--event": {"post_call_transcription", "post_call_audio", "dubbing_project_ready", "transcript", "audio", "flows"},
		"--forge": {"signature", "stale", "missing"},
	} {
		outcome := clitest.Run(NewCmdSend, clitest.Stopped, "", "__complete", "send", flag, "")
		require.NoError(t, outcome.Err)
		var values []string
		for line := range strings.Lines(outcome.Stdout) {
			value, _, _ := strings.Cut(strings.TrimSpace(line), "\t")
			values = append(values, value)
		}
		assert.Subset(t, values, want)
		assert.NotContains(t, values, "agent_qa", "no sample is known")
		assert.Equal(t, ":4", values[len(values)-1], "no names of files")
	}
}

func TestSendReachesAnotherAddressUnderTheSameName(t *testing.T) {
	backend := new(receiver)
	target, trust := clitest.Server(t, backend)
	address := strings.TrimSuffix(strings.TrimPrefix(target, "https://"), "/webhooks/elevenlabs")
	_, port, err := net.SplitHostPort(address)
	require.NoError(t, err)

	for target, resolve := range map[string]string{
		"https://example.com/hook":          "example.com:" + address, // httptest's certificate is for example.com
		"https://Example.com:" + port + "/": "example.com:127.0.0.1",
	} {
		backend.requests = nil
		outcome := clitest.Run(NewCmdSend, clitest.Stopped, "", append([]string{"send", target, "--resolve", resolve}, trust...)...)
		require.NoError(t, outcome.Err, outcome.Stdout)
		require.Len(t, backend.requests, 1)
		assert.Equal(t, "example.com", strings.ToLower(backend.requests[0].TLS.ServerName))
		assert.Contains(t, target, "://"+backend.requests[0].Host+"/")
	}
}

func TestSendTrustsAnUnknownCertificateOnlyWithInsecure(t *testing.T) {
	target, _ := clitest.Server(t, new(receiver))
	outcome := clitest.Run(NewCmdSend, clitest.Stopped, "", "send", target)
	assert.Equal(t, 2, outcome.Code)
	assert.Contains(t, outcome.Stdout, "certificate signed by unknown authority; see --ca and --insecure")
	assert.NoError(t, clitest.Run(NewCmdSend, clitest.Stopped, "", "send", target, "--insecure").Err)
}

func TestSendEndsInGoodOrderWhenInterrupted(t *testing.T) {
	ctx, interrupt := context.WithCancel(context.Background())
	var seen int
	backend := new(receiver)
	target, trust := clitest.Server(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		backend.ServeHTTP(w, r)
		if seen++; seen == 3 { // one at a time
			interrupt()
			<-r.Context().Done()
			panic(http.ErrAbortHandler) // no answer
		}
	}))
	var stdout bytes.Buffer
	outcome := clitest.RunWith(ctx, NewCmdSend, clitest.Stopped, strings.NewReader(""), &stdout, append([]string{"send", target, "--count", "1000"}, trust...)...)
	assert.Equal(t, 1, outcome.Code)
	assert.EqualError(t, outcome.Err, "interrupted: 2 of 1000 deliveries made")
	assert.NotContains(t, stdout.String(), "interrupted", "the program prints the error")
	assert.NotContains(t, stdout.String(), "FAILED", "what was cut off by us tells nothing")
}

func TestSendSaysHowItIsUsed(t *testing.T) {
	t.Setenv("ELEVENLABS_WEBHOOK_SECRET", clitest.Secret)
	const url = "https://example.com/"
	for _, test := range []struct {
		says string
		args []string
	}{
		{"give one argument, not 0", []string{"send"}},
		{"give one argument, not 2", []string{"send", url, url}},
		{`"ftp://example.com" is not a URL`, []string{"send", "ftp://example.com"}},
		{`"example.com" is not a URL`, []string{"send", "example.com"}},
		{`"https:///x" is not a URL`, []string{"send", "https:///x"}},
		{`there is no event "transcripts" (did you mean transcript?): --help lists them`, []string{"send", url, "--event", "transcripts"}},
		{"ElevenLabs does not document what it sends for agent_qa", []string{"send", url, "--event", "agent_qa"}},
		{"--minutes changes nothing in post_call_transcription: it is for --event post_call_audio, or --all", []string{"send", url, "--minutes", "30"}},
		{"--minutes changes nothing in voice_removed", []string{"send", url, "--event", "voice_removed", "--minutes", "1"}},
		{"--minutes changes nothing in the body of --file", []string{"send", url, "--file", "testdata/send/body.json", "--minutes", "30"}},
		{"--turns changes nothing in post_call_audio: it is for --event post_call_transcription, or --all", []string{"send", url, "--event", "audio", "--turns", "30"}},
		{"--failed changes nothing in voice_removed: it is for --event post_call_transcription, or --all", []string{"send", url, "--event", "voice_removed", "--failed"}},
		{"--set changes nothing in the body of --file", []string{"send", url, "--file", "testdata/send/body.json", "--set", "type=x"}},
		{"[failed minutes] were all set", []string{"send", url, "--event", "audio", "--failed", "--minutes", "2"}},
		{"[failed turns] were all set", []string{"send", url, "--failed", "--turns", "2"}},
		{"--set: must be path=value", []string{"send", url, "--set", "type"}},
		{"--set: there is no data.voice_id: data has agent_id", []string{"send", url, "--event", "audio", "--set", "data.voice_id=x"}},
		{"--set: there is no data.voice_id: data has agent_id", []string{"send", url, "--all", "--set", "data.voice_id=x"}},
		{"standard input is empty: there is no body to sign", []string{"send", url, "--file", "-"}},
		{"testdata/send/empty.json is empty: there is no body to sign", []string{"send", url, "--file", "testdata/send/empty.json"}},
		{"--turns changes nothing in the event of --last", []string{"send", url, "--last", "--turns", "30"}},
		{"there is no event \"audoi\" (did you mean audio?)", []string{"send", url, "--last", "--event", "audoi"}},
		{"there is no event \"agent_qa\"", []string{"send", url, "--last", "--event", "agent_qa"}},
		{"--inbox says where --last finds the event: it needs --last", []string{"send", url, "--inbox", "sales"}},
		{"--address says where --last finds the event: it needs --last", []string{"send", url, "--address", "localhost:2020"}},
		{"--inbox is empty", []string{"send", url, "--last", "--inbox", ""}},
		{"[file last] were all set", []string{"send", url, "--last", "--file", "testdata/send/body.json"}},
		{"[all last] were all set", []string{"send", url, "--last", "--all"}},
		{"--print sends nothing: leave --last out", []string{"send", "--print", "--last"}},
		{"--print sends nothing: leave the URL out", []string{"send", url, "--print"}},
		{"--print sends nothing: leave --count out", []string{"send", "--print", "--count", "2"}},
		{"--print sends nothing: leave --secret-file out", []string{"send", "--print", "--secret-file", "x"}},
		{"--print sends nothing: leave --forge out", []string{"send", "--print", "--forge", "body"}},
		{"--print sends nothing: leave --all out", []string{"send", "--print", "--all"}},
		{"--secret-file is given twice", []string{"send", url, "--secret-file", "a", "--secret-file", "b"}},
		{"--event is given twice", []string{"send", url, "--event", "audio", "--event", "flows"}},
		{`there is no forgery "signatur" (did you mean signature?): --help lists them`, []string{"send", url, "--forge", "signatur"}},
		{`there is no forgery "time": --help`, []string{"send", url, "--forge", "time"}},
		{"[all event] were all set", []string{"send", url, "--all", "--event", "post_call_audio"}},
		{"[all file] were all set", []string{"send", url, "--all", "--file", "x"}},
		{"[all forge] were all set", []string{"send", url, "--all", "--forge", "body"}},
		{"--event is empty", []string{"send", url, "--event", ""}},
		{"--file is empty", []string{"send", url, "--file", ""}},
		{"--forge is empty", []string{"send", url, "--forge", ""}},
		{"--ca is empty", []string{"send", url, "--ca", ""}},
		{"--resolve is empty", []string{"send", url, "--resolve", ""}},
		{"reading the body: open no-such-file", []string{"send", url, "--file", "no-such-file"}},
		{"reading --ca: open no-such-file", []string{"send", url, "--ca", "no-such-file"}},
		{"there is no certificate in send.go", []string{"send", url, "--ca", "send.go"}},
		{"--count must be from 1 to 1000000, not 0", []string{"send", url, "--count", "0"}},
		{"--count must be from 1 to 1000000, not 2000000", []string{"send", url, "--count", "2000000"}},
		{"--concurrency must be from 1 to 1000, not 0", []string{"send", url, "--concurrency", "0"}},
		{"--turns must be from 1 to 100000, not -1", []string{"send", url, "--turns", "-1"}},
		{"--turns must be from 1 to 100000, not 100001", []string{"send", url, "--turns", "100001"}},
		{"1440, which is a day, not NaN", []string{"send", url, "--minutes", "NaN"}},
		{"1440, which is a day, not 1e+300", []string{"send", url, "--minutes", "1e300"}},
		{"--header must be name=value", []string{"send", url, "--header", "name"}},
		{"--header must be name=value", []string{"send", url, "--header", "=value"}},
		{"--header must be name=value", []string{"send", url, "--header", "a b=value"}},
		{"--header must be name=value", []string{"send", url, "--header", "name=va\nlue"}},
		{"--header cannot set Host", []string{"send", url, "--header", "host: other.example.com"}},
		{"--header cannot set Content-Length", []string{"send", url, "--header", "content-length=1"}},
		{"--header cannot set Elevenlabs-Signature", []string{"send", url, "--header", "elevenlabs-signature=t=1"}},
		{"--timeout must be above 0, not 0s", []string{"send", url, "--timeout", "0s"}},
		{"only one thing can come from standard inp", []string{"send", url, "--file", "-", "--secret-file", "-"}},
	} {
		outcome := clitest.Run(NewCmdSend, clitest.Stopped, "", test.args...)
		assert.ErrorContains(t, outcome.Err, test.says)
		assert.Equal(t, 1, outcome.Code, test.says)
		assert.Empty(t, outcome.Stdout, test.says)
	}
}
