package doctor

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/delivery"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"
)

const (
	recipeRemedy = "Write a star behind the webhook's path, and elevenlabs_strip into the site, as docs/deploy/website.md shows."
	stripRemedy  = "Put elevenlabs_strip into the site, as docs/deploy/website.md shows."
)

// checkBypass looks in the configuration for other ways to the application.
func (e *examination) checkBypass(context.Context) []finding {
	if len(e.handlers()) == 0 {
		return only(statusSkip, "unknown without a configuration that has the handler")
	}
	var findings []finding
	for _, h := range e.handlers() {
		for _, b := range h.Bypasses {
			findings = append(findings, bypassFinding(h, b))
		}
	}
	if len(findings) == 0 {
		return only(statusOK, "no other route of the configuration brings events or their headers to the application")
	}
	return findings
}

func bypassFinding(h cmdutil.ConfigHandler, b cmdutil.ConfigBypass) finding {
	const own = ", with the client's own X-ElevenLabs-* headers"
	host := cmp.Or(b.Host, "any host")
	switch {
	case b.Error:
		return found(statusWarn, "an error route of %s forwards requests that fail before elevenlabs_webhook to %s"+own, host, b.Upstream).withRemedy(stripRemedy)
	case b.Path == "":
		return found(statusFail, "other paths of %s lead to %s"+own, host, b.Upstream).withRemedy(stripRemedy)
	}
	f := found(statusFail, "a POST to %s, path %s, reaches %s past elevenlabs_webhook", host, b.Path, b.Upstream)
	if !b.Stripped {
		f.Detail += own
	}
	switch {
	case b.OtherSite && b.Stripped:
		f.Status = statusWarn
		return f.withRemedy("Answer 404 there, or let the application check that X-ElevenLabs-Verified is true.")
	case b.OtherSite:
		return f.withRemedy("Answer 404 there. Or put elevenlabs_strip into that site, and let the application check that X-ElevenLabs-Verified is true.")
	case !slices.ContainsFunc(h.Paths, func(p string) bool { return slices.Contains(facts.Spellings(strings.TrimSuffix(p, "*")), b.Path) }):
		return f.withRemedy("Answer 404 there: a route rewrites this path to one that the application takes for the webhook's.")
	}
	return f.withRemedy(recipeRemedy)
}

// spellingsTimeout bounds the requests of checkSpellings together.
const spellingsTimeout = 30 * time.Second

// checkSpellings sends a forged event to other spellings of the URL's path, which the
// application may take for the webhook's.
func (e *examination) checkSpellings(ctx context.Context) []finding {
	if skipped := e.shut(); skipped != nil {
		return skipped
	}
	switch {
	case e.noSend:
		return only(statusSkip, "left out by --no-send, since events there may reach the application")
	case !e.gated:
		return only(statusSkip, "left out, since elevenlabs_webhook does not reject the forged event at the URL itself")
	}
	ctx, cancel := context.WithTimeout(ctx, spellingsTimeout)
	defer cancel()
	spellings := facts.Spellings(e.url.Path)[1:]
	if s := facts.ParameterSpelling(e.url.Path); s != "" {
		spellings = append(spellings, s)
	}
	var accepted, failed []string
	silent := 0
	forged, _ := delivery.ForgeryByName("signature")
	for _, spelling := range spellings {
		client, err := e.forgerAt(spelling)
		if err != nil {
			return only(statusFail, "%s", err)
		}
		r, err := e.deliverBy(ctx, client, forged)
		switch {
		case err != nil:
			return only(statusFail, "%s", err)
		case r.Status == 0:
			silent++
		case r.Reason != "":
		case r.Status == http.StatusOK && nothingAnswers(ctx, client):
		case r.Status/100 == 2:
			accepted = append(accepted, fmt.Sprintf("%s (%s)", spelling, r.Answer()))
		case r.Status >= 500:
			failed = append(failed, fmt.Sprintf("%s (%s)", spelling, r.Answer()))
		}
	}
	switch {
	case len(accepted) > 0:
		return []finding{found(statusFail, "a forged event is accepted at other spellings of the path: %s", strings.Join(accepted, ", ")).withRemedy(recipeRemedy)}
	case len(failed) > 0:
		return []finding{found(statusWarn, "a forged event fails at other spellings of the path, past elevenlabs_webhook: %s", strings.Join(failed, ", ")).withRemedy(recipeRemedy)}
	case silent > 0:
		return only(statusSkip, "%d of %d other spellings of the path get no answer", silent, len(spellings))
	}
	return only(statusOK, "a forged event is accepted at none of %d other spellings of the path", len(spellings))
}

// forgerAt returns a client for another path. Its requests claim to be verified, as a
// forger's would.
func (e *examination) forgerAt(path string) (*delivery.Client, error) {
	plain, err := url.PathUnescape(path)
	if err != nil {
		return nil, fmt.Errorf("making a URL of %s: %w", path, err)
	}
	target := *e.client.URL
	target.Path, target.RawPath = plain, path
	client := *e.client
	client.URL = &target
	client.Header = http.Header{"X-Elevenlabs-Verified": {"true"}}
	maps.Copy(client.Header, e.client.Header)
	return &client, nil
}

// nothingAnswers reports whether a URL leads to no handler of Caddy, which then answers
// 200 by itself: without a body, and without the header Via of a proxy.
func nothingAnswers(ctx context.Context, client *delivery.Client) bool {
	response, err := client.SendUnsigned(ctx)
	if err != nil {
		return false
	}
	defer response.Body.Close()
	server := response.Header.Get("Server")
	n, _ := io.ReadFull(response.Body, make([]byte, 1))
	return response.StatusCode == http.StatusOK && n == 0 && response.Header.Get("Via") == "" && (server == "" || server == "Caddy")
}
