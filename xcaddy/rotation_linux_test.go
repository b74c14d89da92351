package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestRotationOfASecretInTheEnvironment(t *testing.T) {
	t.Parallel()
	const page = "docs/rotate.md"
	m := newMachine(t, page, "hooks.example.com {", "localhost:3000", "/etc/caddy/", "$ROOT/etc/caddy/")
	m.dir("etc/caddy", 0)
	write := func(caddyfile string) { m.put("etc/caddy/Caddyfile", caddyfile, 0o644, 0) }
	write(m.without("new"))
	m.serveBy(m.uid(), []string{"ELEVENLABS_WEBHOOK_SECRET=" + secret, "XDG_DATA_HOME=" + m.path("data"), "XDG_CONFIG_HOME=" + m.path("data")},
		m.path("bin/caddy"), "run", "--config", m.path("etc/caddy/Caddyfile"))

	reload, send := split(t, shOf(t, page, "elevenlabs send"), "caddy elevenlabs send")
	m.rotate(rotation{
		create: shOf(t, page, "--secret-out"),
		allow:  shOf(t, page, "chown"),
		reload: reload,
		send:   send,
		change: shOf(t, page, "--switch-to"),
		look:   shOf(t, page, "tail"),
		finish: shOf(t, page, "--finish"),
	}, "etc/caddy/secret_2", write)
}

// The layout is that of systemd: a user that systemd chooses, a credential that only
// this user can read, and the service's folder behind a link.
func TestRotationOfACredentialOfSystemd(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		skip(t, "another user's server needs root")
	}
	setpriv := runtimeOf(t, "setpriv")
	const page, credentials = "docs/deploy/systemd.md", "run/credentials/caddy-elevenlabs.service"
	m := newMachine(t, page, "hooks.example.com {\n\thandle /webhooks/elevenlabs {\n\t\televenlabs_webhook {\n\t\t\tsecret {file./run/credentials/caddy-elevenlabs.service/elevenlabs_webhook_secret} old", "localhost:3000",
		"/usr/local/bin/", "$ROOT/bin/", "/etc/caddy-elevenlabs/", "$ROOT/etc/caddy-elevenlabs/",
		"/run/credentials/", "$ROOT/run/credentials/", "/var/lib/caddy-elevenlabs", "$ROOT/var/lib/caddy-elevenlabs")
	m.dir("etc/caddy-elevenlabs", 0)
	m.dir("var/lib/private/caddy-elevenlabs", service)
	require.NoError(t, os.Symlink("private/caddy-elevenlabs", m.path("var/lib/caddy-elevenlabs")))
	m.dir(credentials, service)
	m.put(credentials+"/elevenlabs_webhook_secret", secret, 0o400, service)
	require.NoError(t, os.Chmod(m.path(credentials), 0o500))
	write := func(caddyfile string) { m.put("etc/caddy-elevenlabs/Caddyfile", caddyfile, 0o644, 0) }
	write(m.without("new"))

	unit := systemdUnit(t)
	env := []string{"XDG_DATA_HOME=" + m.path("data"), "XDG_CONFIG_HOME=" + m.path("data")}
	m.put("bin/systemctl", fmt.Sprintf("#!/bin/sh\n[ \"$*\" = 'reload caddy-elevenlabs' ] && exec env -i %s %s --reuid %d --regid %d --clear-groups %s\n",
		strings.Join(env, " "), setpriv, service, service, m.changes.Replace(unit["ExecReload"])), 0o755, 0)
	m.serveBy(service, env, strings.Fields(m.changes.Replace(unit["ExecStart"]))...)

	create, allow := split(t, shOf(t, page, "--secret-out"), "chown")
	reload, send := split(t, shOf(t, page, "--secret-file /var/lib"), "caddy-elevenlabs elevenlabs send")
	m.rotate(rotation{
		create: create,
		allow:  allow,
		reload: reload,
		send:   send,
		change: shOf(t, "docs/rotate.md", "--switch-to"),
		look:   shOf(t, "docs/rotate.md", "tail"),
		finish: shOf(t, "docs/rotate.md", "--finish"),
	}, "var/lib/caddy-elevenlabs/secret_2", write)

	// Whoever gives the command, it is the server that reads the secret.
	for _, uid := range []int{service, stranger} {
		output, err := m.do(fmt.Sprintf("%s --reuid %d --regid %d --clear-groups cat /var/lib/caddy-elevenlabs/secret_2 >/dev/null", setpriv, uid, uid))
		assert.Equal(t, uid == stranger, err != nil, output)
		m.does(fmt.Sprintf("env XDG_CONFIG_HOME=%s %s --reuid %d --regid %d --clear-groups caddy reload --config /etc/caddy-elevenlabs/Caddyfile --force", m.path("tmp"), setpriv, uid, uid))
	}
}

// systemdUnit has the example's settings.
func systemdUnit(t *testing.T) map[string]string {
	t.Helper()
	content, err := os.ReadFile("../examples/systemd/caddy-elevenlabs.service")
	require.NoError(t, err)
	unit := map[string]string{}
	for line := range strings.Lines(string(content)) {
		if name, value, found := strings.Cut(strings.TrimSpace(line), "="); found && !strings.HasPrefix(name, "#") {
			unit[name] = value
		}
	}
	return unit
}

var volume = regexp.MustCompile(`(?m)^ +- \./?(\S*?):(/[^\s:]+)(:ro)?(?: #.*)?$`)

// A mount namespace shows the server the folders of compose.yaml, as a container does.
func TestRotationInTheContainerOfCompose(t *testing.T) {
	if os.Getuid() != 0 {
		skip(t, "a mount namespace needs root")
	}
	unshare, nsenter := runtimeOf(t, "unshare"), runtimeOf(t, "nsenter")
	if output, err := exec.Command(unshare, "--mount", "true").CombinedOutput(); err != nil {
		t.Skip("a mount namespace is not permitted; the other layouts do without: ", string(output))
	}
	const page = "docs/deploy/compose.md"
	m := newMachine(t, page, "hooks.example.com {\n\thandle /webhooks/elevenlabs {\n\t\televenlabs_webhook {\n\t\t\tsecret {file./run/secrets/elevenlabs_webhook_secret} old", "app:3000",
		"/etc/caddy/", "$ROOT/etc/caddy/", "/run/secrets/", "$ROOT/run/secrets/")
	m.folder = m.path("compose")
	m.dir("compose/secrets", 0)
	m.put("compose/secrets/elevenlabs_webhook_secret", secret, 0o600, 0)
	m.put("compose/key.txt", apiKey, 0o600, 0)
	write := func(caddyfile string) { m.put("compose/Caddyfile", caddyfile, 0o644, 0) }
	write(m.without("new"))

	compose, err := os.ReadFile("../examples/compose/compose.yaml")
	require.NoError(t, err)
	caddy, _, found := strings.Cut(string(compose), "\n  app:")
	require.True(t, found)
	container := "set -e\n"
	for _, match := range volume.FindAllStringSubmatch(caddy, -1) {
		from, to := filepath.Join(m.folder, match[1]), m.path(match[2])
		if info, err := os.Stat(from); err == nil && info.IsDir() {
			m.dir(match[2], 0)
		} else {
			m.dir(filepath.Dir(match[2]), 0)
			m.put(match[2], "", 0o644, 0)
		}
		container += fmt.Sprintf("mount --bind %s %s\n", from, to)
		if match[3] != "" {
			container += fmt.Sprintf("mount -o remount,bind,ro %s\n", to)
		}
	}
	m.serveBy(0, []string{"XDG_DATA_HOME=" + m.path("data"), "XDG_CONFIG_HOME=" + m.path("data")},
		unshare, "--mount", "sh", "-c", container+"exec "+m.path("bin/caddy")+" run --config "+m.path("etc/caddy/Caddyfile"))
	m.put("bin/docker", fmt.Sprintf(`#!/bin/sh
[ "$1 $2" = "compose exec" ] || exit 64
shift 2
[ "$1" != -T ] || shift
[ "$1" = caddy ] || exit 64
shift
unset ELEVENLABS_API_KEY
exec %s --target %d --mount -- "$@"
`, nsenter, m.command.Process.Pid), 0o755, 0)

	reload, send := split(t, shOf(t, page, "--secret-file /run/secrets/secret_2"), "docker compose exec caddy "+"caddy elevenlabs send")
	m.rotate(rotation{
		create: shOf(t, page, "--secret-out"),
		reload: reload,
		send:   send,
		change: shOf(t, page, "--switch-to"),
		finish: shOf(t, page, "--finish"),
	}, "compose/secrets/secret_2", write)
	m.does(shOf(t, page, "--force"))
}
