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

//go:embed nginx node/package.json node/package-lock.json node/.npmrc node/server.mjs
var files embed.FS

// contender is a running server that verifies events, or lets them through.
type contender struct {
	name    string
	address string
	command *exec.Cmd
	admin   string // address of Caddy's admin endpoint, which has profiles; empty if it is no Caddy
}

func (c *contender) pid() int { return c.command.Process.Pid }

func (c *contender) verifies() bool { return c.name != "plain" && c.name != "headers" }

func (c *contender) url(w work) string {
	path := "/webhooks/elevenlabs"
	if !c.verifies() && w.key == "" {
		path = "/refused" // the ceiling of a refusal is one that looks at nothing
	}
	return "https://" + c.address + path
}

// status is what the contender is to answer.
func (c *contender) status(w work) int {
	if !c.verifies() && w.key != "" {
		return http.StatusOK
	}
	return w.status
}

// arena is what all contenders share.
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

// contenders starts those that this machine has. Missing ones are named.
func (a *arena) contenders() []*contender {
	caddy := filepath.Join(a.dir, "caddy")
	run("", "go", "build", "-o", caddy, "github.com/caddy-elevenlabs/caddy-elevenlabs/xcaddy")
	const refuse = "\trespond /refused 400\n"
	started := []*contender{
		a.caddy("plain", caddy, refuse+"\treverse_proxy "+a.upstream+"\n"),
		a.caddy("headers", caddy, refuse+"\treverse_proxy "+a.upstream+" {\n"+moduleHeaders()+"\t}\n"),
		a.caddy("module", caddy, "\televenlabs_webhook {\n\t\tsecret {env.WEBHOOK_SECRET}\n\t\tspool_limit 2GiB\n\t\treverse_proxy "+a.upstream+"\n\t}\n"),
		a.start("readall", os.Args[0], []string{"readall"}),
	}
	if nginx := a.nginx(); nginx != nil {
		started = append(started, nginx)
	}
	if node := a.node(); node != nil {
		started = append(started, node)
	}
	return started
}

// moduleHeaders are options of reverse_proxy to add the headers that the module
// adds to an event, or as long ones.
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
		fmt.Fprintln(os.Stderr, "nginx is not installed: left out")
		return nil
	}
	dir := a.unpack("nginx")
	port := freePort()
	template, err := fs.ReadFile(files, "nginx/nginx.conf")
	check(err)
	config := strings.NewReplacer("$PORT", strconv.Itoa(port), "$UPSTREAM", a.upstream, "$CERTIFICATE", a.certificate, "$KEY", a.key).Replace(string(template))
	// workers do not run as root, and must reach their files
	check(os.Chmod(a.dir, 0o755))
	if os.Geteuid() == 0 {
		config = "user root;\n" + config
	}
	check(os.WriteFile(filepath.Join(dir, "nginx.conf"), []byte(config), 0o600))
	if output, err := exec.Command(nginx, "-t", "-p", dir, "-c", "nginx.conf").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "nginx has no njs, or does not take the configuration: left out\n%s", output)
		return nil
	}
	return a.startAt("nginx", port, nginx, []string{"-p", dir, "-c", "nginx.conf", "-g", "daemon off;"})
}

func (a *arena) node() *contender {
	node, err := exec.LookPath("node")
	if err != nil {
		fmt.Fprintln(os.Stderr, "Node.js is not installed: left out")
		return nil
	}
	dir := a.unpack("node")
	run(dir, "npm", "ci", "--no-audit", "--no-fund", "--loglevel=error")
	return a.start("node", node, []string{filepath.Join(dir, "server.mjs")})
}

// unpack writes a folder of the embedded files into the arena's.
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
		"CERTIFICATE="+a.certificate, "KEY="+a.key, "TMPDIR="+a.dir, "XDG_DATA_HOME="+a.dir+"/data", "XDG_CONFIG_HOME="+a.dir+"/data")
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
			check(fmt.Errorf("%s does not serve: %w", name, err))
		}
	}
}

// lastPort is below the ports that Linux gives to connections and to ":0", which
// begin at 32768 (ip(7)), so that none is taken before a contender listens on it.
var lastPort = 10_000 + os.Getpid()%20_000

// freePort returns a port that it never returned before: a Caddy whose site and
// admin endpoint have the same one starts, but its site does not answer.
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
