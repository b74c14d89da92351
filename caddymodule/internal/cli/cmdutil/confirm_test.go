package cmdutil

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
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
	assert.ErrorIs(t, err, ErrInterrupted)
}
