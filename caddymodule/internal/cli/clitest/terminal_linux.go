package clitest

import (
	"context"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/internal/terminaltest"
)

// Terminal makes a terminal: text written to inside comes out of outside.
func Terminal(t *testing.T) (outside, inside *os.File) {
	t.Helper()
	return terminaltest.Open(t)
}

// Drawn runs a command whose standard error is a terminal until it draws a word
// there. It returns how long that took, and lets the server answer.
func Drawn(t *testing.T, newCmd NewCmd, env cmdutil.Env, answer chan<- struct{}, word string, args ...string) (after time.Duration) {
	t.Helper()
	outside, inside := Terminal(t)
	root := Root(newCmd, env)
	root.SetOut(io.Discard)
	root.SetErr(inside)
	root.SetArgs(args)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	ended := make(chan error, 1)
	began := time.Now()
	go func() { ended <- root.ExecuteContext(ctx) }()

	text, shown := "", make(chan string)
	go func() {
		buffer := make([]byte, 1<<10)
		for n, err := outside.Read(buffer); err == nil; n, err = outside.Read(buffer) {
			shown <- string(buffer[:n])
		}
	}()
	for patience := time.After(10 * time.Second); !strings.Contains(text, word); {
		select {
		case more := <-shown:
			text += more
		case <-patience:
			close(answer)
			require.Fail(t, "this is drawn: "+text)
		}
	}
	after = time.Since(began)
	close(answer)
	for {
		select {
		case <-shown:
		case err := <-ended:
			require.NoError(t, err)
			return after
		}
	}
}

// OnTerminal runs a command whose standard output and error are a terminal, and
// returns what it drew there.
func OnTerminal(t *testing.T, newCmd NewCmd, env cmdutil.Env, args ...string) (drawn string, err error) {
	t.Helper()
	outside, inside := Terminal(t)
	root := Root(newCmd, env)
	root.SetOut(inside)
	root.SetErr(inside)
	root.SetArgs(args)
	text := make(chan string)
	go func() {
		all, _ := io.ReadAll(outside) // it ends by an error: the inside is closed
		text <- string(all)
	}()
	err = root.ExecuteContext(t.Context())
	_ = inside.Close()
	return <-text, err
}
