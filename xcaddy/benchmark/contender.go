package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"embed"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

//go:embed nginx node/package.json node/package-lock.json node/.npmrc node/server.mjs node/durable.mjs
var files embed.FS

// contender is a running server that verifies events or forwards all of them.
type contender struct {
	name    string
	address string
	command *exec.Cmd
	admin   string // address of the admin endpoint, which serves profiles; empty if it is not Caddy
}

func (c *contender) pid() int { return c.command.Process.Pid }

func (c *contender) verifies() bool { return c.name != "plain" && c.name != "headers" }

func (c *contender) url(w work) string {
	path := "/webhooks/elevenlabs"
	if !c.verifies() && w.key == "" {
		path = "/rejected" // no rejection can be faster than one that reads nothing
	}
	return "https://" + c.address + path
}

// status returns the status that the contender must answer.
func (c *contender) status(w work) int {
	if !c.verifies() && w.key != "" {
		return http.StatusOK
	}
	return w.status
}

// arena holds what all contenders share.
type arena struct {
	dir, certificate, key, upstream string
}

func newArena(upstream string) *arena {
	dir, err := os.MkdirTemp("", "benchmark-")
	check(err)
	folder = dir
	a := &arena{dir: dir, certificate: filepath.Join(dir, "certificate.pem"), key: filepath.Join(dir, "key.pem"), upstream: upstream}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"},
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	check(err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	check(err)
	check(os.WriteFile(a.certificate, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate}), 0o600))
	check(os.WriteFile(a.key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), 0o600))
	return a
}

// contenders starts the contenders whose programs are installed, and prints which are not.
func (a *arena) contenders() []*contender {
	caddy := filepath.Join(a.dir, "caddy")
	run("", "go", "build", "-o", caddy, "github.com/caddy-elevenlabs/caddy-elevenlabs/xcaddy")
	const reject = "\trespond /rejected 400\n"
	started := []*contender{
		a.caddy("plain", caddy, reject+"\treverse_proxy "+a.upstream+"\n"),
		a.caddy("headers", caddy, reject+"\treverse_proxy "+a.upstream+" {\n"+moduleHeaders()+"\t}\n"),
		a.caddy("module", caddy, "\televenlabs_webhook {\n\t\tsecret {env.WEBHOOK_SECRET}\n\t\tspool_limit 2GiB\n\t\treverse_proxy "+a.upstream+"\n\t}\n"),
		a.start("readall", os.Args[0], []string{"readall"}),
	}
	if nginx := a.nginx(); nginx != nil {
		started = append(started, nginx)
	}
	if node := a.node("node", "server.mjs"); node != nil {
		started = append(started, node)
	}
	return started
}

// moduleHeaders returns options of reverse_proxy that add the same headers as the
// module, with values of the same length.
func moduleHeaders() string {
	id := strings.Repeat("0", 64)
	var directives strings.Builder
	for _, header := range []string{
		"X-ElevenLabs-Verified true", "X-ElevenLabs-Event-Type post_call_transcription", "X-ElevenLabs-Event-Id " + id,
		"X-ElevenLabs-Event-Timestamp 1739537297", "X-ElevenLabs-Signed-At 1739537297",
		"X-ElevenLabs-Conversation-Id conv_01jz", "X-ElevenLabs-Agent-Id agent_01jz", "Idempotency-Key " + id,
	} {
		directives.WriteString("\t\theader_up " + header + "\n")
	}
	return directives.String()
}

func (a *arena) caddy(name, binary, handlers string) *contender {
	file := filepath.Join(a.dir, name+".Caddyfile")
	port, admin := freePort(), fmt.Sprintf("127.0.0.1:%d", freePort())
	config := fmt.Sprintf("{\n\tadmin %s\n\tpersist_config off\n\tauto_https off\n\tlog {\n\t\tlevel ERROR\n\t}\n}\nhttps://127.0.0.1:%d {\n\ttls %s %s\n%s}\n", admin, port, a.certificate, a.key, handlers)
	check(os.WriteFile(file, []byte(config), 0o600))
	c := a.startAt(name, port, binary, []string{"run", "--adapter", "caddyfile", "--config", file})
	c.admin = admin
	return c
}

func (a *arena) nginx() *contender {
	nginx, err := exec.LookPath("nginx")
	if err != nil {
		fmt.Fprintln(os.Stderr, "nginx is not installed: skipped")
		return nil
	}
	dir := a.unpack("nginx")
	port := freePort()
	template, err := fs.ReadFile(files, "nginx/nginx.conf")
	check(err)
	config := strings.NewReplacer("$PORT", strconv.Itoa(port), "$UPSTREAM", a.upstream, "$CERTIFICATE", a.certificate, "$KEY", a.key).Replace(string(template))
	// nginx's workers do not run as root by default, and must read their files
	check(os.Chmod(a.dir, 0o755))
	if os.Geteuid() == 0 {
		config = "user root;\n" + config
	}
	check(os.WriteFile(filepath.Join(dir, "nginx.conf"), []byte(config), 0o600))
	if output, err := exec.Command(nginx, "-t", "-p", dir, "-c", "nginx.conf").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "nginx has no njs, or rejects the configuration: skipped\n%s", output)
		return nil
	}
	return a.startAt("nginx", port, nginx, []string{"-p", dir, "-c", "nginx.conf", "-g", "daemon off;"})
}

// node starts a program of the folder node, except if Node.js is not installed.
func (a *arena) node(name, program string) *contender {
	node, err := exec.LookPath("node")
	if err != nil {
		fmt.Fprintln(os.Stderr, "Node.js is not installed: skipped")
		return nil
	}
	dir := a.unpack("node")
	run(dir, "npm", "ci", "--no-audit", "--no-fund", "--loglevel=error")
	return a.start(name, node, []string{filepath.Join(dir, program)})
}

// unpack writes a folder of the embedded files into the arena's folder.
func (a *arena) unpack(folder string) (dir string) {
	dir = filepath.Join(a.dir, folder)
	content, err := fs.Sub(files, folder)
	check(err)
	check(os.CopyFS(dir, content))
	return dir
}

func (a *arena) start(name, program string, args []string) *contender {
	return a.startAt(name, freePort(), program, args)
}

func (a *arena) startAt(name string, port int, program string, args []string) *contender {
	c := &contender{name: name, address: fmt.Sprintf("127.0.0.1:%d", port), command: exec.Command(program, args...)}
	c.command.Env = append(os.Environ(), "PORT="+strconv.Itoa(port), "UPSTREAM="+a.upstream, "WEBHOOK_SECRET="+secret,
		"CERTIFICATE="+a.certificate, "KEY="+a.key, "TMPDIR="+a.dir, "EVENTS="+filepath.Join(a.dir, "events"), "XDG_DATA_HOME="+a.dir+"/data", "XDG_CONFIG_HOME="+a.dir+"/data")
	c.command.Stderr = os.Stderr
	check(c.command.Start())
	commands = append(commands, c.command)
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		conn, err := tls.Dial("tcp", c.address, &tls.Config{InsecureSkipVerify: true})
		if err == nil {
			check(conn.Close())
			return c
		}
		if time.Now().After(deadline) {
			check(fmt.Errorf("%s does not accept connections: %w", name, err))
		}
	}
}

// lastPort is below 32768, where the ports begin that Linux gives to connections
// and to ":0" (ip(7)). So no other program takes it before a contender listens on it.
var lastPort = 10_000 + os.Getpid()%20_000

// freePort returns a port that it never returned before. If the site and the admin
// endpoint of a Caddy had the same port, Caddy would start, but the site would not
// answer.
func freePort() int {
	for {
		lastPort++
		listener, err := net.Listen("tcp", fmt.Sprint(":", lastPort))
		if err == nil {
			check(listener.Close())
			return lastPort
		}
		if !errors.Is(err, syscall.EADDRINUSE) {
			check(err)
		}
	}
}

func run(dir, program string, args ...string) {
	command := exec.Command(program, args...)
	command.Dir = dir
	command.Stdout, command.Stderr = os.Stderr, os.Stderr
	check(command.Run())
}
