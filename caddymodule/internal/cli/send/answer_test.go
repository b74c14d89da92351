package send

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/clitest"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/delivery"
)

func TestSendKeepsTheStatusOfAnAnswerThatBreaksOff(t *testing.T) {
	target, trust := clitest.Server(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "10")
		_, _ = io.WriteString(w, "short")
	}))
	outcome := clitest.Run(NewCmdSend, clitest.Stopped, "", append([]string{"send", target, "--json"}, trust...)...)
	assert.Equal(t, 2, outcome.Code)
	var line delivery.Result
	require.NoError(t, json.Unmarshal([]byte(outcome.Stdout), &line))
	assert.Equal(t, 200, line.Status)
	assert.Equal(t, "the answer broke off: unexpected EOF", line.Problem)
}

// A server's headers can be long, and control a terminal.
func TestSendPrintsNothingOfAServerAsItIs(t *testing.T) {
	t.Setenv("ELEVENLABS_WEBHOOK_SECRET", clitest.Secret)
	target := rawServer(t, "HTTP/1.1 403 Forbidden\r\n"+delivery.HeaderRejection+": \u009b2Jgone"+strings.Repeat("x", 1000)+"\r\nContent-Length: 0\r\n\r\n")
	outcome := clitest.Run(NewCmdSend, clitest.Stopped, "", "send", target)
	assert.Contains(t, outcome.Stdout, `"\u009b2Jgonexxx`)
	assert.NotContains(t, outcome.Stdout, "\u009b")
	assert.NotContains(t, outcome.Stdout, strings.Repeat("x", 60))
}

func TestSendPrintsNoByteOfAServerThatIsNotText(t *testing.T) {
	t.Setenv("ELEVENLABS_WEBHOOK_SECRET", clitest.Secret)
	target := rawServer(t, "HTTP/1.1 403 Forbidden\r\n"+delivery.HeaderRejection+": \x9b2Jgone\r\nContent-Length: 6\r\n\r\n\x9b2J\x1bcx")
	outcome := clitest.Run(NewCmdSend, clitest.Stopped, "", "send", target)
	assert.True(t, utf8.ValidString(outcome.Stdout), outcome.Stdout)
	assert.NotContains(t, outcome.Stdout, "\x1b")
	assert.Contains(t, outcome.Stdout, `\x9b2Jgone`)
}

// rawServer answers every request by the same bytes, over plain HTTP.
func rawServer(t *testing.T, answer string) (target string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			if request, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
				_, _ = io.Copy(io.Discard, request.Body)
				_, _ = io.WriteString(conn, answer)
			}
			conn.Close()
		}
	}()
	return "http://" + listener.Addr().String() + "/"
}

func TestSendReportsWhatGetsNoAnswerAndGoesOn(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	listener.Close()
	t.Setenv("ELEVENLABS_WEBHOOK_SECRET", clitest.Secret)
	outcome := clitest.Run(NewCmdSend, clitest.Stopped, "", "send", "https://"+listener.Addr().String(), "--count", "2")
	assert.Equal(t, 2, outcome.Code)
	assert.Equal(t, 2, strings.Count(outcome.Stdout, "connection refused"))
	assert.EqualError(t, outcome.Err, "check failed: 2 of 2 deliveries not as expected")
}

func TestSendHearsAnAnswerThatComesBeforeTheBodyIsRead(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = http.ReadRequest(bufio.NewReader(conn))
			_, _ = io.WriteString(conn, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
			conn.Close() // which resets it, since there is more to read
		}
	}()
	t.Setenv("ELEVENLABS_WEBHOOK_SECRET", clitest.Secret)
	outcome := clitest.Run(NewCmdSend, clitest.Stopped, "", "send", "http://"+listener.Addr().String(), "--event", "post_call_audio", "--minutes", "10", "--count", "50")
	assert.Equal(t, 50, strings.Count(outcome.Stdout, "  413  "), outcome.Stdout)
}

func TestSendWaitsNoLongerThanTheTimeout(t *testing.T) {
	release := make(chan struct{})
	target, trust := clitest.Server(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer close(release)
	outcome := clitest.Run(NewCmdSend, clitest.Stopped, "", append([]string{"send", target, "--timeout", "50ms"}, trust...)...)
	assert.Equal(t, 2, outcome.Code)
	assert.Contains(t, outcome.Stdout, "no answer in time; see --timeout")
}
