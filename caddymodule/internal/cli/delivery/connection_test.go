package delivery

import (
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestResolveTakesAddressesOfTheURLsHostOnly(t *testing.T) {
	for argument, want := range map[string]string{
		"example.com:192.0.2.1":          "192.0.2.1:443",
		"EXAMPLE.com:192.0.2.1":          "192.0.2.1:443",
		"example.com:192.0.2.1:8443":     "192.0.2.1:8443",
		"example.com:2001:db8::1":        "[2001:db8::1]:443",
		"example.com:[2001:db8::1]":      "[2001:db8::1]:443",
		"example.com:[2001:db8::1]:8443": "[2001:db8::1]:8443",
		"example.com":                    "",
		"example.com:":                   "",
		"example.com:localhost":          "",
		"example.com:443:192.0.2.1":      "",
		"example.org:192.0.2.1":          "",
	} {
		c, err := NewClient("https://example.com/", time.Now, &Connection{resolve: argument})
		if want == "" {
			assert.ErrorContains(t, err, "--resolve", argument)
			continue
		}
		require.NoError(t, err)
		address, err := resolve(argument, c.URL)
		require.NoError(t, err)
		assert.Equal(t, want, address)
	}
}

func TestResolveTakesAnIPv6HostWithBracketsOrWithout(t *testing.T) {
	for argument, want := range map[string]string{
		"[2001:db8::1]:192.0.2.1":        "192.0.2.1:443",
		"2001:db8::1:192.0.2.1":          "192.0.2.1:443",
		"2001:db8::1:[2001:db8::2]:8443": "[2001:db8::2]:8443",
		"[2001:db8::1]:2001:db8::2":      "[2001:db8::2]:443",
		"[2001:DB8::1]:192.0.2.1:8443":   "192.0.2.1:8443",
		"[2001:db8::2]:192.0.2.1":        "",
		"2001:db8::1":                    "",
	} {
		target, err := url.Parse("https://[2001:db8::1]/")
		require.NoError(t, err)
		address, err := resolve(argument, target)
		assert.Equal(t, want, address, argument)
		if want == "" {
			assert.ErrorContains(t, err, "--resolve must be [2001:db8::1]:<address>")
		}
	}
}
