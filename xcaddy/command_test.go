package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// These secrets have the form of ElevenLabs's.
const (
	realSecret  = "wsec_00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
	otherSecret = "wsec_ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100"
)

// outcome is the result of a command.
type outcome struct {
	stdout, stderr string
	code           int
}

// elevenlabs runs `caddy elevenlabs` with the test's environment. It fails the test if
// the command leaves a file behind or prints a secret.
func elevenlabs(t testing.TB, stdin string, args ...string) outcome {
	t.Helper()
	home := t.TempDir()
	var stdout, stderr bytes.Buffer
	command := exec.Command(binary, append([]string{"elevenlabs"}, args...)...)
	command.Env = append(os.Environ(), "XDG_DATA_HOME="+home, "XDG_CONFIG_HOME="+home, "TMPDIR="+home)
	command.Stdin, command.Stdout, command.Stderr = strings.NewReader(stdin), &stdout, &stderr
	err := command.Run()
	if _, ok := errors.AsType[*exec.ExitError](err); !ok {
		require.NoError(t, err)
	}
	o := outcome{stdout.String(), stderr.String(), command.ProcessState.ExitCode()}
	for _, key := range []string{secret, realSecret, otherSecret} {
		assert.NotContains(t, o.stdout+o.stderr, strings.TrimPrefix(key, "wsec_"), "the command printed a secret")
	}
	left, err := os.ReadDir(home)
	require.NoError(t, err)
	assert.Empty(t, left, "the command left files behind")
	return o
}

// url returns the URL of the webhook.
func (s *server) url() string { return "https://" + s.address + "/webhooks/elevenlabs" }

// trust returns the arguments that make a command trust the server's certificate.
func (s *server) trust() []string {
	return []string{"--ca", filepath.Join(dataDir, "caddy/pki/authorities/local/root.crt")}
}

// send runs `caddy elevenlabs send` for the server's URL.
func (s *server) send(args ...string) outcome {
	s.t.Helper()
	return elevenlabs(s.t, "", append(append([]string{"send", s.url()}, s.trust()...), args...)...)
}

// objects decodes the lines that a command printed with --json.
func objects[T any](t testing.TB, o outcome) (all []T) {
	t.Helper()
	for line := range strings.Lines(o.stdout) {
		var object T
		require.NoError(t, json.Unmarshal([]byte(line), &object), line)
		all = append(all, object)
	}
	return all
}

func writeFile(t testing.TB, content string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, []byte(content), 0o600))
	return file
}

func TestCommandsExitCodesAndMessages(t *testing.T) {
	t.Setenv("ELEVENLABS_WEBHOOK_SECRET", secret)
	t.Setenv("BLANK", " \n")
	s := start(t, webhook(newBackend(t).address(), ""))
	body := writeFile(t, transcript)
	signed := elevenlabs(t, "", "sign", body).stdout
	noCaddy := fmt.Sprint("127.0.0.1:", freePort(t))
	closed := "https://" + noCaddy
	require.Equal(t, 0, s.send().code)
	ca := s.trust()[1]

	for _, test := range []struct {
		name  string
		args  []string
		stdin string
		code  int
		says  string
	}{
		{"no command", nil, "", 1, "no command is given: give one of\n  doctor       Checks the whole way of an event"},
		{"a command that is mistyped", []string{"tial"}, "", 1, `there is no command "tial" (did you mean tail?)`},
		{"a flag that is mistyped", []string{"tail", "--reslut", "failed"}, "", 1, "unknown flag: --reslut (did you mean --result?): see `caddy elevenlabs tail --help`"},
		{"a secret in place of a variable's name", []string{"sign", body, "--secret-env", realSecret}, "", 1, "--secret-env"},
		{"a secret in place of a file", []string{"verify", "--body", realSecret, "--header", signed}, "", 1, "open (a secret): no such file"},
		{"a secret in place of a path", []string{"status", "--config", realSecret}, "", 1, "(a secret)"},
		{"a secret in place of a command", []string{realSecret}, "", 1, `there is no command "(a secret)"`},
		{"an unknown command", []string{"nope"}, "", 1, `there is no command "nope"`},
		{"an unknown command with --help", []string{"nope", "--help"}, "", 1, `there is no command "nope"`},
		{"help with a command", []string{"help", "send"}, "", 0, "--forge"},
		{"an unknown command with flags", []string{"nope", "--json", "--x"}, "", 1, `there is no command "nope"`},
		{"help", []string{"--help"}, "", 0, "Available Commands"},
		{"help has a link", []string{"webhooks", "create", "--help"}, "", 0, "/caddy-elevenlabs/caddy-elevenlabs/blob/main/docs/cli/webhooks.md\n"},
		{"version", []string{"version"}, "", 0, "\ncaddy             v2."},

		{"help for send", []string{"send", "--help"}, "", 0, "--forge"},
		{"send without a URL", []string{"send"}, "", 1, "give one argument, not 0"},
		{"send to two", []string{"send", s.url(), s.url()}, "", 1, "give one argument, not 2"},
		{"send to something that is not a URL", []string{"send", s.address}, "", 1, "is not a URL"},
		{"send of an unknown event", []string{"send", s.url(), "--event", "nope"}, "", 1, `there is no event "nope"`},
		{"send of an unknown forgery", []string{"send", s.url(), "--forge", "nope"}, "", 1, `there is no forgery "nope"`},
		{"send of an empty forgery", []string{"send", s.url(), "--ca", ca, "--forge", ""}, "", 1, "--forge is empty"},
		{"send of two kinds", []string{"send", s.url(), "--all", "--event", "post_call_audio"}, "", 1, "[all event]"},
		{"send with an unknown flag", []string{"send", s.url(), "--nope"}, "", 1, "unknown flag: --nope"},
		{"send with a secret as an argument", []string{"send", s.url(), "--secret", "x"}, "", 1, "unknown flag: --secret"},
		{"send without a secret", []string{"send", s.url(), "--secret-env", "NOT_SET"}, "", 1, "NOT_SET is not set"},
		{"send with a blank secret", []string{"send", s.url(), "--secret-env", "BLANK"}, "", 1, "BLANK is blank"},
		{"send with no such authority", []string{"send", s.url(), "--ca", "none"}, "", 1, "reading --ca"},
		{"send of no such file", []string{"send", s.url(), "--file", "none"}, "", 1, "reading the body"},
		{"send", []string{"send", s.url(), "--ca", ca}, "", 0, "200"},
		{"send of a file", []string{"send", s.url(), "--ca", ca, "--file", body}, "", 0, "200"},
		{"send of standard input", []string{"send", s.url(), "--ca", ca, "--file", "-"}, "{}", 0, "(unknown)"},
		{"send with a secret on standard input", []string{"send", s.url(), "--ca", ca, "--secret-file", "-"}, secret + "\n", 0, "200"},
		{"send to a server that is not trusted", []string{"send", s.url()}, "", 2, "see --ca and --insecure"},
		{"send without trust", []string{"send", s.url(), "--insecure"}, "", 0, "200"},
		{"send to another path", []string{"send", "https://" + s.address + "/nope", "--ca", ca, "--forge", "stale"}, "", 2, "expected 403 timestamp_stale"},
		{"send to an address where nothing listens", []string{"send", closed}, "", 2, "connection refused"},
		{"send with another secret", []string{"send", s.url(), "--ca", ca, "--secret-file", writeFile(t, otherSecret)}, "", 2, "signature_mismatch"},

		{"help for sign", []string{"sign", "--help"}, "", 0, "--data-binary"},
		{"sign without a body", []string{"sign"}, "", 1, "give one argument, not 0"},
		{"sign of no such file", []string{"sign", "none"}, "", 1, "reading the body"},
		{"sign at no time", []string{"sign", body, "--at", "noon"}, "", 1, "--at must be"},
		{"sign", []string{"sign", body, "--at", "1739537297"}, "", 0, "ElevenLabs-Signature: t=1739537297,v0="},
		{"sign of standard input", []string{"sign", "-"}, transcript, 0, "ElevenLabs-Signature: t="},
		{"sign with all from standard input", []string{"sign", "-", "--secret-file", "-"}, "", 1, "only one thing can come from standard input"},

		{"help for verify", []string{"verify", "--help"}, "", 0, "--explain"},
		{"verify of a body without a header", []string{"verify", "--body", body}, "", 1, "give the body and its header"},
		{"verify of something that is not a request", []string{"verify"}, transcript, 1, "not an HTTP request"},
		{"verify with no window", []string{"verify", "--body", body, "--header", signed, "--tolerance", "1"}, "", 1, "--tolerance"},
		{"verify", []string{"verify", "--body", body, "--header", signed}, "", 0, "pass: signed"},
		{"verify of another body", []string{"verify", "--body", "-", "--header", signed}, transcript + "\n", 2, "signature_mismatch"},
		{"verify later", []string{"verify", "--body", body, "--header", signed, "--at", "2100-01-01T00:00:00Z"}, "", 2, "timestamp_stale"},

		{"help for doctor", []string{"doctor", "--help"}, "", 0, "--no-send"},
		{"doctor without anything", []string{"doctor"}, "", 1, "there is no Caddyfile here"},
		{"doctor with no such file", []string{"doctor", "--config", "none"}, "", 1, "reading --config"},
		{"doctor with an argument", []string{"doctor", s.url()}, "", 1, "unknown command"},
		{"doctor", []string{"doctor", "--url", s.url(), "--ca", ca}, "", 0, "0 failed"},
		{"doctor for an address where nothing listens", []string{"doctor", "--url", closed}, "", 2, "connection refused"},

		{"help for status", []string{"status", "--help"}, "", 0, "three times in a row"},
		{"status", []string{"status", "--address", s.admin}, "", 0, "failures in a row"},
		{"status by the configuration", []string{"status", "--config", s.file, "--adapter", "caddyfile"}, "", 0, "failures in a row"},
		{"status by no configuration", []string{"status", "--config", "none"}, "", 1, "finding the admin endpoint's address in --config: reading config from file: open none"},
		{"status where no Caddy runs", []string{"status", "--address", noCaddy}, "", 1, "is Caddy running?"},
		{"status at an address without a port", []string{"status", "--address", "localhost"}, "", 1, "it has no port; give one such as localhost:2019"},
		{"status at a URL", []string{"status", "--address", "http://" + s.admin}, "", 1, "it is a URL; give one such as localhost:2019"},
		{"status at the site", []string{"status", "--address", s.address}, "", 1, "another server, or a Caddy without this module, answered 400 Bad Request"},
		{"status with an argument", []string{"status", "all"}, "", 1, "unknown command"},

		{"help for tail", []string{"tail", "--help"}, "", 0, "--once"},
		{"tail", []string{"tail", "--once", "--address", s.admin}, "", 0, "post_call_transcription"},
		{"tail of an unknown result", []string{"tail", "--once", "--address", s.admin, "--result", "nope"}, "", 1, `there is no result "nope"`},
		{"tail of an unknown type", []string{"tail", "--address", s.admin, "--type", "post_call_audo"}, "", 1, `there is no type "post_call_audo" (did you mean post_call_audio?)`},
		{"tail of no lines", []string{"tail", "--lines", "0"}, "", 1, "--lines must be"},
		{"webhooks by itself", []string{"webhooks"}, "", 1, "no command is given: give one of"},
		{"webhooks with an unknown command", []string{"webhooks", "nope", "--json"}, "", 1, `there is no command "nope"`},
		{"help for webhooks", []string{"webhooks", "--help"}, "", 0, "rotate"},
		{"help for webhooks create", []string{"webhooks", "create", "--help"}, "", 0, "--secret-out"},
		{"webhooks without a key", []string{"webhooks", "list"}, "", 1, "ELEVENLABS_API_KEY is not set"},
		{"webhooks with a key as an argument", []string{"webhooks", "list", "--api-key", "x"}, "", 1, "unknown flag: --api-key"},
		{"webhooks of an unknown region", []string{"webhooks", "list", "--region", "mars", "--api-key-file", "-"}, "sk_key", 1, `the region "mars"`},
		{"webhooks of none", []string{"webhooks", "enable"}, "", 1, "give one argument, not 0"},
		{"webhooks without a place for the secret", []string{"webhooks", "create", "--name", "x", "--url", s.url(), "--api-key-file", "-"}, "sk_key", 1, "--secret-out"},
		{"doctor with a blank key", []string{"doctor", "--url", s.url(), "--api-key-env", "BLANK"}, "", 1, "BLANK is blank"},

		{"tail where no Caddy runs", []string{"tail", "--address", noCaddy}, "", 1, "is Caddy running?"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := elevenlabs(t, test.stdin, test.args...)
			assert.Equal(t, test.code, got.code, got.stdout+got.stderr)
			switch test.code {
			case 0:
				assert.Contains(t, got.stdout, test.says)
				assert.Empty(t, got.stderr)
			case 1:
				assert.Regexp(t, `^Error: \S`, got.stderr)
				assert.Contains(t, got.stderr, test.says)
				assert.Empty(t, got.stdout)
			case 2:
				assert.Contains(t, got.stdout, test.says)
				assert.Regexp(t, `^Error: check failed: .*\n$`, got.stderr)
			}
		})
	}
}

// sent is a line that send prints with --json.
type sent struct {
	Event, Forged string
	Bytes, Status int
	ID            string `json:"event_id"`
	Reason, TLS   string
	OK            bool
}

func TestSendAllGetsTheExpectedAnswersFromTheServer(t *testing.T) {
	t.Setenv("ELEVENLABS_WEBHOOK_SECRET", secret)
	b := newBackend(t)
	s := start(t, webhook(b.address(), ""))
	_, port, err := net.SplitHostPort(s.address)
	require.NoError(t, err)
	args := append([]string{"send", "https://localhost/webhooks/elevenlabs", "--all", "--resolve", "localhost:127.0.0.1:" + port}, s.trust()...)

	table := elevenlabs(t, "", args...)
	assert.Equal(t, 0, table.code, table.stdout)
	assert.Contains(t, table.stdout, "\n21 deliveries, all as expected\n")
	assert.NotContains(t, table.stdout, "FAILED")
	require.Len(t, b.take(), 15)

	got := elevenlabs(t, "", append(args, "--json", "--concurrency", "4")...)
	assert.Equal(t, 0, got.code, got.stdout)
	arrived := map[string]delivery{}
	for _, d := range b.take() {
		arrived[d.digest] = d
	}
	types := map[string]bool{}
	forged := map[string]string{}
	for _, line := range objects[sent](t, got) {
		assert.True(t, line.OK, line)
		assert.Equal(t, "TLS 1.3", line.TLS)
		if line.Forged != "" {
			forged[line.Forged] = fmt.Sprint(line.Status, " ", line.Reason)
			continue
		}
		types[line.Event] = true
		d, ok := arrived[line.ID]
		require.True(t, ok, "%s did not reach the backend whole", line.Event)
		delete(arrived, line.ID)
		assert.Equal(t, line.Event, d.header.Get("X-ElevenLabs-Event-Type"))
		assert.EqualValues(t, line.Bytes, d.length)
		assert.Equal(t, "Python/3.12 aiohttp/3.11.16", d.header.Get("User-Agent"))
		assert.Empty(t, d.header.Values("X-ElevenLabs-Test"))
	}
	assert.Empty(t, arrived, "another request reached the backend")
	assert.Len(t, types, 15)
	assert.Equal(t, map[string]string{
		"signature": "401 signature_mismatch", "body": "401 signature_mismatch",
		"stale": "403 timestamp_stale", "future": "403 timestamp_future",
		"missing": "400 signature_missing", "malformed": "400 signature_malformed",
	}, forged)
}

func TestSendAllFailsIfTheServerHasAnotherSecret(t *testing.T) {
	t.Setenv("ELEVENLABS_WEBHOOK_SECRET", otherSecret)
	b := newBackend(t)
	s := start(t, webhook(b.address(), ""))
	got := s.send("--all", "--json")
	assert.Equal(t, 2, got.code)
	assert.Contains(t, got.stderr, "17 of 21 deliveries not as expected", "only the forgeries that fail in any case are as expected")
	for _, line := range objects[sent](t, got) {
		if line.Forged == "" {
			assert.False(t, line.OK)
			assert.Equal(t, "signature_mismatch", line.Reason)
		}
	}
	assert.Empty(t, b.take())
}

func TestSendFailsIfForgeriesAreAccepted(t *testing.T) {
	t.Setenv("ELEVENLABS_WEBHOOK_SECRET", secret)
	s := start(t, site("reverse_proxy "+newBackend(t).address()))
	got := s.send("--all")
	assert.Equal(t, 2, got.code)
	assert.Equal(t, "Error: check failed: 6 of 21 deliveries not as expected\n", got.stderr)
	assert.NotContains(t, got.stdout, "6 of 21")
}

func TestSendOfLongAudio(t *testing.T) {
	t.Setenv("ELEVENLABS_WEBHOOK_SECRET", secret)
	b := newBackend(t)
	s := start(t, webhook(b.address(), ""))

	got := s.send("--event", "post_call_audio", "--minutes", "45", "--json")
	require.Equal(t, 0, got.code, got.stdout)
	line := objects[sent](t, got)[0]
	assert.Greater(t, line.Bytes, 50_000_000)
	deliveries := b.take()
	require.Len(t, deliveries, 1)
	assert.EqualValues(t, line.Bytes, deliveries[0].length)
	assert.Equal(t, line.ID, deliveries[0].digest)

	got = elevenlabs(t, "", "send", b.URL, "--event", "post_call_audio", "--minutes", "2")
	require.Equal(t, 0, got.code, got.stdout)
	deliveries = b.take()
	require.Len(t, deliveries, 1)
	assert.Equal(t, []string{"chunked"}, deliveries[0].encoding, "send must use chunks for audio")

	got = s.send("--event", "post_call_audio", "--minutes", "90", "--json")
	assert.Equal(t, 2, got.code, "the body exceeds max_size")
	line = objects[sent](t, got)[0]
	assert.Equal(t, 413, line.Status, got.stdout)
	assert.Equal(t, "body_too_large", line.Reason)
	assert.Empty(t, b.take())
}

func TestRequestWithTheHeaderThatSignPrintsIsGenuine(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	s := start(t, webhook(b.address(), ""))
	body := writeFile(t, transcript+"\n")
	printed := elevenlabs(t, "", "sign", body, "--secret-file", writeFile(t, secret+"\n"))
	require.Equal(t, 0, printed.code, printed.stderr)
	name, value, found := strings.Cut(strings.TrimSuffix(printed.stdout, "\n"), ": ")
	require.True(t, found)

	for content, status := range map[string]int{transcript + "\n": 200, transcript: 401} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url(), strings.NewReader(content))
		require.NoError(t, err)
		request.Header[name] = []string{value}
		assert.Equal(t, status, send(t, s.client("HTTP/1.1"), request).status)
	}
	require.Len(t, b.take(), 1)
}

// captured returns the bytes of the request that `caddy elevenlabs send` makes.
func captured(t *testing.T, args ...string) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	requests := make(chan string, 1)
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		var raw bytes.Buffer
		tee := io.TeeReader(conn, &raw)
		if request, err := http.ReadRequest(bufio.NewReader(tee)); err == nil {
			_, _ = io.Copy(io.Discard, request.Body)
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		}
		requests <- raw.String()
	}()
	got := elevenlabs(t, "", append([]string{"send", "http://" + listener.Addr().String() + "/webhooks/elevenlabs"}, args...)...)
	require.Equal(t, 0, got.code, got.stdout)
	return <-requests
}

func TestVerifyExplainsAFile(t *testing.T) {
	t.Setenv("ELEVENLABS_WEBHOOK_SECRET", secret)
	const signed = `{"type": "post_call_transcription", "event_timestamp": 1795421650, "data": {"metadata": {"cost": 55, "charging": {"llm_price": 0, "free_minutes_consumed": 0.0}}, "transcript": [{"tool_calls": [], "price": 9.18e-05}]}}`
	header := elevenlabs(t, signed, "sign", "-").stdout
	for name, test := range map[string]struct{ body, says string }{
		"as received":      {signed, "pass: signed"},
		"JavaScript":       {`{"type":"post_call_transcription","event_timestamp":1795421650,"data":{"metadata":{"cost":55,"charging":{"llm_price":0,"free_minutes_consumed":0}},"transcript":[{"tool_calls":[],"price":0.0000918}]}}`, "parsed and encoded again by JavaScript (JSON.stringify)"},
		"base64":           {base64.StdEncoding.EncodeToString([]byte(signed)), "The body is in base64. The signed body is in it"},
		"cut off":          {signed[:60], "The body is cut off: it is not whole JSON"},
		"of another event": {strings.Replace(signed, "55", "56", 1), "the sender has another secret"},
	} {
		t.Run(name, func(t *testing.T) {
			file := writeFile(t, "\ufeffPOST /webhooks/elevenlabs HTTP/1.1\r\n"+strings.TrimSpace(header)+"\r\n\r\n"+test.body)
			got := elevenlabs(t, "", "verify", "--explain", file)
			assert.Contains(t, got.stdout, test.says)
			if name != "as received" {
				assert.Equal(t, 2, got.code)
				assert.Contains(t, elevenlabs(t, "", "verify", file).stdout, "give --explain too")
			}
		})
	}
	got := elevenlabs(t, "", "verify", secret)
	assert.Equal(t, 1, got.code)
	assert.NotContains(t, got.stdout+got.stderr, secret)
}

func TestVerifyOfACapturedRequest(t *testing.T) {
	t.Setenv("ELEVENLABS_WEBHOOK_SECRET", secret)
	for _, event := range []string{"post_call_transcription", "post_call_audio"} {
		raw := captured(t, "--event", event)
		got := elevenlabs(t, raw, "verify")
		assert.Equal(t, 0, got.code, got.stdout+got.stderr)
		assert.True(t, strings.HasPrefix(got.stdout, "pass: signed with the secret in the environment variable ELEVENLABS_WEBHOOK_SECRET, "), got.stdout)

		changed := strings.Replace(raw, `"conversation_id": "conv`, `"conversation_id": "cond`, 1)
		require.NotEqual(t, raw, changed)
		got = elevenlabs(t, changed, "verify", "--explain")
		assert.Equal(t, 2, got.code)
		assert.True(t, strings.HasPrefix(got.stdout, "signature_mismatch: "), got.stdout)

		quoted := writeFile(t, `"`+secret+`"`)
		got = elevenlabs(t, raw, "verify", "--explain", "--secret-file", quoted)
		assert.Equal(t, 2, got.code)
		assert.Contains(t, got.stdout, "quotes", got.stdout)
	}
}
