package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// ports replace the ports of Caddyfile.example by a test's, and back.
type ports struct{ there, back *strings.Replacer }

// startCaddyfileExample runs Caddyfile.example unchanged, except for the ports.
func startCaddyfileExample(t testing.TB) (*server, ports) {
	t.Helper()
	content, err := os.ReadFile("../Caddyfile.example")
	require.NoError(t, err)
	s := newServer(t)
	site, demo := strings.TrimPrefix(s.address, "localhost"), fmt.Sprint(":", freePort(t))
	p := ports{strings.NewReplacer(":8443", site, ":9080", demo), strings.NewReplacer(site, ":8443", demo, ":9080")}
	require.NoError(t, os.WriteFile(s.file, []byte(p.there.Replace(string(content))), 0o600))
	s.env = []string{"ELEVENLABS_WEBHOOK_SECRET=wsec_demo"}
	s.serve()
	return s, p
}

// The README's first request needs only openssl and curl.
func TestCaddyfileExampleAsTheREADMETriesIt(t *testing.T) {
	runtimeOf(t, "openssl")
	runtimeOf(t, "curl")
	try := findBlock(t, "README.md", "sh", "body=")
	s, ports := startCaddyfileExample(t)

	output, err := exec.Command("sh", "-c", ports.there.Replace(try.text)).CombinedOutput()
	require.NoError(t, err, "%s", output)
	assert.Contains(t, string(output), "200")
	assert.Contains(t, string(output), "X-ElevenLabs-Event-Type:      post_call_transcription")
	assert.Contains(t, string(output), "401")
	assert.Contains(t, strings.ToLower(string(output)), "x-elevenlabs-rejection: signature_mismatch")
	s.awaitLog("handled request")
	assert.NotContains(t, s.log.String(), "v0=", "the logs drop the signature")
}
