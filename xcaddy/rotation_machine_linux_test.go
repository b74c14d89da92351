package main

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// newSecret is that of the new webhook.
const newSecret = "wsec_of_the_new_webhook"

// Users that need not exist by name.
const (
	service  = 64123 // the service's, where the test is root
	stranger = 64124
)

// machine is one on which Caddy runs as a page says, in a folder.
type machine struct {
	*server
	root      string
	caddyfile string // the page's, with both secrets
	workspace *workspace
	backend   *backend
	changes   *strings.Replacer
	env       []string // of the page's commands
	folder    string   // where they are typed

	delivering sync.Mutex // while events are being sent
	answered   map[string]int
	rejected   []string
}

// newMachine makes the machine, from the page's Caddyfile for both secrets. Pairs of
// changes follow, in which $ROOT is the machine's folder.
func newMachine(t *testing.T, page, begins, upstream string, changes ...string) *machine {
	t.Helper()
	root, err := os.MkdirTemp("", "machine-")
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, os.RemoveAll(root)) })
	require.NoError(t, os.Chmod(root, 0o755)) // another user must be able to run the server
	m := &machine{server: newServer(t), root: root, backend: newBackend(t), answered: map[string]int{}, folder: root}
	m.workspace = newWorkspace(t, m.url())

	content, err := os.ReadFile(binary)
	require.NoError(t, err)
	m.dir("bin", 0)
	m.put("bin/caddy", string(content), 0o755, 0)
	require.NoError(t, os.Symlink("caddy", m.path("bin/caddy-elevenlabs")))
	m.dir("tmp", m.uid())
	m.dir("data", m.uid())
	m.dir("home", 0)

	for i := range changes {
		changes[i] = strings.ReplaceAll(changes[i], "$ROOT", root)
	}
	m.changes = strings.NewReplacer(append(changes,
		"hooks.example.com {", "https://"+m.address+" {\n\ttls internal",
		"hooks.example.com", m.address,
		upstream, m.backend.address(),
		"--finish", "--finish --yes", // there is no terminal
		"chown caddy", fmt.Sprint("chown ", m.uid()),
	)...)
	m.caddyfile = "{\n\tadmin " + m.admin + "\n\tpersist_config off\n\tskip_install_trust\n\tauto_https disable_redirects\n}\n" +
		m.changes.Replace(findBlock(t, page, "caddyfile", begins).text)
	m.env = append(os.Environ(), "PATH="+m.path("bin")+":"+os.Getenv("PATH"), "CADDY_ADMIN="+m.admin,
		"XDG_DATA_HOME="+m.path("home"), "XDG_CONFIG_HOME="+m.path("home"),
		"HTTPS_PROXY="+m.workspace.proxy, "SSL_CERT_FILE="+m.path("ca.pem"), "ELEVENLABS_API_KEY="+apiKey)
	return m
}

// uid is the service's user.
func (m *machine) uid() int {
	if os.Getuid() == 0 {
		return service
	}
	return os.Getuid()
}

func (m *machine) path(name string) string { return filepath.Join(m.root, name) }

// dir makes a folder, which belongs to a user.
func (m *machine) dir(name string, uid int) {
	m.t.Helper()
	require.NoError(m.t, os.MkdirAll(m.path(name), 0o755))
	m.own(name, uid)
}

// put puts a file in the place of another, as editors do.
func (m *machine) put(name, content string, mode os.FileMode, uid int) {
	m.t.Helper()
	require.NoError(m.t, os.WriteFile(m.path(name)+"~", []byte(content), 0o600))
	require.NoError(m.t, os.Chmod(m.path(name)+"~", mode))
	m.own(name+"~", uid)
	require.NoError(m.t, os.Rename(m.path(name)+"~", m.path(name)))
}

func (m *machine) own(name string, uid int) {
	m.t.Helper()
	if os.Getuid() == 0 {
		require.NoError(m.t, os.Chown(m.path(name), uid, uid))
	}
}

// without returns the Caddyfile without the secret of a name.
func (m *machine) without(secret string) string {
	return regexp.MustCompile(`(?m)^\s+secret .* `+secret+`\n`).ReplaceAllString(m.caddyfile, "")
}

// serveBy runs a command that becomes the server, as a user and with no other
// variables.
func (m *machine) serveBy(uid int, env []string, words ...string) {
	t := m.t
	t.Helper()
	m.command = exec.Command(words[0], words[1:]...)
	m.command.Dir = m.root
	m.command.Env = append(env, "PATH="+os.Getenv("PATH"), "TMPDIR="+m.path("tmp"))
	m.command.Stdout, m.command.Stderr = m.log, m.log
	if os.Getuid() != uid {
		m.command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
	}
	require.NoError(t, m.command.Start())
	go func() {
		defer close(m.done)
		_ = m.command.Wait()
	}()
	t.Cleanup(m.stop)
	m.eventually("the server to serve", func() bool {
		require.True(t, m.running(), "the server ended: %s", m.log)
		conn, err := tls.Dial("tcp", m.address, &tls.Config{InsecureSkipVerify: true})
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	var bundle []byte
	for _, file := range []string{m.workspace.ca, m.path("data/caddy/pki/authorities/local/root.crt")} {
		certificate, err := os.ReadFile(file)
		require.NoError(t, err)
		bundle = append(bundle, certificate...)
	}
	m.put("ca.pem", string(bundle), 0o644, 0)
}

// do runs commands of a page.
func (m *machine) do(script string) (output string, err error) {
	command := exec.Command("sh", "-ec", "umask 000\n"+m.changes.Replace(script))
	command.Dir, command.Env = m.folder, m.env
	text, err := command.CombinedOutput()
	for _, key := range []string{secret, newSecret, apiKey} {
		assert.NotContains(m.t, string(text), key)
	}
	return string(text), err
}

// does runs commands that must succeed.
func (m *machine) does(script string) string {
	m.t.Helper()
	output, err := m.do(script)
	require.NoError(m.t, err, "%s\n%s", script, output)
	return output
}

// deliver sends events as ElevenLabs does now, until the function is called that it
// returns. Each must pass.
func (m *machine) deliver() (stop func()) {
	client := &http.Client{Timeout: patience, Transport: &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}}
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			m.round(client)
			select {
			case <-end:
				return
			default:
			}
		}
	}()
	return sync.OnceFunc(func() {
		close(end)
		<-ended
	})
}

// round sends an event with each secret that signs now. A reload may lose a
// connection before Caddy sees a request on it. The client then sends again.
func (m *machine) round(client *http.Client) {
	m.delivering.Lock()
	defer m.delivering.Unlock()
	for _, key := range m.workspace.signers() {
		got, err := try(client, m.signed([]byte(transcript), key, time.Now()))
		if err == nil {
			m.answered[key]++
			if got.status != http.StatusOK {
				m.rejected = append(m.rejected, fmt.Sprint(key, ": ", got.status, " ", got.header.Get("X-ElevenLabs-Rejection")))
			}
		}
	}
}

// awaitEvents waits for events that secrets signed.
func (m *machine) awaitEvents(keys ...string) {
	m.t.Helper()
	for _, key := range keys {
		count := func() int {
			m.delivering.Lock()
			defer m.delivering.Unlock()
			return m.answered[key]
		}
		before := count()
		m.eventually("events signed with "+key, func() bool { return count() >= before+3 })
	}
}

// rotation are a page's commands, in order.
type rotation struct {
	create string
	allow  string // lets the service read the file, if it cannot
	reload string
	send   string
	change string
	look   string // finds events that are still signed with the old secret; may be empty
	finish string
}

// rotate does the whole rotation, while events come. file is where --secret-out
// writes, and write puts a Caddyfile into its place.
func (m *machine) rotate(r rotation, file string, write func(caddyfile string)) {
	t := m.t
	t.Helper()
	stop := m.deliver()
	defer stop()
	m.awaitEvents(secret)

	output := m.does(r.create)
	assert.Contains(t, output, "wh_new_1")
	info, err := os.Stat(m.path(file))
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode())
	written, err := os.ReadFile(m.path(file))
	require.NoError(t, err)
	require.Equal(t, newSecret, string(written))
	output, err = m.do(r.create)
	require.Error(t, err, "never over another file: %s", output)

	write(m.caddyfile)
	if r.allow != "" && os.Getuid() == 0 {
		output, err := m.do(r.reload)
		require.Error(t, err, "the service cannot read the file yet: %s", output)
		m.awaitEvents(secret)
	}
	if r.allow != "" {
		m.does(r.allow)
	}
	m.does(r.reload)
	assert.Regexp(t, `(?m)^ok .* 200 `, m.does(r.send))
	m.awaitEvents(secret)

	m.workspace.retryWith(secret) // a late retry may come for 45 minutes
	assert.Contains(t, m.does(r.change), "nothing uses")
	m.awaitEvents(secret, newSecret)
	if r.look != "" {
		assert.Contains(t, m.does(r.look), `"secret_name":"old"`)
	}

	m.workspace.retryWith("")
	m.awaitEvents(newSecret) // none with the old one is on its way now
	m.does(r.finish)
	write(m.without("old"))
	m.does(r.reload)
	m.awaitEvents(newSecret)
	stop()
	assert.Empty(t, m.rejected)
	assert.GreaterOrEqual(t, len(m.backend.take()), m.answered[secret]+m.answered[newSecret]+1, "each arrived, and the sample")

	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	requireRejected(t, m.backend, send(t, client, m.signed([]byte(transcript), secret, time.Now())), 401, "signature_mismatch")
	require.Equal(t, 200, send(t, client, m.signed([]byte(transcript), newSecret, time.Now())).status)
	for _, key := range []string{secret, newSecret} {
		assert.NotContains(t, m.log.String(), key)
	}
}

// shOf returns the block of sh with a text, of a page.
func shOf(t *testing.T, page, text string) string {
	t.Helper()
	for _, b := range readPage(t, page).blocks {
		if b.language == "sh" && strings.Contains(b.text, text) {
			return b.text
		}
	}
	require.Fail(t, "no such block", "%s has no block of sh with %q", page, text)
	return ""
}

// split cuts a block before the line that begins with a text.
func split(t *testing.T, block, at string) (before, after string) {
	t.Helper()
	before, after, found := strings.Cut(block, "\n"+at)
	require.True(t, found, "%s\nhas no line that begins with %s", block, at)
	return before, at + after
}
