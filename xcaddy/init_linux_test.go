package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/internal/terminaltest"
)

func TestTheModesOfInitsFilesUnderEachUmaskAndForAnotherUser(t *testing.T) {
	t.Parallel()
	runtimeOf(t, "sh")
	root, err := os.MkdirTemp("", "init-test-") // t.TempDir is below a directory that others cannot enter
	require.NoError(t, err)
	defer os.RemoveAll(root)
	require.NoError(t, os.Chmod(root, 0o755))
	program := filepath.Join(root, "caddy")
	require.NoError(t, os.Link(binary, program))
	for _, umask := range []string{"0022", "0000"} {
		dir := filepath.Join(root, umask)
		require.NoError(t, os.Mkdir(dir, 0o755))
		as := func(uid int) *syscall.SysProcAttr {
			if os.Getuid() != 0 {
				return nil
			}
			return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
		}
		if os.Getuid() == 0 {
			require.NoError(t, os.Chown(dir, service, service))
		}
		command := exec.Command("sh", "-c", "umask "+umask+"; exec "+program+" elevenlabs init --domain hooks.localhost --backend localhost:1 --secret-file -")
		command.Dir, command.Env = dir, []string{"HOME=" + dir, "TMPDIR=/tmp", "PATH=" + os.Getenv("PATH")}
		command.Stdin, command.SysProcAttr = strings.NewReader(realSecret), as(service)
		output, err := command.CombinedOutput()
		require.ErrorContains(t, err, "exit status 2", "the application does not listen: %s", output)
		for name, mode := range map[string]os.FileMode{"elevenlabs_webhook_secret": 0o600, "Caddyfile": 0o644} {
			info, err := os.Stat(filepath.Join(dir, name))
			require.NoError(t, err)
			assert.Equal(t, mode, info.Mode(), "%s with umask %s", name, umask)
			if os.Getuid() == 0 {
				assert.EqualValues(t, service, info.Sys().(*syscall.Stat_t).Uid)
			}
		}
		if os.Getuid() != 0 {
			continue
		}
		for uid, says := range map[int]string{service: "Valid configuration", stranger: "/elevenlabs_webhook_secret cannot be read by the user "} {
			data, err := os.MkdirTemp(root, "data")
			require.NoError(t, err)
			require.NoError(t, os.Chown(data, uid, uid))
			validate := exec.Command(program, "validate", "--config", "Caddyfile")
			validate.Dir, validate.SysProcAttr = dir, as(uid)
			validate.Env = []string{"HOME=" + data, "XDG_DATA_HOME=" + data, "TMPDIR=/tmp"}
			output, err := validate.CombinedOutput()
			assert.Equal(t, uid == service, err == nil)
			assert.Contains(t, string(output), says)
		}
	}
}

func TestInitAsksAtATerminalAndLeavesNothingAfterCtrlC(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		lastKey string
		code    int
	}{"all answers": {realSecret + "\n", 2}, "Ctrl-C in place of the secret": {"\x03", 1}} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			user := terminaltest.Sit(t)
			command := exec.Command(binary, "elevenlabs", "init")
			command.Dir = dir
			command.Env = append(os.Environ(), "XDG_DATA_HOME="+t.TempDir(), "XDG_CONFIG_HOME="+t.TempDir())
			command.Env = append(withoutVariable(command.Env, "ELEVENLABS_WEBHOOK_SECRET"), "TERM=dumb")
			var stdout bytes.Buffer
			command.Stdin, command.Stderr, command.Stdout = user.Inside, user.Inside, &stdout
			command.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true} // so that Ctrl-C is a signal
			require.NoError(t, command.Start())
			user.Await("Domain, such as hooks.example.com:")
			user.Type("https://hooks.localhost\n")
			user.Await("without https://")
			user.Type("hooks.localhost\n")
			user.Await("Application [localhost:3000]:")
			user.Type("127.0.0.1:1\n")
			user.Await("nothing listens at 127.0.0.1:1 yet")
			user.Await("Keep events in an inbox, yes or no [yes]:")
			user.Type("\n")
			user.Await("Secret:")
			user.AwaitHidden()
			user.Type(test.lastKey)
			_ = command.Wait()
			assert.Equal(t, test.code, command.ProcessState.ExitCode(), user.Shown()+stdout.String())
			assert.NotContains(t, user.Shown()+stdout.String(), realSecret[5:])
			left, err := os.ReadDir(dir)
			require.NoError(t, err)
			if test.lastKey == "\x03" {
				assert.Empty(t, left)
				return
			}
			assert.Len(t, left, 2)
			secret, err := os.ReadFile(filepath.Join(dir, "elevenlabs_webhook_secret"))
			require.NoError(t, err)
			assert.Equal(t, realSecret, string(secret))
		})
	}
}

// withoutVariable returns an environment without a variable.
func withoutVariable(env []string, name string) []string {
	var rest []string
	for _, one := range env {
		if !strings.HasPrefix(one, name+"=") {
			rest = append(rest, one)
		}
	}
	return rest
}
