package caddymodule

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestHandlersAreNamedAfterTheirSecrets(t *testing.T) {
	for want, secrets := range map[string][]Secret{
		"ELEVENLABS_WEBHOOK_SECRET": {{Value: "{env.ELEVENLABS_WEBHOOK_SECRET}"}},
		"webhook.key":               {{Value: "{file./run/secrets/webhook.key}"}},
		"new,old":                   {{Value: "{env.A}", Name: "new"}, {Value: "{env.B}", Name: "old"}},
		"secret 1,b":                {{Value: "wsec_written_out"}, {Value: "wsec_written_out", Name: "b"}},
		"secret 1":                  {{Value: "{env.A}wsec_written_out{env.B}"}},
	} {
		assert.Equal(t, want, (&Handler{Secrets: secrets}).name())
	}
}

func TestTheStatusShowsTheConfigurationWithoutSecrets(t *testing.T) {
	h, _ := provision(t, &Handler{
		Secrets: []Secret{{Value: "{env.TEST_SECRET}", Name: "by variable"}, {Value: "wsec_written_out", Name: "literal"}},
	})
	h.ReverseProxyRaw = json.RawMessage(`{"upstreams":[{"dial":"localhost:1"}],"headers":{"request":{"set":{"Authorization":["hidden"]}}}}`)
	text, err := json.Marshal(allStatus())
	require.NoError(t, err)
	for _, hidden := range []string{"wsec_", "hidden", testSecret} {
		assert.NotContains(t, string(text), hidden)
	}
	var shown []struct {
		Handler string `json:"handler"`
		Config  []Handler
	}
	require.NoError(t, json.Unmarshal(text, &shown))
	require.Len(t, shown, 1)
	assert.Equal(t, "by variable,literal", shown[0].Handler)
	require.Len(t, shown[0].Config, 1)
	assert.Equal(t, []Secret{{Value: "{env.TEST_SECRET}", Name: "by variable"}, {Name: "literal"}}, shown[0].Config[0].Secrets)
	assert.Equal(t, h.MaxSize, shown[0].Config[0].MaxSize)
	assert.NotEmpty(t, h.Secrets[1].Value, "the handler keeps its own")
}
