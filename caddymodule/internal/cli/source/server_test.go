package source

import (
	"net"
	"net/url"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
)

// A tunnel accepts connections while nobody is at its other end.
func TestAnInspectorThatIsSilentIsNotWaitedForWithoutEnd(t *testing.T) {
	usual := answerWithin
	t.Cleanup(func() { answerWithin = usual })
	answerWithin = 50 * time.Millisecond
	tunnel, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = tunnel.Close() })
	for _, scheme := range []string{"http", "https"} {
		t.Run(scheme, func(t *testing.T) {
			cmd := &cobra.Command{}
			cmd.SetContext(t.Context())
			flags := AddFlags(cmd, cmdutil.Env{Now: time.Now})
			require.NoError(t, cmd.ParseFlags([]string{"--server", scheme + "://" + tunnel.Addr().String()}))
			from, err := flags.Source(cmd)
			require.NoError(t, err)
			for what, ask := range map[string]func() error{
				"a list":   func() error { _, err := from.Newest(cmd, url.Values{}, 1); return err },
				"a body":   func() error { _, err := from.Body(cmd, 7); return err },
				"a stream": func() error { _, err := from.Follow(cmd, url.Values{}, ""); return err },
			} {
				answered := make(chan error, 1)
				go func() { answered <- ask() }()
				select {
				case err := <-answered:
					assert.ErrorContains(t, err, "no answer within 50ms", what)
				case <-time.After(10 * time.Second):
					assert.Fail(t, "it still waits", what)
				}
			}
		})
	}
}
