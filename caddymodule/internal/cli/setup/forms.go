package setup

import (
	"cmp"
	"errors"
	"net"
	"net/netip"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/doctor"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"
)

// Each form returns an answer as the Caddyfile needs it, or what is wrong with it. The
// errors do not repeat the answer, which may be a secret in the wrong place.

var (
	label       = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	tcpBackend  = regexp.MustCompile(`^(https?://)?([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:\d+)?$`)
	unixBackend = regexp.MustCompile(`^unix//[\w./@+-]+$`)
	digits      = regexp.MustCompile(`^\d+$`)
	plainPath   = regexp.MustCompile(`^(/[\w.~-]+)+$`)
)

// local is the domain for a try on one's own machine.
const local = "localhost"

func domainForm(answer string) (string, error) {
	domain := strings.ToLower(strings.TrimSpace(answer))
	host, port, hasPort := strings.Cut(domain, ":")
	labels := strings.Split(host, ".")
	notLabel := func(text string) bool { return !label.MatchString(text) }
	switch {
	case strings.Contains(domain, "/"):
		return "", errors.New("the domain must be the name alone, without https:// and without a path")
	case isAddress(host) || isAddress(strings.Trim(domain, "[]")) || digits.MatchString(labels[len(labels)-1]):
		return "", errors.New("the domain must be a name, not an IP address: Caddy obtains the certificate that ElevenLabs needs for a name")
	case slices.ContainsFunc(labels, notLabel):
		return "", errors.New("the domain must be like hooks.example.com: letters, digits and hyphens, with dots between them; a name with other letters is written as xn--…")
	case host != local && len(labels) < 2 || len(host) > 253:
		return "", errors.New("the domain must be whole, such as hooks.example.com")
	case hasPort && !validPort(port):
		return "", errors.New("the port of the domain must be a number from 1 to 65535")
	case port == "80":
		return "", errors.New("the port of the domain must not be 80: Caddy serves it without TLS, and ElevenLabs calls only https")
	}
	return strings.TrimSuffix(domain, ":443"), nil
}

func isAddress(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil
}

func backendForm(answer string) (string, error) {
	backend := strings.TrimSpace(answer)
	if digits.MatchString(backend) {
		backend = local + ":" + backend
	}
	if unixBackend.MatchString(backend) {
		return backend, nil
	}
	parts := tcpBackend.FindStringSubmatch(strings.TrimSuffix(backend, "/"))
	switch {
	case parts == nil:
		return "", errors.New("the application's address must be like localhost:3000, or unix//run/app.sock, without a path: the application gets each event at the webhook's path")
	case parts[1] == "" && parts[3] == "":
		return "", errors.New("the application's address must have a port, such as localhost:3000")
	case parts[3] != "" && !validPort(parts[3][1:]):
		return "", errors.New("the port of the application must be a number from 1 to 65535")
	case parts[1] == "http://" && parts[3] == ":443", parts[1] == "https://" && parts[3] == ":80":
		return "", errors.New("the application's port is 443 with https://, and 80 with http://: Caddy does not take the one with the other")
	}
	return parts[0], nil
}

// backendForm is the form of a backend behind this domain, which is not Caddy itself.
func (l layout) backendForm(answer string) (string, error) {
	backend, err := backendForm(answer)
	if err != nil {
		return "", err
	}
	network, address := dialTarget(backend)
	if network != "tcp" {
		return backend, nil
	}
	host, port, err := net.SplitHostPort(strings.ToLower(address))
	if err != nil {
		return "", err
	}
	domain, own, _ := strings.Cut(l.domain, ":")
	caddys := port == cmp.Or(own, "443") || port == "80" && !l.onlyHere()
	if ip, err := netip.ParseAddr(host); caddys && (host == domain || host == local || err == nil && (ip.IsLoopback() || ip.IsUnspecified())) {
		return "", errors.New("this is the address of Caddy itself: give the one of your application, at another port")
	}
	return backend, nil
}

func validPort(text string) bool {
	port, err := strconv.ParseUint(text, 10, 16)
	return err == nil && port > 0 && text[0] != '0'
}

func pathForm(answer string) (string, error) {
	if !plainPath.MatchString(answer) {
		return "", errors.New("the path must be like /webhooks/elevenlabs: it begins with a slash, ends with none, and has only letters, digits and ._~-")
	}
	if path.Clean(answer) != answer {
		return "", errors.New("the path must be without . and .. between its slashes: clients resolve them, and call another path")
	}
	return answer, nil
}

func secretForm(answer string) (string, error) {
	secret := strings.TrimSpace(answer)
	return secret, doctor.CheckSecretForm(secret)
}

func apiKeyForm(answer string) (string, error) {
	key := strings.TrimSpace(answer)
	if strings.HasPrefix(key, facts.SecretPrefix) {
		return "", errors.New("this is a signing secret: give an API key")
	}
	if key == "" {
		return "", errors.New("give an API key, or end this by Ctrl-C")
	}
	return key, nil
}

// dialTarget returns the arguments for net.Dial of a backend that has its form.
func dialTarget(backend string) (network, address string) {
	if path, ok := strings.CutPrefix(backend, "unix/"); ok {
		return "unix", path
	}
	parts := tcpBackend.FindStringSubmatch(backend)
	port := strings.TrimPrefix(parts[3], ":")
	switch {
	case port != "":
	case parts[1] == "https://":
		port = "443"
	default:
		port = "80"
	}
	return "tcp", net.JoinHostPort(strings.Trim(parts[2], "[]"), port)
}
