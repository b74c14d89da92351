package verify

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/clitest"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"
)

// verifyEnv is a cmdutil.Env whose clock stands twelve seconds after the signing.
var verifyEnv = cmdutil.Env{Now: func() time.Time { return explainedAt.Add(12 * time.Second) }}

func request(head, body string) string {
	return "POST /webhooks/elevenlabs HTTP/1.1\r\nHost: hooks.example.com\r\n" + head + "\r\n" + body
}

func signedHead(body string) string {
	return "elevenlabs-signature: " + headerOf(explainedSecret, body) + "\r\n"
}

func length(n int) string { return "Content-Length: " + strconv.Itoa(n) + "\r\n" }

func chunked(pieces ...string) string {
	var out strings.Builder
	for _, piece := range pieces {
		out.WriteString(strconv.FormatInt(int64(len(piece)), 16) + ";x=1\r\n" + piece + "\r\n")
	}
	return out.String() + "0\r\n\r\n"
}

func TestVerifyOfACapturedRequest(t *testing.T) {
	const body = explainedBody
	tests := []struct {
		name, request string
		reason        string
		says          string
	}{
		{"CRLF", request(signedHead(body)+length(len(body)), body), pass, "signed with the secret in the environment variable ELEVENLABS_WEBHOOK_SECRET, at 2026-11-23T08:14:14Z, 12s ago"},
		{"LF", strings.ReplaceAll(request(signedHead(body)+length(len(body)), body), "\r\n", "\n"), pass, "signed"},
		{"HTTP/2, as dumps write it, without a length", strings.Replace(request(signedHead(body), body), "HTTP/1.1", "HTTP/2", 1), pass, "signed"},
		{"empty lines before", "\r\n\n" + request(signedHead(body), body), pass, "signed"},
		{"body with line ends", request(signedHead("{\r\n}\n"), "{\r\n}\n"), pass, "signed"},
		{"chunked", request(signedHead(body)+"Transfer-Encoding: chunked\r\n", chunked(body[:10], body[10:])), pass, "signed"},
		{"chunked, but joined already", request(signedHead(body)+"Transfer-Encoding: chunked\r\n", body), pass, "joined already"},
		{"chunked, broken off", request(signedHead(body)+"Transfer-Encoding: chunked\r\n", chunked(body)[:40]), facts.BodyIncomplete.Code, "broken off or malformed after 32 bytes"},
		{"chunked, its last chunk missing", request(signedHead(body)+"Transfer-Encoding: chunked\r\n", strings.TrimSuffix(chunked(body), "0\r\n\r\n")), facts.BodyIncomplete.Code, "broken off"},
		{"chunked, its line ends LF now", strings.ReplaceAll(request(signedHead(body)+"Transfer-Encoding: chunked\r\n", chunked(body[:10], body[10:])), "\r\n", "\n"), pass, "signed"},
		{"chunked, its line ends and the body's LF now", strings.ReplaceAll(request(signedHead("{\r\n}")+"Transfer-Encoding: chunked\r\n", chunked("{\r\n}")), "\r\n", "\n"), facts.BodyIncomplete.Code, "after 4 bytes of body, and the capture has lost the CRs of its line ends, which the chunks' lengths count"},
		{"chunked, with a length that is no number of bytes", request(signedHead(body)+"Transfer-Encoding: chunked\r\n", "ffffffffffffffffff\r\n"+body), facts.BodyIncomplete.Code, "malformed after 0 bytes"},
		{"chunked, longer than it says", request(signedHead(body)+"Transfer-Encoding: chunked\r\n", strings.Replace(chunked(body), "\r\n{", "\r\n {", 1)), facts.BodyIncomplete.Code, "malformed"},
		{"longer than Content-Length", request(signedHead(body)+length(len(body)), body+"\r\n"), pass, "a server does not read the last 2"},
		{"shorter than Content-Length", request(signedHead(body)+length(len(body)), body[:len(body)-3]), facts.BodyIncomplete.Code, "3 missing"},
		{"not a POST", strings.Replace(request(signedHead(body), body), "POST", "PUT", 1), facts.MethodNotAllowed.Code, "the method is PUT"},
		{"no signature", request("", body), facts.SignatureMissing.Code, "missing"},
		{"two signatures", request(signedHead(body)+signedHead(body), body), facts.SignatureMalformed.Code, "2 times"},
		{"another body", request(signedHead(body), body+"x"), facts.SignatureMismatch.Code, "did not make this signature"},
	}
	t.Setenv("ELEVENLABS_WEBHOOK_SECRET", explainedSecret)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := clitest.Run(NewCmdVerify, verifyEnv, test.request, "verify")
			assert.True(t, strings.HasPrefix(got.Stdout, test.reason+": "), got.Stdout)
			assert.Contains(t, got.Stdout, test.says)
			if test.reason == pass {
				assert.Equal(t, 0, got.Code)
			} else {
				assert.Equal(t, 2, got.Code)
			}
			assert.Empty(t, got.Stderr)
		})
	}
}

func TestVerifyOfABodyAndItsHeader(t *testing.T) {
	t.Setenv("MY_SECRET", explainedSecret+"\n")
	folder := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(folder, name)
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
		return path
	}
	body, secret := file("body", explainedBody), file("secret", explainedSecret)
	value := headerOf(explainedSecret, explainedBody)
	header := file("header", value+"\n")
	named := file("named", "elevenlabs-signature:"+value+"\r\n")

	tests := []struct {
		name   string
		stdin  string
		args   []string
		reason string
		says   string
	}{
		{"by value", "", []string{"--body", body, "--header", value, "--secret-file", secret}, pass, "the secret in the file "},
		{"with the header's name", "", []string{"--body", body, "--header", "ElevenLabs-Signature: " + value, "--secret-file", secret}, pass, ""},
		{"by file", "", []string{"--body", body, "--header-file", header, "--secret-file", secret}, pass, ""},
		{"by file, with the header's name", "", []string{"--body", body, "--header-file", named, "--secret-file", secret}, pass, ""},
		{"body on standard input", explainedBody, []string{"--body", "-", "--header", value, "--secret-file", secret}, pass, ""},
		{"header on standard input", value, []string{"--body", body, "--header-file", "-", "--secret-file", secret}, pass, ""},
		{"secret on standard input", explainedSecret, []string{"--body", body, "--header", value, "--secret-file", "-"}, pass, "standard input"},
		{"a line end in the variable, which a note names", "", []string{"--body", body, "--header", value, "--secret-env", "MY_SECRET"}, pass, "note: the secret in the environment variable MY_SECRET has blanks or line ends around it"},
		{"an empty header", "", []string{"--body", body, "--header", "", "--secret-file", secret}, facts.SignatureMissing.Code, ""},
		{"the recipe's header", "", []string{"--body", body, "--header", "X-ElevenLabs-Signature: " + value, "--secret-file", secret}, facts.SignatureMissing.Code, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := clitest.Run(NewCmdVerify, verifyEnv, test.stdin, append([]string{"verify"}, test.args...)...)
			require.True(t, strings.HasPrefix(got.Stdout, test.reason+": "), "%s %v", got.Stdout, got.Err)
			assert.Contains(t, got.Stdout, test.says)
		})
	}
}

func TestVerifyHasTheToleranceAndTheClockThatItIsGiven(t *testing.T) {
	t.Setenv("ELEVENLABS_WEBHOOK_SECRET", explainedSecret)
	captured := request(signedHead(explainedBody), explainedBody)
	tests := []struct {
		name   string
		args   []string
		reason string
	}{
		{"now", nil, pass},
		{"at a Unix time, the last good one", []string{"--at", "1795423454"}, pass},
		{"at a Unix time, a second later", []string{"--at", "1795423455"}, facts.TimestampStale.Code},
		{"at a date", []string{"--at", "2026-11-23T08:10:00Z"}, pass},
		{"at a date in the past", []string{"--at", "2026-11-23T10:09:00+02:00"}, facts.TimestampFuture.Code},
		{"narrower", []string{"--tolerance", "11s"}, facts.TimestampStale.Code},
		{"wider", []string{"--tolerance", "1h", "--at", "1795423455"}, pass},
		{"wider, ahead", []string{"--tolerance", "30m 1h", "--at", "1795420000"}, pass},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := clitest.Run(NewCmdVerify, verifyEnv, captured, append([]string{"verify"}, test.args...)...)
			assert.True(t, strings.HasPrefix(got.Stdout, test.reason+": "), "%s %v", got.Stdout, got.Err)
		})
	}
}

func TestVerifySaysHowItIsUsed(t *testing.T) {
	t.Setenv("ELEVENLABS_WEBHOOK_SECRET", explainedSecret)
	t.Setenv("BLANK", " \n")
	good := request(signedHead(explainedBody), explainedBody)
	tests := []struct {
		name, stdin string
		args        []string
		says        string
	}{
		{"body alone", "", []string{"--body", "x"}, "--body with --header"},
		{"header alone", "", []string{"--header", "x"}, "--body with --header"},
		{"two headers", "", []string{"--body", "x", "--header", "x", "--header-file", "x"}, "[header header-file]"},
		{"all from standard input", "", []string{"--body", "-", "--header-file", "-"}, "only one thing"},
		{"request and secret", "", []string{"--secret-file", "-"}, "only one thing"},
		{"no such body", "", []string{"--body", "/nonexistent", "--header", "x"}, "reading --body"},
		{"no such header", good, []string{"--body", "-", "--header-file", "/nonexistent"}, "reading --header-file"},
		{"no such secret", good, []string{"--secret-file", "/nonexistent"}, "reading --secret-file"},
		{"no such variable", good, []string{"--secret-env", "NOT_SET"}, "NOT_SET is not set"},
		{"a blank secret", good, []string{"--secret-env", "BLANK"}, "BLANK is blank"},
		{"no request", "{}", nil, "not an HTTP request"},
		{"a response", "HTTP/1.1 200 OK\r\n\r\n", nil, "not an HTTP request"},
		{"nothing", "", nil, "not an HTTP request"},
		{"a head without an end", "POST / HTTP/1.1\r\nA: b\r\n", nil, "ends within its headers"},
		{"a line that is no header", "POST / HTTP/1.1\r\nx\r\n\r\n", nil, "headers cannot be read"},
		{"no time", good, []string{"--at", "yesterday"}, `or Unix seconds, not "yesterday"`},
		{"an empty time", good, []string{"--at", ""}, "--at is empty"},
		{"an empty body file", good, []string{"--body", "", "--header", "x"}, "--body is empty"},
		{"an empty header file", good, []string{"--body", "-", "--header-file", ""}, "--header-file is empty"},
		{"no tolerance", good, []string{"--tolerance", ""}, "one or two durations"},
		{"tolerance of nothing", good, []string{"--tolerance", "0s"}, "one or two durations"},
		{"three tolerances", good, []string{"--tolerance", "1s 1s 1s"}, "one or two durations"},
		{"tolerance without a unit", good, []string{"--tolerance", "30"}, "one or two durations"},
		{"a secret as the argument", good, []string{"wsec_x"}, "it is a secret or contains one"},
		{"an empty argument", good, []string{""}, "the argument is empty"},
		{"two arguments", good, []string{"a", "b"}, "one captured request, not 2"},
		{"a file and its parts", good, []string{"captured.http", "--body", "-", "--header", "x"}, "either the file of a whole HTTP request"},
		{"no such file", good, []string{"/nonexistent"}, "reading the captured request: open /nonexistent"},
		{"request and secret", good, []string{"-", "--secret-file", "-"}, "only one thing"},
		{"an event with a body that is not base64", `{"headers":{"elevenlabs-signature":"x"},"body":"{}","isBase64Encoded":true}`, nil, "not base64"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := clitest.Run(NewCmdVerify, verifyEnv, test.stdin, append([]string{"verify"}, test.args...)...)
			require.Error(t, got.Err)
			assert.Contains(t, got.Err.Error(), test.says)
			assert.Equal(t, 1, got.Code)
			assert.Empty(t, got.Stdout)
		})
	}
}

func TestVerifyPrints(t *testing.T) {
	t.Setenv("ELEVENLABS_WEBHOOK_SECRET", explainedSecret)
	const priced = `{"type": "post_call_transcription", "event_timestamp": 1795421650, "data": {"agent_id": "agent_1", "price": 0.0, "elapsed_time": 9.18e-05, "summary": "Caf\u00e9"}}`
	captures := map[string]string{
		"pass":            request(signedHead(explainedBody)+length(len(explainedBody)), explainedBody),
		"reserialised":    request(signedHead(explainedBody)+length(len(spacedASCII)), spacedASCII),
		"another_length":  request(signedHead(explainedBody+"\r\n")+length(len(explainedBody)), explainedBody+"\r\n"),
		"late":            request("Date: Mon, 23 Nov 2026 08:14:15 GMT\r\n"+signedHead(explainedBody), explainedBody),
		"nothing_fits":    request(signedHead("other"), genuine),
		"by_javascript":   request(signedHead(priced), `{"type":"post_call_transcription","event_timestamp":1795421650,"data":{"agent_id":"agent_1","price":0,"elapsed_time":0.0000918,"summary":"Café"}}`),
		"by_go":           request(signedHead(genuine), `{"data":{"agent_id":"agent_1","conversation_id":"conv_1","cost":0.1,"summary":"Café \u003cb\u003e\u0026\u003c/b\u003e Tee 😀 a/b"},"event_timestamp":1795421650,"type":"post_call_transcription"}`+"\n"),
		"n8n_item":        request(signedHead(genuine), `[{"headers":{},"params":{},"query":{},"body":`+explainedBody+`,"webhookUrl":"https://n8n.example.com/webhook/1","executionMode":"production"}]`),
		"aws_event":       request(signedHead(genuine), `{"version":"2.0","headers":{},"body":`+strconv.Quote(genuine)+`,"isBase64Encoded":false}`),
		"cut_off":         request(signedHead(genuine), genuine[:100]),
		"no_signature":    request("", explainedBody),
		"body_incomplete": request(signedHead(explainedBody+"\n")+length(len(explainedBody)+1), explainedBody),
	}
	for name, captured := range captures {
		t.Run(name, func(t *testing.T) {
			env := verifyEnv
			if name == "late" {
				env.Now = func() time.Time { return time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC) }
			}
			text := clitest.Run(NewCmdVerify, env, captured, "verify", "--explain")
			line := clitest.Run(NewCmdVerify, env, captured, "verify", "--explain", "--json")
			assert.True(t, json.Valid([]byte(line.Stdout)))
			assert.Equal(t, 1, strings.Count(line.Stdout, "\n"), "one line")
			assert.Equal(t, text.Code, line.Code)
			clitest.Golden(t, "testdata/"+name+".txtar", clitest.Case{Command: "verify --explain <captured.http", Code: text.Code, Parts: []clitest.Part{
				{Name: "captured.http", Text: strings.ReplaceAll(captured, "\r\n", "\n")}, {Name: "output", Text: text.Text()}, {Name: "json", Text: line.Stdout},
			}})
		})
	}
}

func TestVerifyReadsAFile(t *testing.T) {
	t.Setenv("ELEVENLABS_WEBHOOK_SECRET", explainedSecret)
	whole := request(signedHead(explainedBody)+length(len(explainedBody)), explainedBody)
	quoted := strconv.Quote(explainedBody)
	event := `{"version":"2.0","headers":{"ElevenLabs-Signature":"` + headerOf(explainedSecret, explainedBody) + `"},"body":` + quoted + `,"isBase64Encoded":false}`
	tests := []struct {
		name, content string
		result        string
		says          string
	}{
		{"a request", whole, pass, "signed"},
		{"with a byte order mark", "\ufeff" + whole, pass, "note: the capture begins with a byte order mark"},
		{"in UTF-16", inUTF16(binary.LittleEndian, "\ufeff"+whole), pass, "note: the capture is in UTF-16"},
		{"in UTF-16, big end first, without a mark", inUTF16(binary.BigEndian, whole), pass, "note: the capture is in UTF-16"},
		{"an event of AWS Lambda", event, pass, "note: the capture is JSON with headers and a body"},
		{"in base64", strings.NewReplacer(quoted, `"`+base64.StdEncoding.EncodeToString([]byte(explainedBody))+`"`, "false", "true").Replace(event), pass, ""},
		{"of a load balancer, with lists of headers alone", strings.NewReplacer(`"headers"`, `"multiValueHeaders"`, `ture":"`, `ture":["`, `"},"body"`, `"]},"body"`).Replace(event), pass, ""},
		{"with both kinds of headers", strings.Replace(event, `"headers":`, `"multiValueHeaders":{"ElevenLabs-Signature":["`+headerOf(explainedSecret, explainedBody)+`"]},"headers":`, 1), pass, ""},
		{"with lists of headers", strings.NewReplacer(`ture":"`, `ture":["`, `"},"body"`, `"]},"body"`).Replace(event), pass, ""},
		{"an item of n8n", `[{"headers":{"elevenlabs-signature":"` + headerOf(explainedSecret, genuine) + `"},"webhookUrl":"x","body":` + genuine + `}]`, facts.SignatureMismatch.Code, "The body is an item of n8n, with the event as a parsed object in it. The signed body is in it"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "captured.http")
			require.NoError(t, os.WriteFile(file, []byte(test.content), 0o600))
			got := clitest.Run(NewCmdVerify, verifyEnv, "", "verify", file, "--explain")
			assert.True(t, strings.HasPrefix(got.Stdout, test.result+": "), "%s %v", got.Stdout, got.Err)
			assert.Contains(t, got.Stdout, test.says)
			assert.Equal(t, got.Stdout, clitest.Run(NewCmdVerify, verifyEnv, test.content, "verify", "--explain", "-").Stdout)
		})
	}
}

func TestVerifyPointsToExplain(t *testing.T) {
	t.Setenv("ELEVENLABS_WEBHOOK_SECRET", explainedSecret)
	bad := request(signedHead("other"), explainedBody)
	const hint = "--explain"
	assert.Contains(t, clitest.Run(NewCmdVerify, verifyEnv, bad, "verify").Stdout, hint)
	assert.NotContains(t, clitest.Run(NewCmdVerify, verifyEnv, bad, "verify", "--explain").Stdout, hint)
	assert.NotContains(t, clitest.Run(NewCmdVerify, verifyEnv, bad, "verify", "--json").Stdout, hint)
	assert.NotContains(t, clitest.Run(NewCmdVerify, verifyEnv, request(signedHead(explainedBody), explainedBody), "verify").Stdout, hint)
}

func TestVerifyDoesNotRepeatASecretThatIsAnArgument(t *testing.T) {
	t.Setenv("ELEVENLABS_WEBHOOK_SECRET", explainedSecret)
	for _, argument := range []string{explainedSecret, "sk_" + explainedSecret[5:], "SECRET=" + explainedSecret, "whsec_" + explainedSecret[5:]} {
		got := clitest.Run(NewCmdVerify, verifyEnv, "", "verify", argument)
		require.Error(t, got.Err)
		assert.NotContains(t, got.Err.Error()+got.Stderr+got.Stdout, explainedSecret[5:])
	}
}

func TestVerifyRoundsTheAgeAlikeEverywhere(t *testing.T) {
	for age, want := range map[time.Duration]struct {
		seconds int64
		says    string
	}{700 * time.Millisecond: {1, "1s ago"}, 400 * time.Millisecond: {0, "0s ago"}, -700 * time.Millisecond: {-1, "1s ahead"}} {
		v := judgeAge(explainedAt, defaultWindow, explainedAt.Add(age))
		assert.Equal(t, want.seconds, *v.Age)
		assert.Contains(t, v.Sentence, want.says)
	}
}

func TestVerifyExplainGivesWayToAnInterrupt(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	tried := 0
	_, err := explain(ctx, captured(explainedBody, headerOf(explainedSecret, "other")), []byte(explainedSecret), defaultWindow, explainedAt, func() {
		if tried++; tried == 10 {
			interrupt()
		}
	})
	assert.ErrorIs(t, err, cmdutil.ErrInterrupted)
	assert.Equal(t, 10, tried)
}
