package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var processID = regexp.MustCompile(`pid=(\d+)`)

// The page says how to find and stop it.
func TestASecondServerStartsBesideOneThatGoRunLeft(t *testing.T) {
	runtimeOf(t, "ss")
	const page = "docs/try.md"
	list, stop := shOf(t, page, "ss -ltnp"), shOf(t, page, "caddy stop")
	content, err := os.ReadFile("../Caddyfile.example")
	require.NoError(t, err)
	s := newServer(t)
	port := strings.TrimPrefix(s.address, "localhost:")
	require.NoError(t, os.WriteFile(s.file, []byte(strings.NewReplacer("8443", port, "9080", strconv.Itoa(freePort(t))).Replace(string(content))), 0o600))
	withCaddyInThePath(t)
	t.Setenv("CADDY_ADMIN", s.admin)
	t.Setenv("XDG_DATA_HOME", dataDir)
	cache, err := exec.Command("go", "env", "GOCACHE").Output()
	require.NoError(t, err)

	run := func(key string, words ...string) *exec.Cmd {
		command := exec.Command(words[0], append(words[1:], "run", "--config", s.file)...)
		command.Dir = ".."
		command.Env = append(os.Environ(), "GOCACHE="+strings.TrimSpace(string(cache)), "TMPDIR="+s.spool, "XDG_CONFIG_HOME="+filepath.Dir(s.file), "ELEVENLABS_WEBHOOK_SECRET="+key)
		command.Stdout, command.Stderr = s.log, s.log
		command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		require.NoError(t, command.Start())
		group := command.Process.Pid
		t.Cleanup(func() { // of go run, which may have gone, the server too
			_ = syscall.Kill(-group, syscall.SIGKILL)
			_ = command.Wait()
		})
		return command
	}
	servers := func() (pids []string) {
		output, err := exec.Command("sh", "-c", strings.ReplaceAll(list, "8443", port)).CombinedOutput()
		require.NoError(t, err, "%s", output)
		for _, match := range processID.FindAllStringSubmatch(string(output), -1) {
			pids = append(pids, match[1])
		}
		return pids
	}

	first := run("wsec_demo", "go", "run", "./xcaddy")
	require.Eventually(t, func() bool { return len(servers()) == 1 }, 10*patience, patience/40, "go run to build and start the server")
	require.NotEqual(t, fmt.Sprint(first.Process.Pid), servers()[0], "the server is a process of its own")
	require.NoError(t, first.Process.Kill())
	_, err = first.Process.Wait() // Wait would wait for the server, which has the log
	require.NoError(t, err)
	assert.Len(t, servers(), 1, "it still runs")

	run("wsec_other", "caddy")
	s.eventually("a second server beside it", func() bool { return len(servers()) == 2 })
	s.awaitLog("serving initial configuration")
	assert.NotContains(t, s.log.String(), "address already in use")

	for left := 1; left >= 0; left-- {
		output, err := exec.Command("sh", "-c", stop).CombinedOutput()
		require.NoError(t, err, "%s", output)
		s.eventually("a server to stop", func() bool { return len(servers()) == left })
	}
	output, err := exec.Command("sh", "-c", stop).CombinedOutput()
	require.Error(t, err)
	assert.Contains(t, string(output), "connection refused")
}
