package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// pebble runs Let's Encrypt's ACME server for tests, and a DNS server that resolves every
// name to this machine. Pebble validates the server at the two ports.
func pebble(t testing.TB, httpPort, httpsPort int) (directory, certificate string, roots *x509.CertPool) {
	t.Helper()
	dir := t.TempDir()
	build := exec.Command("go", "build", "-modfile=../.ci/tools.mod", "-o", dir+"/",
		"github.com/letsencrypt/pebble/v2/cmd/pebble", "github.com/letsencrypt/pebble/v2/cmd/pebble-challtestsrv")
	if output, err := build.CombinedOutput(); err != nil {
		if os.Getenv("TEST_NO_SKIP") != "" {
			require.NoError(t, err, "%s", output)
		}
		t.Skipf("Pebble cannot be built: %s", output)
	}
	certificate = filepath.Join(dir, "pebble.pem")
	key := filepath.Join(dir, "pebble.key")
	selfSigned(t, certificate, key)

	acme, management, dns := freePort(t), freePort(t), freePort(t)
	config := filepath.Join(dir, "pebble.json")
	require.NoError(t, os.WriteFile(config, fmt.Appendf(nil, `{"pebble": {
		"listenAddress": "127.0.0.1:%d", "managementListenAddress": "127.0.0.1:%d",
		"certificate": %q, "privateKey": %q, "httpPort": %d, "tlsPort": %d}}`,
		acme, management, certificate, key, httpPort, httpsPort), 0o600))
	run(t, dir, "pebble-challtestsrv", "-defaultIPv6", "", "-dnsserver", fmt.Sprintf("127.0.0.1:%d", dns),
		"-management", fmt.Sprintf("127.0.0.1:%d", freePort(t)), "-http01", "", "-https01", "", "-tlsalpn01", "", "-doh", "")
	run(t, dir, "pebble", "-config", config, "-dnsserver", fmt.Sprintf("127.0.0.1:%d", dns))

	trusted, err := os.ReadFile(certificate)
	require.NoError(t, err)
	own := x509.NewCertPool()
	require.True(t, own.AppendCertsFromPEM(trusted))
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: own}}}
	defer client.CloseIdleConnections()
	var root []byte
	require.Eventually(t, func() bool {
		response, err := client.Get(fmt.Sprintf("https://127.0.0.1:%d/roots/0", management))
		if err != nil {
			return false
		}
		defer response.Body.Close()
		root, err = io.ReadAll(response.Body)
		return err == nil && response.StatusCode == http.StatusOK
	}, patience, 50*time.Millisecond, "Pebble to serve")
	roots = x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM(root))
	return fmt.Sprintf("https://127.0.0.1:%d/dir", acme), certificate, roots
}

func run(t testing.TB, dir, program string, args ...string) {
	t.Helper()
	command, output := exec.Command(filepath.Join(dir, program), args...), new(lockedBuffer)
	command.Env = append(os.Environ(), "PEBBLE_VA_NOSLEEP=1")
	command.Stdout, command.Stderr = output, output
	require.NoError(t, command.Start())
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
		if t.Failed() {
			t.Log(output.String())
		}
	})
}

func selfSigned(t testing.TB, certificate, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(certificate, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	der, err = x509.MarshalPKCS8PrivateKey(private)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600))
}

// The site has a domain name and no options for TLS, like that of a user.
func TestServerObtainsACertificateByACMEAndAcceptsAnEvent(t *testing.T) {
	t.Parallel()
	const name = "hooks.example.com"
	httpPort, httpsPort := freePort(t), freePort(t)
	directory, trusted, roots := pebble(t, httpPort, httpsPort)
	b := newBackend(t)
	s := start(t, fmt.Sprintf("{\nacme_ca %s\nacme_ca_root %s\nhttp_port %d\nhttps_port %d\n}\n%s", directory, trusted, httpPort, httpsPort, site("respond 404"))+fmt.Sprintf(`
		%s {
			handle /webhooks/elevenlabs {
				elevenlabs_webhook {
					secret {env.WEBHOOK_SECRET} end-to-end
					reverse_proxy %s
				}
			}
		}`, name, b.address()))

	transport := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, "127.0.0.1:"+strconv.Itoa(httpsPort))
		},
	}
	client := &http.Client{Transport: transport, Timeout: patience}
	t.Cleanup(client.CloseIdleConnections)
	s.eventually("the certificate", func() bool {
		response, err := client.Get("https://" + name)
		if err == nil {
			response.Body.Close()
		}
		return err == nil
	})
	request := s.event([]byte(transcript))
	request.URL.Host, request.Host = name, name
	assert.Equal(t, 200, send(t, client, request).status)
	requireDelivered(t, b, []byte(transcript))
}
