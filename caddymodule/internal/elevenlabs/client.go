// Package elevenlabs is a client of ElevenLabs's management API, as far as it is
// about webhooks: https://elevenlabs.io/docs/api-reference/webhooks/list
package elevenlabs

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"
)

// hosts are those of the API, by the region that a workspace's data is kept in.
// The one without a region is for all workspaces without data residency.
var hosts = map[string]string{
	"":   "api.elevenlabs.io",
	"us": "api.us.elevenlabs.io",
	"eu": "api.eu.residency.elevenlabs.io",
	"in": "api.in.residency.elevenlabs.io",
	"sg": "api.sg.residency.elevenlabs.io",
}

// Regions returns the names of the regions, which New takes.
func Regions() []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(hosts)), func(region string) bool { return region == "" })
}

// attemptTimeout is for one request, its answer included. It is long: a create
// given up leaves it unknown whether there is a webhook.
const attemptTimeout = time.Minute

// Client is a client of the API, made by New. It may be used by several
// goroutines at once.
type Client struct {
	key  string
	base string
	http *http.Client
}

var residency = regexp.MustCompile(`_residency_([a-z0-9]+)$`)

// New returns a client for an API key. An empty region is found by the key's
// suffix, as in …_residency_eu. The transport is nil but for tests.
func New(key, region string, transport http.RoundTripper) (*Client, error) {
	if key == "" || strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, errors.New("the API key is empty, or has blanks or other characters that no key has: copy it again")
	}
	source := "--region"
	if suffix := residency.FindStringSubmatch(key); region == "" && suffix != nil {
		region, source = suffix[1], "the end of the API key"
	}
	host, known := hosts[region]
	if !known {
		return nil, fmt.Errorf("the region %q of %s is not known: give one of %s by --region", region, source, strings.Join(Regions(), ", "))
	}
	return &Client{key: key, base: "https://" + host, http: &http.Client{
		Transport: transport,
		Timeout:   attemptTimeout,
		// net/http drops only well-known headers on the way to another host, so
		// the key would go along.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}
