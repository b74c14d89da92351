package terminaltest

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// patience is how long a test waits for what a program does at a terminal.
const patience = 20 * time.Second

// Open makes a terminal: text written to inside comes out of outside.
func Open(t testing.TB) (outside, inside *os.File) {
	t.Helper()
	outside, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	require.NoError(t, err)
	t.Cleanup(func() { _ = outside.Close() })
	number, err := unix.IoctlGetInt(int(outside.Fd()), unix.TIOCGPTN)
	require.NoError(t, err)
	require.NoError(t, unix.IoctlSetPointerInt(int(outside.Fd()), unix.TIOCSPTLCK, 0))
	inside, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	t.Cleanup(func() { _ = inside.Close() })
	return outside, inside
}

// User sits at a terminal, and types.
type User struct {
	Inside *os.File // the terminal for the program

	t       testing.TB
	outside *os.File
	mu      sync.Mutex
	shown   strings.Builder
	read    int // of what is shown, how much the user has read
}

// Sit makes a terminal with a user.
func Sit(t testing.TB) *User {
	t.Helper()
	u := &User{t: t}
	u.outside, u.Inside = Open(t)
	go func() {
		buffer := make([]byte, 1<<10)
		for n, err := u.outside.Read(buffer); err == nil; n, err = u.outside.Read(buffer) {
			u.mu.Lock()
			u.shown.Write(buffer[:n])
			u.mu.Unlock()
		}
	}()
	return u
}

// Shown returns all that the terminal has shown.
func (u *User) Shown() string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return strings.ReplaceAll(u.shown.String(), "\r\n", "\n")
}

// Await reads until the terminal shows a text.
func (u *User) Await(text string) {
	u.t.Helper()
	require.Eventually(u.t, func() bool {
		shown := u.Shown()
		before, _, found := strings.Cut(shown[u.read:], text)
		if found {
			u.read += len(before) + len(text)
		}
		return found
	}, patience, time.Millisecond, "the terminal never shows %q", text)
}

// AwaitHidden waits until the terminal does not show what is typed.
func (u *User) AwaitHidden() {
	u.t.Helper()
	require.Eventually(u.t, func() bool {
		state, err := unix.IoctlGetTermios(int(u.Inside.Fd()), unix.TCGETS)
		return err == nil && state.Lflag&unix.ECHO == 0
	}, patience, time.Millisecond, "the terminal shows what is typed")
}

// Type types a text.
func (u *User) Type(text string) {
	u.t.Helper()
	_, err := u.outside.WriteString(text)
	require.NoError(u.t, err)
}
