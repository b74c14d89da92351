// Package elevenlabs is a client of the parts of ElevenLabs's API that concern webhooks,
// and conversations for events that were lost:
// https://elevenlabs.io/docs/api-reference/webhooks/list
// https://elevenlabs.io/docs/api-reference/conversations/list
//
// The client repeats a request that failed, if ElevenLabs can do it twice without
// harm. Its errors contain no API key and no signing secret.
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

// hosts are the hosts of the API by data residency region. The empty region is for
// workspaces without data residency.
var hosts = map[string]string{
	"":   "api.elevenlabs.io",
	"us": "api.us.elevenlabs.io",
	"eu": "api.eu.residency.elevenlabs.io",
	"in": "api.in.residency.elevenlabs.io",
	"sg": "api.sg.residency.elevenlabs.io",
}

// Regions returns the names of the regions that New accepts, sorted.
func Regions() []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(hosts)), func(region string) bool { return region == "" })
}

// attemptTimeout limits one request, including its answer. It is long, since after a
// timeout of a create nobody knows whether the webhook exists.
const attemptTimeout = time.Minute

// audioTimeout limits one request for audio, of which an hour is about 60 MiB.
const audioTimeout = 15 * time.Minute

// Client is a client of the API. Several goroutines may use it at once. New returns
// a Client; the zero value is not usable.
type Client struct {
	key  string
	base string
	http *http.Client
	slow *http.Client // for audio
}

var residency = regexp.MustCompile(`_residency_([a-z0-9]+)$`)

// New returns a client for an API key. If the region is empty, New takes it from the
// end of the key, such as _residency_eu. The transport is nil, except in tests.
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
		return nil, fmt.Errorf("the region %q from %s is unknown: set --region to one of %s", region, source, strings.Join(Regions(), ", "))
	}
	client := http.Client{
		Transport: transport,
		Timeout:   attemptTimeout,
		// On a redirect to another host net/http drops only well-known headers, so
		// it would send the key there.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	slow := client
	slow.Timeout = audioTimeout
	return &Client{key: key, base: "https://" + host, http: &client, slow: &slow}, nil
}
