package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// pagesOfInspector are paths of everything that the inspector answers.
var pagesOfInspector = []string{
	"/", "/events", "/events/1", "/events/1/body", "/events/1/audio", "/deliveries", "/assets/style.css", "/no-page",
}

// get sends a request without credentials.
func get(t testing.TB, client *http.Client, url string, header ...string) answer {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	return send(t, client, request)
}

func TestInspectorShowsNothingToWhoHasNotSignedIn(t *testing.T) {
	t.Parallel()
	l := newInboxLedger(t)
	backend, database := l.backend(taken), newInboxFile(t)
	bare := strings.TrimSuffix(inboxSite(backend, database, ""), "\n}\n") + "\nhandle {\nelevenlabs_inspector\n}\n"
	s := start(t, bare+"handle_path /open/* {\nelevenlabs_inspector {\nallow_unauthenticated\n}\n}\nhandle_path /signed-in/* {"+inspected("")+"}\n}\n")
	s.awaitInbox()
	s.sendEvents([]byte(transcript))
	client := s.client("HTTP/2.0")
	for _, path := range pagesOfInspector {
		for _, accept := range []string{"text/html", "application/json", eventStreamType} {
			got := get(t, client, "https://"+s.address+path, "Accept", accept)
			assert.Equal(t, http.StatusForbidden, got.status, "%s as %s", path, accept)
			assert.Contains(t, got.body, "Nobody has signed in", path)
			assert.NotContains(t, got.body, "conv_1", path)
		}
	}
	for _, verb := range []string{"redeliver", "discard", "forget"} {
		response, err := client.PostForm("https://"+s.address+"/"+verb, url.Values{"event": {"1"}, "confirmed": {"yes"}})
		require.NoError(t, err)
		response.Body.Close()
		assert.Equal(t, http.StatusForbidden, response.StatusCode)
	}
	assert.Len(t, s.storedEvents(), 1)
	assert.Equal(t, http.StatusUnauthorized, get(t, client, "https://"+s.address+"/signed-in/").status)
	signedIn := s.inspect(client, http.MethodGet, "/signed-in/events")
	assert.Equal(t, http.StatusOK, signedIn.status)
	assert.Contains(t, signedIn.body, "<bdi>"+operator+"</bdi>")
	assert.Contains(t, signedIn.body, "conv_1")
	assert.Contains(t, get(t, client, "https://"+s.address+"/open/events").body, "conv_1")

	s.eventually("the event to be delivered", func() bool { return s.inboxCount("delivered") == 1 })
	command := findBlock(t, "docs/inspector.md", "sh", "curl").text
	command = strings.NewReplacer("-u admin", "-sk -u "+operator+":"+operatorKey, "https://inspect.example.com", "https://"+s.address+"/signed-in", "dead", "delivered").Replace(command)
	output, err := exec.Command(runtimeOf(t, "sh"), "-c", command).Output()
	require.NoError(t, err)
	assert.Contains(t, string(output), `"conversation_id":"conv_1"`)
}

const eventStreamType = "text/event-stream"

// certificate returns a certificate for a client, and the one that signed it, as PEM.
func certificate(t testing.TB) (ofClient tls.Certificate, authority string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: operator, Organization: []string{"Support"}},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// Each way to sign in that docs/inspector.md has beside basic_auth.
func TestInspectorKnowsWhoHasSignedInOtherwise(t *testing.T) {
	t.Parallel()
	l := newInboxLedger(t)
	ofClient, authority := certificate(t)
	gate := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if cookie, err := r.Cookie("session"); err != nil || cookie.Value == "none" {
			http.Redirect(w, r, "https://auth.example.com/", http.StatusFound)
		} else if cookie.Value == operator {
			w.Header().Set("Remote-User", operator)
		}
	}))
	t.Cleanup(gate.Close)
	recipe := func(beginning string) string {
		block := findBlock(t, "docs/inspector.md", "caddyfile", beginning)
		_, body, _ := strings.Cut(block.text, "{\n")
		return strings.TrimSuffix(strings.NewReplacer("auth.internal:9091", gate.Listener.Addr().String(), "/etc/caddy/operators.pem", writeFile(t, authority)).Replace(body), "}\n")
	}
	s := newServer(t)
	port := freePort(t)
	s.write(strings.TrimSuffix(inboxSite(l.backend(taken), newInboxFile(t), ""), "\n}\n") + "\nhandle {\n" + recipe("inspect.example.com {\n\tforward_auth") + "}\n}\n" +
		fmt.Sprintf("https://localhost:%d {\n", port) + strings.Replace(recipe("inspect.example.com {\n\ttls"), "tls {", "tls internal {", 1) + "}\n")
	s.serve()
	s.awaitInbox()
	s.sendEvents([]byte(transcript))

	withCertificate := func(certificates ...tls.Certificate) *http.Client {
		config := s.tlsConfig()
		config.Certificates = certificates
		transport := &http.Transport{TLSClientConfig: config}
		t.Cleanup(transport.CloseIdleConnections)
		return &http.Client{Transport: transport, Timeout: patience}
	}
	byCertificate := fmt.Sprintf("https://localhost:%d/events", port)
	got := get(t, withCertificate(ofClient), byCertificate)
	assert.Equal(t, http.StatusOK, got.status)
	assert.Contains(t, got.body, "<bdi>CN="+operator+",O=Support</bdi>")
	assert.Contains(t, got.body, "conv_1")
	stranger, _ := certificate(t)
	for name, client := range map[string]*http.Client{"without a certificate": withCertificate(), "another authority's": withCertificate(stranger)} {
		response, err := client.Get(byCertificate)
		if err == nil {
			response.Body.Close()
		}
		assert.Error(t, err, name)
	}

	client := s.client("HTTP/1.1")
	events := "https://" + s.address + "/events"
	got = get(t, client, events, "Cookie", "session="+operator)
	assert.Equal(t, http.StatusOK, got.status)
	assert.Contains(t, got.body, "<bdi>"+operator+"</bdi>")
	for name, header := range map[string][]string{
		"without a session":                            nil,
		"with a name of his own, without a session":    {"Remote-User", operator},
		"whom the gate lets in without a name":         {"Cookie", "session=nobody"},
		"with a name of his own, and none by the gate": {"Cookie", "session=nobody", "Remote-User", operator},
	} {
		got := get(t, client, events, header...)
		assert.NotEqual(t, http.StatusOK, got.status, name)
		assert.NotContains(t, got.body, "conv_1", name)
	}
}

// postTo sends the form of a button with headers.
func (s *server) postForm(path string, form url.Values, header ...string) answer {
	s.t.Helper()
	request, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, "https://"+s.address+path, strings.NewReader(form.Encode()))
	require.NoError(s.t, err)
	request.SetBasicAuth(operator, operatorKey)
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	return send(s.t, s.client("HTTP/1.1"), request)
}

func TestInspectorObeysNoOtherSiteAndNoReader(t *testing.T) {
	t.Parallel()
	l := newInboxLedger(t)
	backend, database := l.backend(status(http.StatusBadGateway)), newInboxFile(t)
	s := start(t, strings.TrimSuffix(inspectedSite(backend, database, "retry 1h", ""), "}\n")+"handle_path /reader/* {"+inspected("read_only")+"}\n}\n")
	s.awaitInbox()
	s.sendEvents([]byte(transcript))
	s.eventually("the first attempt", func() bool { return s.storedEvents()[0].Attempts == 1 && s.storedEvents()[0].State == "waiting" })
	form := url.Values{"event": {"1"}, "inbox": {"default"}, "confirmed": {"yes"}}
	own := "https://" + s.address
	for _, verb := range []string{"/redeliver", "/discard", "/forget"} {
		for name, header := range map[string][]string{
			"another site":            {"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"},
			"a site of the same host": {"Sec-Fetch-Site", "same-site", "Origin", "https://localhost:1"},
			"an old browser":          {"Origin", "https://evil.example"},
			"a frame without origin":  {"Origin", "null"},
		} {
			got := s.postForm(verb, form, header...)
			assert.Equal(t, http.StatusForbidden, got.status, "%s by %s", verb, name)
		}
		got := s.postForm("/reader"+verb, form, "Sec-Fetch-Site", "same-origin", "Origin", own)
		assert.Equal(t, http.StatusForbidden, got.status, "%s by a reader", verb)
		assert.Contains(t, got.body, "read-only")
	}

	evil := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, `<form method=post action="`+own+`/forget"><input name=event value=1><input name=confirmed value=yes></form><script>
fetch("`+own+`/forget", {method: "POST", mode: "no-cors", credentials: "include", body: new URLSearchParams("event=1&confirmed=yes")}).finally(() => document.forms[0].submit())</script>`)
	}))
	t.Cleanup(evil.Close)
	p := newTab(t, s)
	p.open("/events") // the browser has signed in here
	p.await("the list", "document.querySelector('tbody tr input')")
	p.site = evil.URL
	p.open("/")
	p.await("the answer to the form", "location.href.startsWith('"+own+"') && document.body.innerText.includes('cross-origin')")
	p.site = own

	require.Equal(t, "waiting", s.storedEvents()[0].State)
	require.Equal(t, 1, s.storedEvents()[0].Attempts)
	for _, path := range []string{"/reader/events", "/reader/events?state=waiting", "/reader/events/1?inbox=default"} {
		p.open(path)
		p.awaitText("read-only · " + operator)
		assert.Zero(t, eval[int](p, "document.querySelectorAll('form[method=post], [formaction], input[type=checkbox]').length"), path)
	}

	got := s.postForm("/discard", form, "Sec-Fetch-Site", "same-origin", "Origin", own)
	assert.Equal(t, http.StatusSeeOther, got.status, got.body)
	s.eventually("the event to be given up", func() bool { return s.storedEvents()[0].State == "discarded" })
	s.awaitLog(`"inbox":"default","events":1,`, `"by":"inspector","user":"olga","remote_addr":"127.0.0.1:`)
}
