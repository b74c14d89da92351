package caddymodule

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
)

var (
	// askTimeout is how long the admin endpoint may take to begin its answer.
	askTimeout = 10 * time.Second
	// changeTimeout is how long it may take to change many events.
	changeTimeout = 10 * time.Minute
)

// askAdmin asks the admin endpoint of a running Caddy. It finds the endpoint as
// Caddy's own commands do. The answer must be of the type that the header Accept asks
// for, or else JSON: many servers answer 200 to any path.
func askAdmin(ctx context.Context, ask cmdutil.AdminRequest) (*http.Response, error) {
	address, err := adminAddress(ask.Address, ask.Config, ask.Adapter)
	if err != nil {
		return nil, err
	}
	place, err := parseAdminAddress(address)
	if err != nil {
		return nil, err
	}
	method, timeout := http.MethodGet, askTimeout
	if ask.Post != nil {
		method, timeout = http.MethodPost, changeTimeout
	}
	request, err := http.NewRequestWithContext(ctx, method, adminOrigin(place)+ask.URI, bytes.NewReader(ask.Post))
	if err != nil {
		return nil, fmt.Errorf("asking Caddy's admin endpoint at %s: %w", address, err)
	}
	maps.Copy(request.Header, ask.Header)
	if ask.Post != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if !place.IsUnixNetwork() {
		request.Header.Set("Origin", adminOrigin(place))
	}
	client := http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			ResponseHeaderTimeout: timeout,
			DisableKeepAlives:     true, // each request has a transport of its own
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				dialer := net.Dialer{Timeout: askTimeout}
				return dialer.DialContext(ctx, place.Network, place.JoinHostPort(0))
			},
		},
	}
	response, err := client.Do(request)
	if err != nil {
		if request, ok := errors.AsType[*url.Error](err); ok {
			err = request.Err // without the URL, which is made of the address
		}
		return nil, fmt.Errorf("asking Caddy's admin endpoint at %s (is Caddy running? --address says where): %w", address, err)
	}
	if err := checkAdminAnswer(response, cmp.Or(ask.Header.Get("Accept"), "application/json")); err != nil {
		_ = response.Body.Close()
		return nil, fmt.Errorf("asking Caddy's admin endpoint at %s: %w", address, err)
	}
	return response, nil
}

// checkAdminAnswer returns an error if an answer is not of a media type.
func checkAdminAnswer(response *http.Response, mediaType string) error {
	err := cmdutil.CheckAnswer(response, mediaType, func(answer string) string {
		return fmt.Sprintf("another server, or a Caddy without this module, answered %s (--address says where Caddy's admin endpoint is)", answer)
	})
	if response.StatusCode == http.StatusForbidden && err != nil {
		err = fmt.Errorf("%w (Caddy lets in only its endpoint's own host and port: give a tunnel the same port, or name the tunnel's in the option origins of admin)", err)
	}
	return err
}

// adminAddress returns the address of the admin endpoint: one that is given, that of a
// configuration file, or Caddy's default.
func adminAddress(address, file, adapter string) (string, error) {
	if address != "" || file == "" {
		return caddycmd.DetermineAdminAPIAddress(address, nil, "", "")
	}
	defer silenceLogs()()
	config, _, _, err := caddycmd.LoadConfig(file, adapter)
	if err != nil {
		return "", fmt.Errorf("finding the admin endpoint's address in --config: %w", err)
	}
	var c struct {
		Admin caddy.AdminConfig `json:"admin"`
	}
	if json.Unmarshal(config, &c) == nil && c.Admin.Disabled {
		return "", fmt.Errorf("%s switches Caddy's admin endpoint off, which this command needs", file)
	}
	return caddycmd.DetermineAdminAPIAddress("", config, file, adapter)
}

// parseAdminAddress parses an address of the admin endpoint as Caddy's own commands do,
// except that they dial port 0 if there is none.
func parseAdminAddress(address string) (caddy.NetworkAddress, error) {
	place, err := caddy.ParseNetworkAddress(address)
	switch {
	case strings.Contains(address, "://"):
		err = errors.New("it is a URL")
	case err != nil:
	case place.IsUnixNetwork() && place.Host == "":
		err = errors.New("it has no path")
	case place.IsUnixNetwork():
		place.Host, _, _ = strings.Cut(place.Host, "|") // the rest is the socket's mode
		return place, nil
	case !slices.Contains([]string{"tcp", "tcp4", "tcp6"}, place.Network):
		err = fmt.Errorf("%q is no network that a command can dial", place.Network)
	case place.StartPort == 0:
		err = errors.New("it has no port")
	case place.PortRangeSize() > 1:
		err = errors.New("it has several ports")
	}
	if err != nil {
		return place, fmt.Errorf("%q is no address of Caddy's admin endpoint: %w; give one such as localhost:2019 or unix//run/caddy/admin.sock", address, err)
	}
	return place, nil
}

// adminOrigin returns the origin that Caddy lets in. A socket has no address, so its
// origin is the one that Caddy's own commands give.
func adminOrigin(place caddy.NetworkAddress) string {
	if place.IsUnixNetwork() {
		return "http://127.0.0.1"
	}
	return "http://" + place.JoinHostPort(0)
}
