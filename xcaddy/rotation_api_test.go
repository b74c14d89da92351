package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	apiHost = "api.elevenlabs.io"
	apiKey  = "sk_of_an_administrator"
)

// workspace is ElevenLabs' side of a rotation: the part of its API that the commands
// use, and what signs events. The commands reach it through a proxy.
type workspace struct {
	proxy, ca string // the proxy's URL, and the file with its certificate

	mu       sync.Mutex
	webhooks []map[string]any
	secrets  map[string]string // by the webhook's id
	attached map[string]any    // by place: "settings", or an agent's id
	retries  string            // a secret with which events are still sent again
}

// newWorkspace has a webhook that the workspace and an agent use.
func newWorkspace(t *testing.T, url string) *workspace {
	w := &workspace{
		secrets:  map[string]string{"wh_old": secret},
		attached: map[string]any{"settings": "wh_old", "agent_1": "wh_old", "agent_2": nil},
	}
	w.add("wh_old", "gateway", url)

	mux := http.NewServeMux()
	for pattern, operation := range map[string]func(*http.Request) any{
		"GET /v1/workspace/webhooks":         w.list,
		"POST /v1/workspace/webhooks":        w.create,
		"PATCH /v1/workspace/webhooks/{id}":  func(*http.Request) any { return map[string]any{"status": "ok"} },
		"DELETE /v1/workspace/webhooks/{id}": w.delete,
		"GET /v1/convai/{place...}":          w.read,
		"PATCH /v1/convai/{place...}":        w.attach,
	} {
		mux.HandleFunc(pattern, func(rw http.ResponseWriter, r *http.Request) {
			w.mu.Lock()
			defer w.mu.Unlock()
			answer := operation(r)
			if r.Header.Get("Xi-Api-Key") != apiKey || answer == nil {
				rw.WriteHeader(http.StatusBadRequest)
				return
			}
			_ = json.NewEncoder(rw).Encode(answer)
		})
	}
	w.proxy, w.ca = serveAPI(t, mux)
	return w
}

// serveAPI serves ElevenLabs' API. It returns the URL of a proxy through which a command
// reaches it, and the file with its certificate.
func serveAPI(t *testing.T, handler http.Handler) (proxyURL, ca string) {
	api := httptest.NewUnstartedServer(handler)
	certificate := certificateFor(t, apiHost)
	api.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
	api.StartTLS()
	t.Cleanup(api.Close)

	proxy := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect || r.Host != apiHost+":443" {
			rw.WriteHeader(http.StatusForbidden)
			return
		}
		to, err := net.Dial("tcp", api.Listener.Addr().String())
		if err != nil {
			rw.WriteHeader(http.StatusBadGateway)
			return
		}
		defer to.Close()
		rw.WriteHeader(http.StatusOK)
		from, buffered, err := http.NewResponseController(rw).Hijack()
		if err != nil {
			return
		}
		defer from.Close()
		go func() { _, _ = io.Copy(to, buffered) }()
		_, _ = io.Copy(from, to)
	}))
	t.Cleanup(proxy.Close)
	ca = filepath.Join(t.TempDir(), "api.pem")
	require.NoError(t, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Certificate[0]}), 0o600))
	return proxy.URL, ca
}

// certificateFor makes a certificate that signs itself.
func certificateFor(t *testing.T, host string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{host}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func (w *workspace) add(id, name string, url any) {
	w.webhooks = append(w.webhooks, map[string]any{
		"webhook_id": id, "name": name, "webhook_url": url, "auth_type": "hmac", "created_at_unix": 1764000000,
		"is_disabled": false, "is_auto_disabled": false, "retry_enabled": true, "request_headers": map[string]any{},
	})
}

// list shows the webhooks with what uses them.
func (w *workspace) list(*http.Request) any {
	for _, webhook := range w.webhooks {
		usage := []any{}
		for place, id := range w.attached {
			if id == webhook["webhook_id"] {
				usage = append(usage, map[string]any{"usage_type": map[bool]string{true: "ConvAI Settings", false: "ConvAI Agent Settings"}[place == "settings"]})
			}
		}
		webhook["usage"] = usage
	}
	return map[string]any{"webhooks": w.webhooks}
}

func (w *workspace) create(r *http.Request) any {
	var body struct {
		Settings struct {
			Name string `json:"name"`
			URL  string `json:"webhook_url"`
		} `json:"settings"`
	}
	if json.NewDecoder(r.Body).Decode(&body) != nil {
		return nil
	}
	id := fmt.Sprint("wh_new_", len(w.webhooks))
	w.add(id, body.Settings.Name, body.Settings.URL)
	w.secrets[id] = newSecret
	return map[string]any{"webhook_id": id, "webhook_secret": newSecret}
}

// delete deletes a webhook that nothing uses.
func (w *workspace) delete(r *http.Request) any {
	id := r.PathValue("id")
	for _, user := range w.attached {
		if user == id {
			return nil
		}
	}
	w.webhooks = slices.DeleteFunc(w.webhooks, func(webhook map[string]any) bool { return webhook["webhook_id"] == id })
	return map[string]any{"status": "ok"}
}

// placeOf is where events go to a webhook from: the workspace, or an agent.
func placeOf(r *http.Request) string { return filepath.Base(r.PathValue("place")) }

func (w *workspace) read(r *http.Request) any {
	id, known := w.attached[placeOf(r)]
	if !known {
		return nil
	}
	webhooks := map[string]any{"webhooks": map[string]any{"post_call_webhook_id": id, "events": []string{"transcript"}, "transcript_format": "json"}}
	if placeOf(r) == "settings" {
		return webhooks
	}
	return map[string]any{"agent_id": placeOf(r), "platform_settings": map[string]any{"workspace_overrides": webhooks}}
}

func (w *workspace) attach(r *http.Request) any {
	type settings struct {
		ID string `json:"post_call_webhook_id"`
	}
	var body struct {
		Webhooks *settings `json:"webhooks"`
		Platform struct {
			Overrides struct {
				Webhooks *settings `json:"webhooks"`
			} `json:"workspace_overrides"`
		} `json:"platform_settings"`
	}
	if json.NewDecoder(r.Body).Decode(&body) != nil {
		return nil
	}
	to := body.Webhooks
	if to == nil {
		to = body.Platform.Overrides.Webhooks
	}
	if to == nil || w.secrets[to.ID] == "" {
		return nil
	}
	w.attached[placeOf(r)] = to.ID
	return w.read(r)
}

// signers are the secrets that sign the events of now.
func (w *workspace) signers() (keys []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.retries != "" {
		keys = append(keys, w.retries)
	}
	for _, id := range w.attached {
		if id != nil && !slices.Contains(keys, w.secrets[id.(string)]) {
			keys = append(keys, w.secrets[id.(string)])
		}
	}
	return keys
}

// retryWith says with which secret events are still sent again, if any.
func (w *workspace) retryWith(key string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.retries = key
}
