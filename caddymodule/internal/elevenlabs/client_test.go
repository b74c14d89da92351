package elevenlabs

import (
	"context"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/elevenlabs/elevenlabstest"
)

// newClient returns a client that uses a transport.
func newClient(t *testing.T, transport http.RoundTripper) *Client {
	t.Helper()
	c, err := New(elevenlabstest.Key, "", transport)
	require.NoError(t, err)
	return c
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// The functions below are operations that make one request each.

func list(ctx context.Context, c *Client) error {
	_, err := c.Webhooks(ctx)
	return err
}

func create(ctx context.Context, c *Client) error {
	_, _, err := c.CreateWebhook(ctx, WebhookSettings{Name: "a", URL: "https://a.example/"})
	return err
}

func update(ctx context.Context, c *Client) error {
	return c.UpdateWebhook(ctx, "wh_1", WebhookUpdate{Name: "a"})
}

func remove(ctx context.Context, c *Client) error { return c.DeleteWebhook(ctx, "wh_1") }

func readSettings(ctx context.Context, c *Client) error {
	_, err := c.PostCall(ctx)
	return err
}

func writeSettings(ctx context.Context, c *Client) error { return c.UpdatePostCall(ctx, PostCall{}) }

func readAgent(ctx context.Context, c *Client) error {
	_, err := c.AgentPostCall(ctx, "agent_1")
	return err
}

func writeAgent(ctx context.Context, c *Client) error {
	return c.UpdateAgentPostCall(ctx, "agent_1", PostCall{})
}

func TestRegionSelectsTheHost(t *testing.T) {
	tests := []struct{ name, key, region, host string }{
		{"no region", "sk_1", "", "api.elevenlabs.io"},
		{"eu from the key", "sk_1_residency_eu", "", "api.eu.residency.elevenlabs.io"},
		{"in from the key", "sk_1_residency_in", "", "api.in.residency.elevenlabs.io"},
		{"sg from the key", "sk_1_residency_sg", "", "api.sg.residency.elevenlabs.io"},
		{"us from the key", "sk_1_residency_us", "", "api.us.elevenlabs.io"},
		{"given", "sk_1", "us", "api.us.elevenlabs.io"},
		{"given, another than the key's", "sk_1_residency_eu", "sg", "api.sg.residency.elevenlabs.io"},
		{"given, with an unknown one in the key", "sk_1_residency_mars", "eu", "api.eu.residency.elevenlabs.io"},
		{"not at the key's end", "sk_residency_eu_1", "", "api.elevenlabs.io"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var url string
			c, err := New(test.key, test.region, roundTripper(func(r *http.Request) (*http.Response, error) {
				url = r.URL.String()
				return &http.Response{StatusCode: 404, Body: http.NoBody}, nil
			}))
			require.NoError(t, err)
			require.Error(t, readSettings(t.Context(), c))
			assert.Equal(t, "https://"+test.host+"/v1/convai/settings", url)
		})
	}
}

func TestNewRejectsImpossibleKeysAndUnknownRegions(t *testing.T) {
	tests := []struct{ name, key, region, want string }{
		{"no key", "", "", "the API key is empty, or has blanks"},
		{"a line end", "sk_1\n", "", "or other characters that no key has: copy it again"},
		{"a blank", "sk_1 2", "", "no key has"},
		{"a typographic quote", "“sk_1”", "", "no key has"},
		{"an unknown suffix", "sk_1_residency_mars", "", `the region "mars" from the end of the API key is unknown: set --region to one of eu, in, sg, us`},
		{"an unknown region", "sk_1", "EU", `the region "EU" from --region is unknown: set --region to one of eu, in, sg, us`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := New(test.key, test.region, nil)
			require.ErrorContains(t, err, test.want)
			assert.NotContains(t, err.Error(), "sk_1")
		})
	}
}

func TestRegionsAreSorted(t *testing.T) {
	assert.Equal(t, []string{"eu", "in", "sg", "us"}, Regions())
}
