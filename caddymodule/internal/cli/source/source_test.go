package source

import (
	"io"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// pipe is a source that answers with what is written into a pipe.
func pipe(silence time.Duration) (*Source, *io.PipeWriter) {
	reader, writer := io.Pipe()
	return &Source{silence: silence, get: func(*cobra.Command, string, http.Header) (io.ReadCloser, error) { return reader, nil }}, writer
}

func TestAStreamInWhichNothingComesIsLost(t *testing.T) {
	s, server := pipe(50 * time.Millisecond)
	stream, err := s.Follow(&cobra.Command{}, url.Values{}, "")
	require.NoError(t, err)
	defer stream.Close()
	go func() { _, _ = server.Write([]byte("id: 7\n\n")) }()
	m, err := stream.Next()
	require.NoError(t, err)
	assert.Equal(t, Message{Position: "7"}, m)
	_, err = stream.Next()
	assert.ErrorContains(t, err, "the server has sent nothing for 50ms")
}

func TestASlowReaderDoesNotLoseItsServer(t *testing.T) {
	s, server := pipe(20 * time.Millisecond)
	body, err := s.Body(&cobra.Command{}, 7)
	require.NoError(t, err)
	wrote := make(chan error, 2)
	go func() {
		for _, part := range []string{"a", "b"} {
			_, err := server.Write([]byte(part))
			wrote <- err
		}
	}()
	for _, part := range []string{"a", "b"} {
		text := make([]byte, 1)
		_, err := io.ReadFull(body, text)
		require.NoError(t, err)
		assert.Equal(t, part, string(text))
		require.NoError(t, <-wrote)
		<-time.After(60 * time.Millisecond) // longer than the server may be silent
	}
}

func TestAStreamMustHavePositions(t *testing.T) {
	s, server := pipe(time.Minute)
	stream, err := s.Follow(&cobra.Command{}, url.Values{}, "")
	require.NoError(t, err)
	go func() { _, _ = server.Write([]byte("id: abc\ndata: {}\n\n")) }()
	_, err = stream.Next()
	assert.ErrorContains(t, err, "a stream without positions")
}
