package doctor

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"strings"
	"time"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/delivery"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"
)

func (e *examination) checkURL(context.Context) []finding {
	switch {
	case e.url == nil && len(e.handlers()) == 1 && len(e.handlers()[0].Hosts) == 0:
		return []finding{found(statusSkip, "%s names no host for the webhook", e.config.File).
			withRemedy("Give the webhook's URL by --url, as in ElevenLabs's settings. --resolve <host>:127.0.0.1:<port> leads it past the proxy in front.")}
	case e.url == nil:
		return []finding{found(statusSkip, "%s does not say: it must have exactly one handler with one host and one path", e.config.File).
			withRemedy("Give the webhook's URL by --url, as in ElevenLabs's settings.")}
	case e.behindProxy() && e.url.Scheme != "https":
		return []finding{found(statusSkip, "%s is not the public URL: the configuration names no host, so a proxy in front must end TLS", e.url).
			withRemedy("Give the public URL by --url, and leave out --resolve to go through the proxy.")}
	case e.url.Scheme != "https":
		return []finding{found(statusFail, "%s does not begin with https://, as ElevenLabs requires", e.url).
			withRemedy("Serve HTTPS: in the Caddyfile, write the name alone as the site's address. If a load balancer in front does it, give the public URL by --url.")}
	case delivery.PortOf(e.url) != "443":
		return []finding{found(statusWarn, "%s is not on port 443", e.url).
			withRemedy("Serve it on port 443: it is unknown whether ElevenLabs calls other ports. If a proxy in front does, give the public URL by --url.")}
	}
	return only(statusOK, "%s", e.url)
}

func (e *examination) checkDNS(ctx context.Context) []finding {
	switch {
	case e.url == nil:
		return only(statusSkip, "there is no URL")
	case e.connection.Resolved():
		return only(statusSkip, "left out by --resolve")
	}
	host := e.url.Hostname()
	addresses, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return only(statusFail, "%s does not resolve: %s", host, err)
	}
	var all []string
	var v4, private bool
	for _, a := range addresses {
		a = a.Unmap()
		all = append(all, a.String())
		v4 = v4 || a.Is4()
		private = private || !public(a)
	}
	list := strings.Join(all, ", ")
	switch {
	case !v4:
		return only(statusFail, "%s has no IPv4 address, and ElevenLabs connects only over IPv4 (it has %s)", host, list)
	case private:
		return []finding{found(statusWarn, "%s is %s here, which is not a public address", host, list).
			withRemedy("ElevenLabs must reach it from the internet. If that is another address there, check it by --resolve %s:<public address>.", host)}
	}
	return only(statusOK, "%s is %s", host, list)
}

func public(a netip.Addr) bool {
	return a.IsGlobalUnicast() && !a.IsPrivate()
}

func (e *examination) checkConnection(ctx context.Context) []finding {
	if e.client == nil {
		return only(statusSkip, "there is no URL")
	}
	if e.url.Scheme != "https" {
		e.sendAsProxy()
	}
	e.probe = e.send(ctx)
	if e.behindProxy() && errors.Is(e.probe.err, http.ErrSchemeMismatch) {
		e.sendAsProxy()
		e.probe = e.send(ctx)
	}
	if e.probe.err != nil && e.untrusted() == nil && e.refusedTLS() == nil {
		return only(statusFail, "%s does not answer: %s", e.url.Host, delivery.ExplainError(ctx, e.probe.err))
	}
	detail := e.probe.address + " answers"
	switch {
	case e.probe.tls != nil:
		detail += ", by " + tls.VersionName(e.probe.tls.Version)
	case e.behindProxy():
		detail += ", by plain HTTP, as to a proxy in front"
	}
	return only(statusOK, "%s", detail)
}

// behindProxy reports whether the handler's site needs a proxy in front: it speaks plain
// HTTP, and has no host.
func (e *examination) behindProxy() bool {
	return e.handler != nil && e.handler.Plain && len(e.handler.Hosts) == 0
}

// sendAsProxy sends plain HTTP from now on, as a proxy does that ended TLS.
func (e *examination) sendAsProxy() {
	if !e.behindProxy() {
		return
	}
	target := *e.url
	target.Scheme = "http"
	e.client.URL = &target
	e.client.Header = http.Header{"X-Forwarded-Proto": {"https"}}
}

// notTrusted reports whether the handler rejects this machine's requests, since it is
// no proxy that the handler trusts.
func (e *examination) notTrusted() bool {
	return e.behindProxy() && e.rejection() == facts.InsecureTransport.Code
}

// shut is the finding of checks that need a handler that looks at signatures, if there
// is no answer or no such handler.
func (e *examination) shut() []finding {
	if skipped := e.unreached(); skipped != nil || !e.notTrusted() {
		return skipped
	}
	return only(statusSkip, "left out, since elevenlabs_webhook takes plain HTTP only from an address in trusted_proxies, and this machine has none")
}

// send sends a request without a signature.
func (e *examination) send(ctx context.Context) (p probe) {
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		ConnectDone: func(_, address string, err error) {
			if err == nil {
				p.address = address
			}
		},
	})
	began := e.env.Now()
	response, err := e.client.SendUnsigned(ctx)
	if err != nil {
		p.err = err
		return p
	}
	defer response.Body.Close()
	p.middle = began.Add(e.env.Now().Sub(began) / 2)
	p.status, p.header, p.tls = response.StatusCode, response.Header, response.TLS
	p.lines, p.page = delivery.ReadAnswer(response)
	return p
}

// untrusted returns the error of a certificate that did not verify, or nil.
func (e *examination) untrusted() *tls.CertificateVerificationError {
	err, _ := errors.AsType[*tls.CertificateVerificationError](e.probe.err)
	return err
}

// refusedTLS returns the error of a server that broke off the TLS handshake, or nil.
func (e *examination) refusedTLS() error {
	if err, ok := errors.AsType[*net.OpError](e.probe.err); ok && err.Op == "remote error" { // as crypto/tls names alerts
		return err
	}
	return nil
}

// unreached is the finding of checks that need an answer, if there is none.
func (e *examination) unreached() []finding {
	switch {
	case e.client == nil:
		return only(statusSkip, "there is no URL")
	case e.probe.err != nil:
		return only(statusSkip, "there is no answer")
	}
	return nil
}

func (e *examination) checkCertificate(context.Context) []finding {
	if err := e.untrusted(); err != nil {
		return []finding{untrustedFinding(e.url.Hostname(), err)}
	}
	if err := e.refusedTLS(); err != nil {
		return []finding{found(statusFail, "the server breaks off the TLS handshake: %s", err).
			withRemedy("The server may have no certificate for %s: let the site's address in the Caddyfile be that name, and the DNS record point to this server. Caddy's log says what prevents one.", e.url.Hostname())}
	}
	if skipped := e.unreached(); skipped != nil {
		return skipped
	}
	switch {
	case e.probe.tls == nil && e.behindProxy():
		return only(statusSkip, "left out, since the proxy in front has it")
	case e.probe.tls == nil:
		return only(statusSkip, "there is none without https")
	}
	certificate := e.probe.tls.PeerCertificates[0]
	left := certificate.NotAfter.Sub(e.env.Now())
	detail := fmt.Sprintf("for %s, by %s, until %s (%s)", e.url.Hostname(), issuer(certificate),
		certificate.NotAfter.UTC().Format(time.RFC3339), cmdutil.Span(left))
	switch {
	case e.connection.Insecure():
		return []finding{found(statusWarn, "not verified, by --insecure").withRemedy("Leave out --insecure; --ca names a certificate authority of your own.")}
	case left < certificate.NotAfter.Sub(certificate.NotBefore)/6: // Caddy renews with a third left
		return only(statusWarn, "%s: its renewal is overdue", detail)
	}
	return only(statusOK, "%s", detail)
}

func issuer(certificate *x509.Certificate) string {
	if names := certificate.Issuer.Organization; len(names) > 0 {
		return names[0]
	}
	return cmp.Or(certificate.Issuer.CommonName, "an issuer without a name")
}

func untrustedFinding(host string, err *tls.CertificateVerificationError) finding {
	f := found(statusFail, "%s", err.Err)
	if _, ok := errors.AsType[x509.HostnameError](err.Err); ok {
		return f.withRemedy("The server has no certificate for %s: let the site's address in the Caddyfile be that name, and the DNS record point to this server.", host)
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err.Err); ok {
		return f.withRemedy("ElevenLabs will not trust it either: use a public certificate, which Caddy obtains by itself for a public name. If the authority is your own, --ca makes this command trust it.")
	}
	return f
}
