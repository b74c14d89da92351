package facts

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestSpellingsOfAPath(t *testing.T) {
	assert.Equal(t, []string{
		"/webhooks/elevenlabs", "/webhooks/elevenlabs/", "//webhooks/elevenlabs", "/webhooks//elevenlabs", "/WEBHOOKS/ELEVENLABS",
		"/webhooks/%65levenlabs", "/webhooks/elevenlabs%2F", "/./webhooks/elevenlabs", "/x/../webhooks/elevenlabs",
		"/x/%2e%2e/webhooks/elevenlabs", "/webhooks/elevenlabs.json", "/webhooks/elevenlabs;x=1", "/webhooks/elevenlabs%00",
		"/webhooks/elevenlabs%20", "/webhooks%2Felevenlabs",
	}, Spellings("/webhooks/elevenlabs"))
	assert.Equal(t, []string{"/hook/", "/hook", "//hook"}, Spellings("/hook/")[:3])
	assert.Equal(t, "/%C3%A9", Spellings("/é")[0])
	assert.Equal(t, []string{"/"}, Spellings("/"))
	assert.Equal(t, "/webhooks;x/elevenlabs", ParameterSpelling("/webhooks/elevenlabs"))
	assert.Empty(t, ParameterSpelling("/hook"))
	assert.Empty(t, ParameterSpelling("/hook/"))
}
