package facts

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestIsElevenLabsKnowsTheAddressesInEveryForm(t *testing.T) {
	for address, want := range map[string]bool{
		"34.67.146.145":        true,
		"34.126.179.103":       true,
		"::ffff:34.67.146.145": true,
		"34.67.146.146":        false,
		"203.0.113.7":          false,
		"34.67.146.145:443":    false,
		"":                     false,
	} {
		assert.Equal(t, want, IsElevenLabs(address), address)
	}
}
