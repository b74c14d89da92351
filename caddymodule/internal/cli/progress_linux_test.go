package cli

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
)

// terminal makes one: what is written to the second comes out of the first.
func terminal(t *testing.T) (outside, inside *os.File) {
	t.Helper()
	outside, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	require.NoError(t, err)
	t.Cleanup(func() { outside.Close() })
	control := func(request uintptr, argument *uint32) {
		_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, outside.Fd(), request, uintptr(unsafe.Pointer(argument)))
		require.Zero(t, errno)
	}
	var number, unlocked uint32
	control(syscall.TIOCGPTN, &number)
	control(syscall.TIOCSPTLCK, &unlocked)
	inside, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	require.NoError(t, err)
	t.Cleanup(func() { inside.Close() })
	return outside, inside
}

// drawn runs a command whose standard error is a terminal until a word is drawn
// there, returns how long that took, and tells the server to answer.
func drawn(t *testing.T, env cmdutil.Env, answer chan<- struct{}, word string, args ...string) (after time.Duration) {
	t.Helper()
	outside, inside := terminal(t)
	root := &cobra.Command{Use: "elevenlabs", SilenceErrors: true, SilenceUsage: true}
	AddCommands(root, env)
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

func TestSendShowsThatItWaitsForASlowAnswer(t *testing.T) {
	answer := make(chan struct{})
	target, trust := server(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-answer
	}))
	after := drawn(t, cmdutil.Env{Now: time.Now}, answer, "sending", append([]string{"send", target}, trust...)...)
	assert.GreaterOrEqual(t, after, time.Second)
}

func TestDoctorShowsWhichCheckIsSlow(t *testing.T) {
	p := newPatient(t)
	t.Setenv("ELEVENLABS_WEBHOOK_SECRET", testSecret)
	answer := make(chan struct{})
	target, trust := server(t, protected(testSecret, p.now, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-answer })))
	t.Chdir(t.TempDir())
	after := drawn(t, cmdutil.Env{Now: time.Now}, answer, "signed", append([]string{"doctor", "--url", target}, trust...)...)
	assert.GreaterOrEqual(t, after, time.Second)
}
