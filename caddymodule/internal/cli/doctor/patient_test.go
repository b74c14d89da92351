package doctor

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/clitest"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/stored"
)

const (
	doctorHost   = "hooks.example.com"
	doctorURL    = "https://hooks.example.com/webhooks/elevenlabs"
	doctorSecret = "wsec_00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
)

// patient is what doctor examines. All of it is well, until a test spoils it.
type patient struct {
	t        *testing.T
	config   cmdutil.Config
	handler  http.Handler
	names    []string // of the certificate
	from, to time.Time
	trusted  bool
	refused  bool // of TLS, as by Caddy without a certificate for the name
	args     []string
	now      time.Time
	api      http.RoundTripper
	running  string // the admin endpoint's answer; MINUTE and HOUR are so long ago
	adminErr error
	inboxes  string // its answer about inboxes; an older Caddy has none
	stored   []stored.Event

	// runCmd runs the command otherwise than clitest.Run, unless it is nil.
	runCmd func(env cmdutil.Env, args ...string) clitest.Outcome
}

func newPatient(t *testing.T) *patient {
	t.Setenv("ELEVENLABS_WEBHOOK_SECRET", "")
	require.NoError(t, os.Unsetenv("ELEVENLABS_WEBHOOK_SECRET"))
	t.Setenv("ELEVENLABS_API_KEY", "")
	require.NoError(t, os.Unsetenv("ELEVENLABS_API_KEY"))

	upstream, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = upstream.Close() })
	now := time.Now().Truncate(time.Second)
	return &patient{
		t: t,
		config: cmdutil.Config{Admin: "localhost:2019", Handlers: []cmdutil.ConfigHandler{{
			Name:   "SECRET",
			Listen: []uint{443}, Hosts: []string{doctorHost}, Paths: []string{"/webhooks/elevenlabs"},
			Secrets:   []cmdutil.ConfigSecret{{Text: "{env.SECRET}", Value: doctorSecret}},
			Upstreams: []cmdutil.ConfigUpstream{{Text: "localhost:3000", Network: "tcp", Address: upstream.Addr().String()}},
			Past:      30 * time.Minute, Future: 5 * time.Minute,
		}}},
		handler: clitest.Protected(doctorSecret, now, clitest.Answering(200)),
		names:   []string{doctorHost},
		from:    now.Add(-24 * time.Hour), to: now.Add(89 * 24 * time.Hour),
		trusted: true,
		now:     now,
		running: `[{"handler":"SECRET","failures_in_row":0,"last_delivery":"MINUTE","config":[{}]}]`,
	}
}

// signWith lets the handler sign with a key.
func (p *patient) signWith(key string) {
	p.first().SignKeys = []cmdutil.ConfigSecret{{Text: "{env.KEY}", Value: key}}
}

func (p *patient) first() *cmdutil.ConfigHandler { return &p.config.Handlers[0] }

// run serves the patient over TLS, and runs doctor on it.
func (p *patient) run(args ...string) clitest.Outcome {
	p.t.Helper()
	folder := p.t.TempDir()
	authority, key := certificate(p.t, nil, nil, p.now.Add(-time.Hour*48), p.now.Add(time.Hour*24*365))
	leaf, leafKey := certificate(p.t, authority, key, p.from, p.to, p.names...)
	server := httptest.NewUnstartedServer(p.handler)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{leaf.Raw}, PrivateKey: leafKey}}}
	if p.refused {
		server.TLS.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, errors.New("none") }
	}
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()

	if p.trusted {
		ca := filepath.Join(folder, "ca.pem")
		require.NoError(p.t, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: authority.Raw}), 0o600))
		args = append(args, "--ca", ca)
	}
	address := server.Listener.Addr().String()
	args = append(slices.Clone(p.args), args...)
	if !slices.Contains(args, "--resolve") {
		args = append(args, "--resolve", doctorHost+":"+address)
	}
	got := p.runArgs(args...)
	got.Stdout = strings.ReplaceAll(got.Stdout, address, "127.0.0.1:443")
	return got
}

// runArgs runs doctor with the patient's configuration and admin endpoint.
func (p *patient) runArgs(args ...string) clitest.Outcome {
	p.t.Helper()
	file := filepath.Join(p.t.TempDir(), "Caddyfile")
	require.NoError(p.t, os.WriteFile(file, nil, 0o600))
	env := cmdutil.Env{
		API: p.api,
		Now: func() time.Time { return p.now },
		Inspect: func(_, _ string) cmdutil.Config {
			p.config.File = "Caddyfile"
			return p.config
		},
		Admin: p.admin,
	}
	if !slices.Contains(args, "--config") {
		args = append([]string{"--config", file}, args...)
	}
	args = append([]string{"doctor"}, args...)
	if p.runCmd != nil {
		return p.runCmd(env, args...)
	}
	return clitest.Run(NewCmdDoctor, env, "", args...)
}

// admin is the admin endpoint of the running server.
func (p *patient) admin(_ context.Context, ask cmdutil.AdminRequest) (*http.Response, error) {
	if p.adminErr != nil {
		return nil, p.adminErr
	}
	if ask.URI == cmdutil.InboxesURI {
		if p.inboxes == "" {
			return nil, &cmdutil.AdminError{Status: http.StatusNotFound, Message: "it answered 404"}
		}
		return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(p.inboxes))}, nil
	}
	if strings.HasPrefix(ask.URI, cmdutil.InboxesURI+"/events?") {
		return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(p.listed()))}, nil
	}
	assert.Equal(p.t, "/elevenlabs/status", ask.URI)
	ago := func(d time.Duration) string { return p.now.Add(-d).Format(time.RFC3339) }
	text := strings.NewReplacer("MINUTE", ago(time.Minute), "HOUR", ago(time.Hour)).Replace(p.running)
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(text))}, nil
}

// certificate makes one, signed by a parent or by itself.
func certificate(t *testing.T, parent *x509.Certificate, parentKey *ecdsa.PrivateKey, from, to time.Time, names ...string) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{Organization: []string{"Test CA"}},
		NotBefore: from, NotAfter: to, DNSNames: names, IsCA: parent == nil, BasicConstraintsValid: true,
	}
	if parent == nil {
		parent, parentKey = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, parentKey)
	require.NoError(t, err)
	made, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return made, key
}

// line finds the line of a check.
func line(o clitest.Outcome, check string) string {
	var lines []string
	in := false
	for line := range strings.Lines(o.Stdout) {
		words := strings.Fields(line)
		if in = len(words) > 1 && words[1] == check || in && strings.HasPrefix(line, "      "); in {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "")
}

// golden compares what doctor prints with a golden file, whose set-up is described
// in words.
func (p *patient) golden(name, setUp string) {
	p.t.Helper()
	text, lines := p.run(), p.run("--json")
	for line := range strings.Lines(lines.Stdout) {
		var f finding
		decoder := json.NewDecoder(strings.NewReader(line))
		decoder.DisallowUnknownFields()
		require.NoError(p.t, decoder.Decode(&f))
		assert.Contains(p.t, []status{"ok", "fail", "warn", "skip"}, f.Status)
	}
	assert.Equal(p.t, text.Code, lines.Code)
	clitest.Golden(p.t, "testdata/"+name+".txtar", clitest.Case{
		Command: "doctor --config Caddyfile --resolve " + doctorHost + ":127.0.0.1:443", Code: text.Code,
		Parts: []clitest.Part{{Name: "set-up", Text: setUp}, {Name: "output", Text: text.Text()}, {Name: "json", Text: lines.Stdout}},
	})
}
