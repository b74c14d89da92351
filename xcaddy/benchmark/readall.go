package main

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
)

// readall is the handler that most people would write: it reads, hashes, decodes
// and forwards the whole body. It is a contender, not a recommendation.
func readall() {
	upstream, err := url.Parse("http://" + os.Getenv("UPSTREAM"))
	check(err)
	proxy := httputil.NewSingleHostReverseProxy(upstream)
	key := []byte(os.Getenv("WEBHOOK_SECRET"))
	check(http.ListenAndServeTLS("127.0.0.1:"+os.Getenv("PORT"), os.Getenv("CERTIFICATE"), os.Getenv("KEY"), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := r.Header.Get("ElevenLabs-Signature")
		t, v0, found := strings.Cut(strings.TrimPrefix(header, "t="), ",v0=")
		if !found {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(t + "."))
		mac.Write(body)
		if !hmac.Equal([]byte(hex.EncodeToString(mac.Sum(nil))), []byte(v0)) {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		var event struct {
			Type string `json:"type"`
			Data struct {
				ConversationID string `json:"conversation_id"`
			} `json:"data"`
		}
		if err := json.Unmarshal(body, &event); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		r.Header.Set("X-Event-Type", event.Type)
		r.Header.Set("X-Conversation-Id", event.Data.ConversationID)
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		proxy.ServeHTTP(w, r)
	})))
}
