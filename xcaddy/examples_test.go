package main

import (
	"encoding/json"
	"fmt"
	"io"
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

// runtimeOf finds the program that runs a backend. Where it is missing the test
// is skipped, or fails if TEST_NO_SKIP is set.
func runtimeOf(t testing.TB, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		if os.Getenv("TEST_NO_SKIP") != "" {
			require.NoError(t, err)
		}
		t.Skipf("%s is not installed", program)
	}
	return path
}

// startBackend runs one of the examples' applications on a free port.
func startBackend(t testing.TB, language string) (address string, output *lockedBuffer) {
	t.Helper()
	port := strconv.Itoa(freePort(t))
	address = "127.0.0.1:" + port
	var command *exec.Cmd
	switch language {
	case "python":
		command = exec.Command(runtimeOf(t, "python3"), "../examples/python/backend.py")
	case "node":
		command = exec.Command(runtimeOf(t, "node"), "../examples/node/backend.mjs")
	case "php":
		command = exec.Command(runtimeOf(t, "php"), "-d", "post_max_size=100M", "-d", "memory_limit=512M", "-S", address, "../examples/php/backend.php")
	case "ruby":
		command = exec.Command(runtimeOf(t, "ruby"), "../examples/ruby/backend.rb")
	}
	output = new(lockedBuffer)
	command.Env = append(os.Environ(), "PORT="+port)
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
	}, patience, 20*time.Millisecond, "the backend in %s", language)
	return address, output
}

// startExample runs an example's Caddyfile with the addresses and the secret's
// file changed to the test's, and nothing else. A wrong path must be no success
// there.
func startExample(t testing.TB, folder string, upstreams map[string]string) *server {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("../examples", folder, "Caddyfile"))
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(file, []byte(secret+"\n"), 0o600))

	config := string(content)
	globals := ""
	if match := regexp.MustCompile(`(?ms)^\{\n(.*?)^\}\n`).FindStringSubmatch(config); match != nil {
		config = strings.Replace(config, match[0], "", 1)
		globals = "{\n" + match[1] + "\n}\n"
	}
	pairs := make([]string, 0, 8+2*len(upstreams))
	pairs = append(pairs,
		"hooks.example.com {\n", "https://$ADDRESS {\n\ttls internal\n", "\n:8080 {", "\nhttp://$ADDRESS {",
		"{file./run/credentials/caddy-elevenlabs.service/elevenlabs_webhook_secret}", "{file."+file+"}",
		"{file./run/secrets/elevenlabs_webhook_secret}", "{file."+file+"}",
	)
	for from, to := range upstreams {
		pairs = append(pairs, from, to)
	}
	t.Setenv("ELEVENLABS_WEBHOOK_SECRET", secret)
	t.Setenv("ELEVENLABS_SECRET_SUPPORT", secret)
	t.Setenv("ELEVENLABS_SECRET_SALES", "wsec_sales")
	s := start(t, globals+strings.NewReplacer(pairs...).Replace(config))
	wrong := s.event([]byte(transcript))
	wrong.URL.Path += "/"
	if strings.Contains(config, ":8080") {
		wrong.URL.Scheme = "http"
	}
	client := s.client("HTTP/1.1")
	defer client.CloseIdleConnections()
	require.Equal(t, 404, send(t, client, wrong).status)
	return s
}

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
	assert.Equal(t, digestOf(body), r.SHA256, "the application got the very bytes")
	assert.Equal(t, digestOf(body), r.EventID)
	assert.Equal(t, "true", r.Verified)
	return r
}

func TestExamplesInEachLanguage(t *testing.T) {
	for _, language := range []string{"python", "node", "php", "ruby"} {
		t.Run(language, func(t *testing.T) {
			address, _ := startBackend(t, language)
			s := startExample(t, language, map[string]string{"localhost:3000": address})
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

// Caddy breaks off when the sender leaves while it hands an event on.
func TestExamplesApplicationsTakeNoBodyThatIsCutOff(t *testing.T) {
	for _, language := range []string{"python", "node", "php", "ruby"} {
		t.Run(language, func(t *testing.T) {
			address, output := startBackend(t, language)
			for range 5 {
				conn, err := net.Dial("tcp", address)
				require.NoError(t, err)
				fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: x\r\nX-ElevenLabs-Event-Id: cut-off\r\nContent-Length: 1000000\r\n\r\n%s", strings.Repeat("x", 500_000))
				require.NoError(t, conn.Close())
				response, err := http.Post("http://"+address, "application/json", strings.NewReader(transcript))
				require.NoError(t, err, "it still serves")
				require.NoError(t, response.Body.Close())
			}
			require.Eventually(t, func() bool { return strings.Contains(output.String(), fmt.Sprint(len(transcript), " bytes")) }, patience, 20*time.Millisecond)
			assert.NotContains(t, output.String(), "cut-off")
		})
	}
}

func TestExampleOfRoutingByEvent(t *testing.T) {
	calls, audios := newBackend(t), newBackend(t)
	s := startExample(t, "routing-by-event", map[string]string{"localhost:3000": calls.address(), "localhost:3001": audios.address()})
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

func TestExampleBehindALoadBalancer(t *testing.T) {
	b := newBackend(t)
	s := startExample(t, "behind-load-balancer", map[string]string{"localhost:3000": b.address()})
	fromBalancer := func(request *http.Request, proto, client string) answer {
		request.URL.Scheme = "http"
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
	requireRefused(t, b, fromBalancer(s.event(body), "http", elevenLabs), 403, "insecure_transport")
	requireRefused(t, b, fromBalancer(s.event(body), "https", "192.0.2.1"), 403, "source_not_allowed")
	requireRefused(t, b, fromBalancer(s.event(body), "https", elevenLabs+", 192.0.2.1"), 403, "source_not_allowed")
	requireRefused(t, b, fromBalancer(s.signed(body, "wsec_other", time.Now()), "https", elevenLabs), 401, "signature_mismatch")
}

func TestExampleOfSeveralAgents(t *testing.T) {
	address, _ := startBackend(t, "python")
	s := startExample(t, "several-agents", map[string]string{"localhost:3000": address})
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
	for folder, upstream := range map[string]string{"systemd": "localhost:3000", "compose": "app:3000"} {
		t.Run(folder, func(t *testing.T) {
			b := newBackend(t)
			s := startExample(t, folder, map[string]string{upstream: b.address()})
			client := s.client("HTTP/2.0")
			require.Equal(t, 200, send(t, client, s.event([]byte(transcript))).status)
			require.Len(t, b.take(), 1)
			requireRefused(t, b, send(t, client, s.signed([]byte(transcript), "wsec_other", time.Now())), 401, "signature_mismatch")
			assert.NotContains(t, s.log.String(), "were removed", "a file's line end is no reason to warn")
		})
	}
}

// The command of the workflow for GitHub is run, with the addresses changed.
func TestExampleOfAPipeline(t *testing.T) {
	runtimeOf(t, "sh")
	workflow, err := os.ReadFile("../examples/pipeline/github-actions.yaml")
	require.NoError(t, err)
	command := regexp.MustCompile(`run: (.*smoke-test\.sh.*)`).FindSubmatch(workflow)
	require.NotNil(t, command)
	program, err := filepath.Abs(binary)
	require.NoError(t, err)
	b := newBackend(t)
	s := start(t, webhook(b.address(), ""))

	wait := "WAIT=3"
	smokeTest := func(key, url string, args ...string) (output string, code int) {
		script := strings.NewReplacer("CADDY=./caddy", "CADDY="+program, "https://hooks.example.com/webhooks/elevenlabs", url).Replace(string(command[1]))
		shell := exec.Command("sh", append([]string{"-c", script + ` "$@"`, "sh"}, append(s.trust(), args...)...)...)
		shell.Dir = ".."
		shell.Env = append(os.Environ(), wait, "ELEVENLABS_WEBHOOK_SECRET="+key)
		text, _ := shell.CombinedOutput()
		return string(text), shell.ProcessState.ExitCode()
	}
	output, code := smokeTest(secret, s.url())
	assert.Equal(t, 0, code, output)
	assert.Contains(t, output, "\n21 deliveries, all as expected\n")
	assert.Len(t, b.take(), 15)

	output, code = smokeTest("wsec_other", s.url())
	assert.Equal(t, 2, code, output)
	assert.Contains(t, output, "FAILED  post_call_transcription ")
	assert.Empty(t, b.take())

	output, code = smokeTest("", s.url())
	assert.Equal(t, 1, code, output)
	assert.Contains(t, output, "ELEVENLABS_WEBHOOK_SECRET is blank")

	output, code = smokeTest(secret, fmt.Sprintf("https://localhost:%d/", freePort(t)))
	assert.Equal(t, 2, code, output)
	assert.Contains(t, output, "connection refused")

	silent, err := net.Listen("tcp", "127.0.0.1:0") // it connects, and does not answer
	require.NoError(t, err)
	defer silent.Close()
	began := time.Now()
	output, code = smokeTest(secret, "https://"+silent.Addr().String()+"/")
	assert.Equal(t, 2, code, output)
	assert.Contains(t, output, "no answer in time")
	assert.Less(t, time.Since(began), time.Minute)

	for _, args := range [][]string{{"--secret-file", "-"}, {"--json", "--secret-file=-"}} {
		output, code = smokeTest(secret, s.url(), args...)
		assert.Equal(t, 1, code, output)
		assert.Contains(t, output, "cannot come from standard input")
	}

	wait = "WAIT=60"
	late := startLate(t, s.address, 2)
	output, code = smokeTest(secret, strings.Replace(s.url(), s.address, late, 1))
	assert.Equal(t, 0, code, "it waits for a server that is not there at once: %s", output)
}

// startLate listens for a server, but hangs up on the first connections.
func startLate(t *testing.T, server string, hangups int) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { listener.Close() })
	go func() {
		for n := 0; ; n++ {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			if n < hangups {
				conn.Close()
				continue
			}
			go func() {
				defer conn.Close()
				to, err := net.Dial("tcp", server)
				if err != nil {
					return
				}
				defer to.Close()
				go io.Copy(to, conn)
				io.Copy(conn, to)
			}()
		}
	}()
	return fmt.Sprint("localhost:", listener.Addr().(*net.TCPAddr).Port)
}

// ports change those of Caddyfile.example to a test's, and back.
type ports struct{ there, back *strings.Replacer }

// startCaddyfileExample runs Caddyfile.example as it is, but for the ports.
func startCaddyfileExample(t testing.TB) (*server, ports) {
	t.Helper()
	content, err := os.ReadFile("../Caddyfile.example")
	require.NoError(t, err)
	config := string(content)
	globals := regexp.MustCompile(`(?ms)^\{\n.*?^\}\n`).FindString(config)
	require.NotEmpty(t, globals)
	config = strings.Replace(config, globals, "", 1)
	const ofTests = "\tauto_https disable_redirects\n|\tskip_install_trust\n" // which start sets, too
	config = regexp.MustCompile(ofTests).ReplaceAllString(globals, "") + config
	demo := fmt.Sprint(":", freePort(t))
	t.Setenv("ELEVENLABS_WEBHOOK_SECRET", "wsec_demo")
	s := start(t, strings.NewReplacer("\nlocalhost:8443 {", "\nhttps://$ADDRESS {", ":9080", demo).Replace(config))
	site := strings.TrimPrefix(s.address, "localhost")
	return s, ports{strings.NewReplacer(":8443", site, ":9080", demo), strings.NewReplacer(site, ":8443", demo, ":9080")}
}

// The newcomer's first command, with openssl and curl as the README has them.
func TestCaddyfileExampleAsTheREADMETriesIt(t *testing.T) {
	runtimeOf(t, "openssl")
	runtimeOf(t, "curl")
	content, err := os.ReadFile(readme)
	require.NoError(t, err)
	try := regexp.MustCompile("(?s)```sh\n(body=.*?)```").FindSubmatch(content)
	require.NotNil(t, try, "the README has the signed curl")
	s, ports := startCaddyfileExample(t)

	output, err := exec.Command("sh", "-c", ports.there.Replace(string(try[1]))).CombinedOutput()
	require.NoError(t, err, "%s", output)
	assert.Contains(t, string(output), "200")
	assert.Contains(t, string(output), "X-ElevenLabs-Event-Type:      post_call_transcription")
	assert.Contains(t, string(output), "401")
	assert.Contains(t, strings.ToLower(string(output)), "x-elevenlabs-rejection: signature_mismatch")
	s.awaitLog("handled request")
	assert.NotContains(t, s.log.String(), "v0=", "the logs drop the signature")
}
