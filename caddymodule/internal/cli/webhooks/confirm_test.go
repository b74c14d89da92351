package webhooks

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
)

func TestTheAnswerToAQuestionIsALine(t *testing.T) {
	for text, want := range map[string]string{"yes\n": "yes", " y \r\n": "y", "no thanks\ny\n": "no thanks", "\n": "", "": "", "y": "y"} {
		got, err := readLine(t.Context(), strings.NewReader(text))
		require.NoError(t, err)
		assert.Equal(t, want, got)
	}
	_, err := readLine(t.Context(), iotest.ErrReader(errors.New("gone")))
	assert.EqualError(t, err, "reading the answer: gone")
}

func TestAnInterruptEndsAQuestion(t *testing.T) {
	terminal, typing := io.Pipe() // at which nothing is typed
	defer typing.Close()
	ctx, interrupt := context.WithCancel(t.Context())
	time.AfterFunc(10*time.Millisecond, interrupt)
	_, err := readLine(ctx, terminal)
	assert.ErrorIs(t, err, cmdutil.ErrInterrupted)
}

func TestDeleteNeedsYesWithoutATerminal(t *testing.T) {
	e := newElevenLabs(t)
	addOne(e)
	var stdout bytes.Buffer
	stderr, err := e.runWith(t.Context(), strings.NewReader("y\n"), &stdout, "delete", "wh_1")
	require.ErrorContains(t, err, "there is no terminal to ask at: give --yes")
	assert.Equal(t, 1, cmdutil.ExitCode(err))
	assert.Empty(t, stdout.String()+stderr)
	assert.Empty(t, e.changes)
}
