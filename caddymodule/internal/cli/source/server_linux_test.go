package source

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/clitest"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
)

func TestThePasswordIsAskedForAtATerminalAndNotShown(t *testing.T) {
	inspector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		assert.Equal(t, "admin hunter2", user+" "+password)
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, "[]")
	}))
	t.Cleanup(inspector.Close)
	outside, inside := clitest.Terminal(t)
	cmd := &cobra.Command{}
	var stderr bytes.Buffer
	cmd.SetIn(inside)
	cmd.SetErr(&stderr)
	cmd.SetContext(t.Context())
	flags := AddFlags(cmd, cmdutil.Env{Now: time.Now})
	require.NoError(t, cmd.ParseFlags([]string{"--server", inspector.URL, "--user", "admin"}))
	go func() {
		if assert.Eventually(t, func() bool {
			state, err := unix.IoctlGetTermios(int(inside.Fd()), unix.TCGETS)
			return err == nil && state.Lflag&unix.ECHO == 0
		}, 10*time.Second, time.Millisecond, "what is typed is not shown") {
			_, err := outside.WriteString("hunter2\n")
			assert.NoError(t, err)
		}
	}()
	from, err := flags.Source(cmd)
	require.NoError(t, err)
	assert.Equal(t, "The password of admin: \n", stderr.String())
	_, err = from.Newest(cmd, nil, 1)
	require.NoError(t, err)
}
