package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	official "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	signKey    = "whsec_AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB"
	oldSignKey = "whsec_AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI="
	sign       = "sign {env.SIGN_KEY}\nsign {env.OLD_SIGN_KEY}\n"
)

var signEnv = []string{"SIGN_KEY=" + signKey, "OLD_SIGN_KEY=" + oldSignKey}

// signedBackend is an application that takes only what Caddy signed.
type signedBackend struct {
	*httptest.Server
	mu       sync.Mutex
	answers  []int    // one a request; 200 when there are none left
	problems []string // of requests that either key does not verify
	header   []http.Header
	sizes    []int
}

func newSignedBackend(t testing.TB, answers ...int) *signedBackend {
	b := &signedBackend{answers: answers}
	b.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if !assert.NoError(t, err) {
			return
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		b.header = append(b.header, r.Header)
		b.sizes = append(b.sizes, len(body))
		for _, key := range []string{signKey, oldSignKey} {
			library, err := official.NewWebhook(key)
			assert.NoError(t, err)
			if err := library.Verify(body, r.Header); err != nil {
				b.problems = append(b.problems, err.Error())
			}
		}
		status := http.StatusOK
		if len(b.answers) > 0 {
			status, b.answers = b.answers[0], b.answers[1:]
		}
		w.WriteHeader(status)
	}))
	t.Cleanup(b.Close)
	return b
}

func (b *signedBackend) address() string { return b.Listener.Addr().String() }

// taken returns the headers of the requests so far, and requires that all are signed.
func (b *signedBackend) taken(t testing.TB) []http.Header {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	assert.Empty(t, b.problems)
	return b.header
}

// The library gives the application 5 minutes, so an old signature would be rejected.
func TestEachAttemptOfTheInboxIsSignedAnew(t *testing.T) {
	t.Parallel()
	b := newSignedBackend(t, 500, 503)
	s := start(t, webhook(b.address(), sign+"inbox {\ndatabase "+newInboxFile(t)+"\nretry 1100ms\n}"), signEnv...)
	request := s.event([]byte(transcript))
	request.Header["webhook_id"] = []string{"spoofed"}
	require.Equal(t, 200, send(t, s.client("HTTP/1.1"), request).status)
	s.eventually("three attempts", func() bool { return len(b.taken(t)) == 3 })

	times := map[string]bool{}
	for i, header := range b.taken(t) {
		times[header.Get("webhook-timestamp")] = true
		assert.Equal(t, digestOf([]byte(transcript)), header.Get("webhook-id"))
		assert.Equal(t, strconv.Itoa(i+1), header.Get("X-ElevenLabs-Attempt"))
		for name := range header {
			assert.NotContains(t, strings.ToLower(name), "_")
		}
	}
	assert.Len(t, times, 3, "the pause is longer than a second")

	status := s.get("/elevenlabs/status")
	assert.Contains(t, status, `"sign":["{env.SIGN_KEY}","{env.OLD_SIGN_KEY}"]`)
	for _, text := range []string{s.log.String(), status, s.get("/config/")} {
		assert.NotContains(t, text, "AQEBAQEB")
		assert.NotContains(t, text, "AgICAgIC")
	}
}

func TestSignatureFitsEachFormOfReverseProxy(t *testing.T) {
	t.Parallel()
	closed := nowhere(t)
	for _, test := range []struct{ name, site string }{
		{"inside", "elevenlabs_webhook {\nsecret {env.WEBHOOK_SECRET}\n$SIGN\nreverse_proxy $BACKEND\n}"},
		{"after", "elevenlabs_webhook {\nsecret {env.WEBHOOK_SECRET}\n$SIGN\n}\nreverse_proxy $BACKEND"},
		{"two upstreams, one of them down", "elevenlabs_webhook {\nsecret {env.WEBHOOK_SECRET}\n$SIGN\nreverse_proxy " + closed + " $BACKEND {\nlb_policy first\nlb_retries 2\nfail_duration 10s\n}\n}"},
		{"buffers and another path", "elevenlabs_webhook {\nsecret {env.WEBHOOK_SECRET}\n$SIGN\nreverse_proxy $BACKEND {\nrequest_buffers 4KiB\nrewrite /other\n}\n}"},
		{"other options of the transport", "elevenlabs_webhook {\nsecret {env.WEBHOOK_SECRET}\n$SIGN\nreverse_proxy $BACKEND {\ntransport http {\ncompression off\nkeepalive off\n}\n}\n}"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := newSignedBackend(t)
			s := start(t, site("route {\n"+strings.NewReplacer("$SIGN", sign, "$BACKEND", b.address()).Replace(test.site)+"\n}"), signEnv...)
			for _, body := range [][]byte{[]byte(transcript), {}, audio(3 << 20)} {
				require.Equal(t, 200, send(t, s.client("HTTP/2.0"), chunked(s.event(body))).status)
			}
			assert.Len(t, b.taken(t), 3)
		})
	}
}

func TestHeaderUpCanRemoveTheSignature(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	s := start(t, webhook(b.address()+" {\nheader_up -Webhook-Timestamp\nheader_up webhook-id {http.elevenlabs.conversation_id}\n}", sign), signEnv...)
	require.Equal(t, 200, send(t, s.client("HTTP/1.1"), s.event([]byte(transcript))).status)
	header := b.take()[0].header
	assert.Empty(t, header.Values("webhook-timestamp"))
	assert.Equal(t, []string{"conv_1"}, header.Values("webhook-id"))
	assert.Len(t, strings.Fields(header.Get("webhook-signature")), 2)
}

func TestALargeEventIsSignedInLittleMemory(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector takes memory of its own")
	}
	for name, inbox := range map[string]string{"at once": "", "from an inbox": "inbox {\ndatabase " + newInboxFile(t) + "\n}"} {
		t.Run(name, func(t *testing.T) {
			b := newSignedBackend(t)
			s := start(t, webhook(b.address(), sign+inbox), signEnv...)
			client := s.client("HTTP/1.1")
			require.Equal(t, 200, send(t, client, s.event([]byte(transcript))).status)
			s.resetPeakMemory()
			before := s.peakMemory()
			body := audio(100<<20 - 1<<10)
			require.Equal(t, 200, send(t, client, s.event(body)).status)
			require.Eventually(t, func() bool { return len(b.taken(t)) == 2 }, 3*patience, 50*time.Millisecond)
			assert.Equal(t, []int{len(transcript), len(body)}, b.sizes)
			t.Logf("%d MiB of memory before, %d MiB at most", before, s.peakMemory())
			assert.Less(t, s.peakMemory(), before+50, "MiB")
		})
	}
}

func TestAWrongKeyToSignWithStopsTheStartAndIsNotShown(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "key")
	require.NoError(t, os.WriteFile(file, []byte("whsec_AQEBAQEB\n"), 0o600))
	for _, test := range []struct{ value, says string }{
		{"{file." + file + "}", "sign 1: the key in {file." + file + "} is wrong: it has 6 bytes after base64 is decoded, and must have from 24 to 64"},
		{"whsec_AQEBAQEB", "sign 1: the key in the configuration is wrong: it has 6 bytes"},
		{"{env.whsec_AQEBAQEB}", "sign 1: the secret itself seems to stand in place of a name"},
		{"{env.NOT_SET_ANYWHERE}", "sign 1: evaluated placeholder {env.NOT_SET_ANYWHERE} is empty"},
	} {
		config := filepath.Join(t.TempDir(), "Caddyfile")
		require.NoError(t, os.WriteFile(config, []byte("{\nadmin off\n}\n:0 {\nelevenlabs_webhook {\nsecret {env.WEBHOOK_SECRET}\nsign "+test.value+"\n}\n}\n"), 0o600))
		for _, arguments := range [][]string{{"validate", "--config", config}, {"elevenlabs", "doctor", "--config", config}} {
			command := exec.Command(binary, arguments...)
			command.Env = append(os.Environ(), "WEBHOOK_SECRET="+secret)
			output, err := command.CombinedOutput()
			require.Error(t, err, "%s", output)
			assert.Contains(t, string(output), test.says)
			assert.NotContains(t, string(output), "AQEBAQEB", "%v", arguments)
		}
	}
}

// startSigned runs the application of the example signed, with a key.
func startSigned(t testing.TB, key string) (address string, output *lockedBuffer) {
	t.Helper()
	node, npm := runtimeOf(t, "node"), runtimeOf(t, "npm")
	dir := t.TempDir()
	for _, name := range []string{"package.json", "package-lock.json", "backend.mjs"} {
		content, err := os.ReadFile(filepath.Join(examples, "signed", name))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), content, 0o600))
	}
	install := exec.Command(npm, "ci", "--prefer-offline", "--no-audit", "--no-fund", "--loglevel=error")
	install.Dir = dir
	if output, err := install.CombinedOutput(); err != nil {
		skip(t, fmt.Sprintf("npm does not install standardwebhooks: %v: %s", err, output))
	}
	port := strconv.Itoa(freePort(t))
	address, output = "127.0.0.1:"+port, new(lockedBuffer)
	command := exec.Command(node, "backend.mjs")
	command.Dir = dir
	command.Env = append(os.Environ(), "PORT="+port, "SIGN_KEY="+key)
	command.Stdout, command.Stderr = output, output
	require.NoError(t, command.Start())
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
		if t.Failed() {
			t.Log(output.String())
		}
	})
	require.Eventually(t, func() bool {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			conn.Close()
		}
		return err == nil
	}, patience, 20*time.Millisecond, "the application")
	return address, output
}

func TestExampleOfASignedEventVerifiesItWithTheOfficialJavaScriptLibrary(t *testing.T) {
	t.Parallel()
	run, assignments := commandLine(commandsOf(t, "signed", " run --config ")[0])
	require.NotNil(t, run)
	_, key, found := strings.Cut(assignments[1], "=")
	require.True(t, found)
	assert.Contains(t, commandsOf(t, "signed", "node ")[0], "SIGN_KEY="+key+" ", "both have the same key")
	assert.Equal(t, "npm ci --prefix examples/signed", commandsOf(t, "signed", "npm ")[0])

	address, output := startSigned(t, key)
	s := startExample(t, "signed", map[string]string{"localhost:3000": address})
	s.sendAsREADME()
	s.eventually("the application to print the event", func() bool { return eventLine.MatchString(output.String()) })
	client := s.client("HTTP/2.0")
	for _, body := range []string{transcript, string(audio(12 << 20)), `{"type":"grüße 👋","data":{}}`} {
		got := send(t, client, s.event([]byte(body)))
		require.Equal(t, 200, got.status)
		assert.Equal(t, digestOf([]byte(body)), got.body)
	}
	assert.NotContains(t, output.String(), "rejected")

	forge := strings.ReplaceAll(commandsOf(t, "signed", "curl ")[0], "localhost:3000", address)
	forged, err := exec.Command("sh", "-c", forge).Output()
	require.NoError(t, err)
	assert.Contains(t, string(forged), "401 Unauthorized")
	s.eventually("the application to say why", func() bool { return strings.Contains(output.String(), "rejected: Missing required headers") })
}

func TestAKeyIsChangedWithoutAGap(t *testing.T) {
	t.Parallel()
	for key, verifies := range map[string]bool{signKey: true, oldSignKey: true, "whsec_" + strings.Repeat("AwMD", 8): false} {
		address, output := startSigned(t, key)
		s := start(t, webhook(address, sign), signEnv...)
		got := send(t, s.client("HTTP/1.1"), s.event([]byte(transcript)))
		if verifies {
			assert.Equal(t, 200, got.status, output.String())
		} else {
			assert.Equal(t, 401, got.status)
			s.eventually("the application to say why", func() bool { return strings.Contains(output.String(), "No matching signature found") })
		}
	}
}

func TestThePagesCommandMakesAKey(t *testing.T) {
	t.Parallel()
	runtimeOf(t, "openssl")
	dir := t.TempDir()
	command := exec.Command("sh", "-c", findBlock(t, "docs/sign.md", "sh", "umask").text)
	command.Dir = dir
	output, err := command.CombinedOutput()
	require.NoError(t, err, "%s", output)
	file := filepath.Join(dir, "sign_key")
	info, err := os.Stat(file)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode())
	b := newBackend(t)
	s := start(t, webhook(b.address(), "sign {file."+file+"}"))
	require.Equal(t, 200, send(t, s.client("HTTP/1.1"), s.event([]byte(transcript))).status)
	assert.NotEmpty(t, b.take()[0].header.Get("webhook-signature"))
	assert.NotContains(t, s.log.String(), "were removed", "the handler does not warn about the line end of a file")
}

// The page's function uses nothing but Python's standard library.
func TestThePagesPythonVerifiesWhatCaddySigned(t *testing.T) {
	t.Parallel()
	python := runtimeOf(t, "python3")
	function := findBlock(t, "docs/sign.md", "python", "import base64").text
	bodies := make(chan []byte, 1)
	headers := make(chan http.Header, 1)
	b := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		bodies <- body
		headers <- r.Header
	}))
	t.Cleanup(b.Close)
	s := start(t, webhook(b.Listener.Addr().String(), sign), signEnv...)
	require.Equal(t, 200, send(t, s.client("HTTP/1.1"), s.event([]byte(transcript))).status)
	body, header := <-bodies, <-headers
	lower := map[string]string{}
	for name := range header {
		lower[strings.ToLower(name)] = header.Get(name)
	}
	for _, test := range []struct {
		name, key string
		change    func(body []byte, header map[string]string) []byte
		verifies  string
	}{
		{"as it came", signKey, nil, "True"},
		{"with the old key", oldSignKey, nil, "True"},
		{"with another key", "whsec_" + strings.Repeat("AwMD", 8), nil, "False"},
		{"another body", signKey, func(body []byte, _ map[string]string) []byte { return append(body, ' ') }, "False"},
		{"another id", signKey, func(body []byte, header map[string]string) []byte { header["webhook-id"] += "0"; return body }, "False"},
		{"an old time", signKey, func(body []byte, header map[string]string) []byte {
			header["webhook-timestamp"] = strconv.FormatInt(time.Now().Add(-6*time.Minute).Unix(), 10)
			return body
		}, "False"},
		{"no headers", signKey, func(body []byte, header map[string]string) []byte { clear(header); return body }, "False"},
	} {
		t.Run(test.name, func(t *testing.T) {
			sent, given := bytes.Clone(body), maps.Clone(lower)
			if test.change != nil {
				sent = test.change(sent, given)
			}
			input, err := json.Marshal([]any{test.key, sent, given})
			require.NoError(t, err)
			command := exec.Command(python, "-c", function+`
import json, sys
key, body, headers = json.load(sys.stdin)
print(verifies(key, base64.b64decode(body), headers))
`)
			command.Stdin = bytes.NewReader(input)
			output, err := command.CombinedOutput()
			require.NoError(t, err, "%s", output)
			assert.Equal(t, test.verifies+"\n", string(output))
		})
	}
}
