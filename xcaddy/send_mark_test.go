package main

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The directive elevenlabs_strip deletes the mark before the handler can read it.
func TestWhatSendSendsIsRecordedAsATestAlsoBehindStrip(t *testing.T) {
	t.Setenv("ELEVENLABS_WEBHOOK_SECRET", secret)
	for name, before := range map[string]string{"the handler alone": "", "behind elevenlabs_strip": "elevenlabs_strip\n"} {
		t.Run(name, func(t *testing.T) {
			b := newBackend(t)
			s := start(t, site(before+"handle /webhooks/elevenlabs {\nelevenlabs_webhook {\nsecret {env.WEBHOOK_SECRET}\nreverse_proxy "+b.address()+"\n}\n}"))
			got := s.send("--header", "X-Forwarded-For=192.0.2.7")
			require.Equal(t, 0, got.code, got.stdout+got.stderr)
			assert.Equal(t, true, shown(t, s, "/elevenlabs/deliveries")[0]["test"])
			arrived := b.take()
			require.Len(t, arrived, 1)
			assert.Equal(t, "Python/3.12 aiohttp/3.11.16", arrived[0].header.Get("User-Agent"))
			assert.Empty(t, arrived[0].header.Values("X-ElevenLabs-Test"))
		})
	}
}
