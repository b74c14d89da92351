package cli

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
	"slices"
	"strings"
	"time"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/delivery"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/sample"
)

// probe is what became of a request without a signature, which tells much
// without reaching the application.
type probe struct {
	address string // that was connected to; empty if none was
	status  int    // 0 without an answer
	header  http.Header
	tls     *tls.ConnectionState // nil over plain HTTP
	err     error                // nil with an answer
	middle  time.Time            // half way between request and answer
}

func (d *doctor) checkURL(context.Context) []finding {
	switch {
	case d.url == nil:
		return []finding{found(statusSkip, "%s does not tell it: there is not exactly one handler with one host and one path", d.config.File).
			mendBy("%s", giveURL)}
	case d.url.Scheme != "https":
		return []finding{found(statusFail, "%s does not begin with https://, as ElevenLabs wants it", d.url).
			mendBy("Serve HTTPS: in the Caddyfile, write the name alone as the site's address. If a load balancer in front does it, give the public URL by --url.")}
	case delivery.PortOf(d.url) != "443":
		return []finding{found(statusWarn, "%s is not on port 443", d.url).
			mendBy("Serve it there: it is not known whether ElevenLabs calls other ports. If something in front does, give the public URL by --url.")}
	}
	return only(statusOK, "%s", d.url)
}

func (d *doctor) checkDNS(ctx context.Context) []finding {
	switch {
	case d.url == nil:
		return only(statusSkip, "there is no URL")
	case d.connection.Resolved():
		return only(statusSkip, "left out by --resolve")
	}
	host := d.url.Hostname()
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
		return only(statusFail, "%s has no IPv4 address, from which alone ElevenLabs sends (it has %s)", host, list)
	case private:
		return []finding{found(statusWarn, "%s is %s here, which is not a public address", host, list).
			mendBy("ElevenLabs must reach it from the internet. If that is another address there, check it by --resolve %s:<public address>.", host)}
	}
	return only(statusOK, "%s is %s", host, list)
}

func public(a netip.Addr) bool {
	return a.IsGlobalUnicast() && !a.IsPrivate()
}

func (d *doctor) checkConnection(ctx context.Context) []finding {
	if d.client == nil {
		return only(statusSkip, "there is no URL")
	}
	d.probe = d.send(ctx)
	if d.probe.err != nil && d.untrusted() == nil && d.refusedTLS() == nil {
		return only(statusFail, "%s does not answer: %s", d.url.Host, delivery.ExplainError(ctx, d.probe.err))
	}
	detail := d.probe.address + " answers"
	if d.probe.tls != nil {
		detail += ", by " + tls.VersionName(d.probe.tls.Version)
	}
	return only(statusOK, "%s", detail)
}

// send sends a request without a signature.
func (d *doctor) send(ctx context.Context) (p probe) {
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		ConnectDone: func(_, address string, err error) {
			if err == nil {
				p.address = address
			}
		},
	})
	began := d.env.Now()
	response, err := d.client.SendUnsigned(ctx)
	if err != nil {
		p.err = err
		return p
	}
	defer response.Body.Close()
	p.middle = began.Add(d.env.Now().Sub(began) / 2)
	p.status, p.header, p.tls = response.StatusCode, response.Header, response.TLS
	return p
}

// untrusted is the error of a certificate that did not verify, or nil.
func (d *doctor) untrusted() *tls.CertificateVerificationError {
	err, _ := errors.AsType[*tls.CertificateVerificationError](d.probe.err)
	return err
}

// refusedTLS is the error of a server that broke off the handshake of TLS, or nil.
func (d *doctor) refusedTLS() error {
	if err, ok := errors.AsType[*net.OpError](d.probe.err); ok && err.Op == "remote error" { // as crypto/tls names alerts
		return err
	}
	return nil
}

// unreached is what the checks say that need an answer, where there is none.
func (d *doctor) unreached() []finding {
	switch {
	case d.client == nil:
		return only(statusSkip, "there is no URL")
	case d.probe.err != nil:
		return only(statusSkip, "there is no answer")
	}
	return nil
}

func (d *doctor) checkCertificate(context.Context) []finding {
	if err := d.untrusted(); err != nil {
		return []finding{untrustedFinding(d.url.Hostname(), err)}
	}
	if err := d.refusedTLS(); err != nil {
		return []finding{found(statusFail, "the server breaks off the TLS handshake: %s", err).
			mendBy("The server may have no certificate for %s: let the site's address in the Caddyfile be that name, and the DNS record point to this server. Caddy's log says what keeps it from obtaining one.", d.url.Hostname())}
	}
	if skipped := d.unreached(); skipped != nil {
		return skipped
	}
	if d.probe.tls == nil {
		return only(statusSkip, "there is none, without https")
	}
	certificate := d.probe.tls.PeerCertificates[0]
	left := certificate.NotAfter.Sub(d.env.Now())
	detail := fmt.Sprintf("for %s, by %s, until %s (%s)", d.url.Hostname(), issuer(certificate),
		certificate.NotAfter.UTC().Format(time.RFC3339), cmdutil.Span(left))
	switch {
	case d.connection.Insecure():
		return []finding{found(statusWarn, "not verified, by --insecure").mendBy("Leave out --insecure; --ca names a certificate authority of your own.")}
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
		return f.mendBy("The server has no certificate for %s: let the site's address in the Caddyfile be that name, and the DNS record point to this server.", host)
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err.Err); ok {
		return f.mendBy("ElevenLabs will not trust it either: take a public certificate, as Caddy obtains by itself for a public name. For a certificate authority of your own, --ca makes this command trust it.")
	}
	return f
}

// refusalRemedies are for the reasons by which the handler refuses what is
// genuine.
var refusalRemedies = map[string]string{
	"insecure_transport":  "A proxy in front ends TLS: set trusted_proxies to its address, and let it set X-Forwarded-Proto.",
	"source_not_allowed":  "source_ips does not have this machine's address, which is right if it has ElevenLabs's: then the rest can be checked from there only. If genuine events get this, too, set trusted_proxies.",
	"method_not_allowed":  "Something in front changes the method.",
	"early_data":          "Switch TLS early data off in the proxy in front.",
	"signature_missing":   "Something in front removes the ElevenLabs-Signature header.",
	"signature_malformed": "Something in front changes or doubles the ElevenLabs-Signature header.",
	"signature_mismatch":  "The server has another secret than the one that was given here. After a change of the file, caddy reload --force; after one of the variable, restart Caddy.",
	"timestamp_stale":     "The clocks of the two machines differ: timedatectl set-ntp true.",
	"timestamp_future":    "The clocks of the two machines differ: timedatectl set-ntp true.",
	"overloaded":          "spool_limit is reached: many large bodies are under way, or the application is slow.",
	"spool_failed":        "The disk of spool_dir is full, or not writable.",
}

const (
	giveURL      = "Give the webhook's URL by --url, as it stands in ElevenLabs's settings."
	mendRedirect = "ElevenLabs is not known to follow redirects: give it the URL that it ends at, and mind http, www and a slash at the end."
	mendInFront  = "Something in front of elevenlabs_webhook fails: look into its log."
	mendPath     = "Compare the URL's path with the Caddyfile's."
)

// rejection is why the handler refused the request without a signature; empty if
// it did not.
func (d *doctor) rejection() string { return delivery.Reason(d.probe.header) }

func (d *doctor) checkEndpoint(context.Context) []finding {
	if skipped := d.unreached(); skipped != nil {
		return skipped
	}
	code, reason := d.probe.status, d.rejection()
	status := fmt.Sprintf("%d %s", code, http.StatusText(code))
	switch {
	case code/100 == 3:
		return []finding{found(statusFail, "redirects to %s (%s)", cmdutil.Brief(d.probe.header.Get("Location"), cmdutil.Longest), status).mendBy("%s", mendRedirect)}
	case reason == "signature_missing":
		return only(statusOK, "a request without a signature is refused: %s, %s", status, reason)
	case reason != "":
		return []finding{found(statusFail, "a request without a signature is refused by another reason: %s, %s", status, reason).mendBy("%s", refusalRemedies[reason])}
	case code/100 == 2 && d.handler != nil && d.handler.ReportOnly:
		return []finding{found(statusWarn, "a request without a signature is let through, by report_only: %s", status).
			mendBy("Take report_only out when the change-over is done.")}
	case code/100 == 2:
		return []finding{found(statusFail, "a request without a signature is accepted: %s", status).
			mendBy("It is not elevenlabs_webhook that answers: compare the URL's path with the Caddyfile's. If the application answers, it can be reached without verification.")}
	case code >= 500:
		return []finding{found(statusFail, "%s", status).mendBy("%s", mendInFront)}
	}
	return only(statusFail, "%s, but not by elevenlabs_webhook, which would say signature_missing", status)
}

func (d *doctor) checkClock(context.Context) []finding {
	if skipped := d.unreached(); skipped != nil {
		return skipped
	}
	date, err := http.ParseTime(d.probe.header.Get("Date"))
	if err != nil {
		return only(statusSkip, "the answer has no Date header")
	}
	past, future := facts.DefaultPast, facts.DefaultFuture
	if d.handler != nil {
		past, future = d.handler.Past, d.handler.Future
	}
	ahead := date.Sub(d.probe.middle).Round(time.Second)
	apart := fmt.Sprintf("the server's clock is %s ahead of the one here", ahead)
	if ahead < 0 {
		apart = fmt.Sprintf("the server's clock is %s behind the one here", -ahead)
	}
	switch {
	case ahead > past || -ahead > future:
		return only(statusFail, "%s, more than the tolerance", apart)
	case ahead.Abs() > time.Minute:
		return only(statusWarn, "%s", apart)
	}
	return only(statusOK, "the server's clock agrees with the one here")
}

func (d *doctor) checkForged(ctx context.Context) []finding {
	if skipped := d.unreached(); skipped != nil {
		return skipped
	}
	if d.noSend && d.rejection() == "" {
		return only(statusSkip, "left out by --no-send, since it may reach the application: the request without a signature was not refused by elevenlabs_webhook")
	}
	forged, _ := delivery.ForgeryByName("signature")
	r, err := d.deliver(ctx, forged)
	switch {
	case err != nil:
		return only(statusFail, "%s", err)
	case r.OK && r.Reason == "":
		return only(statusSkip, "an event with a forged signature is refused, but not by elevenlabs_webhook: %s", r.Answer())
	case r.OK:
		return only(statusOK, "an event with a forged signature is refused: %s", r.Answer())
	case d.handler != nil && d.handler.ReportOnly && r.Status/100 == 2:
		return []finding{found(statusWarn, "an event with a forged signature is let through, by report_only: %s", r.Answer()).
			mendBy("Take report_only out when the change-over is done.")}
	}
	return []finding{found(statusFail, "an event with a forged signature is not refused as such: %s", r.Answer()).mendBy("%s", forgedRemedy(r))}
}

// forgedRemedy is empty for that of the check, which is for what was let through.
func forgedRemedy(r delivery.Result) string {
	switch {
	case r.Reason != "":
		return cmp.Or(refusalRemedies[r.Reason], "Something else than elevenlabs_webhook says so: look into the log of what is in front.")
	case r.Status/100 == 2:
		return ""
	case r.Status/100 == 3:
		return mendRedirect
	case r.Status == 0 || r.Status >= 500:
		return mendInFront
	}
	return mendPath
}

func (d *doctor) checkSigned(ctx context.Context) []finding {
	if d.noSend {
		return only(statusSkip, "left out by --no-send")
	}
	if skipped := d.unreached(); skipped != nil {
		return skipped
	}
	if d.key == nil {
		return only(statusSkip, "there is no secret to sign with")
	}
	if _, ok := d.sampleType(); !ok {
		return only(statusSkip, "events has only types that cannot be made here: %s", strings.Join(d.handler.Events, ", "))
	}
	r, err := d.deliver(ctx, delivery.Genuine)
	if err != nil {
		return only(statusFail, "%s", err)
	}
	if r.OK {
		return only(statusOK, "a signed event passes: %s, in %d ms", r.Answer(), r.Milliseconds)
	}
	f := found(statusFail, "a signed event does not pass: %s", r.Answer())
	switch {
	case r.Reason != "":
		f = f.mendBy("%s", refusalRemedies[r.Reason])
	case r.Status == http.StatusBadGateway:
		f = f.mendBy("The application does not listen, or closes connections.")
	case r.Status == http.StatusGatewayTimeout:
		f = f.mendBy("The application takes too long: let it answer first, and work later.")
	case r.Status != 0:
		f = f.mendBy("The application answers so, or something in front: its log says why. ElevenLabs counts nothing but 200 as success.")
	}
	return []finding{f}
}

// sampleType is the type of the event that is sent: one that the handler hands
// on, if it is known which these are, and there is one that can be made.
func (d *doctor) sampleType() (string, bool) {
	const usual = "post_call_transcription"
	if d.handler == nil || len(d.handler.Events) == 0 || slices.Contains(d.handler.Events, usual) {
		return usual, true
	}
	for _, event := range d.handler.Events {
		if slices.Contains(facts.EventTypeNames, event) {
			return event, true
		}
	}
	return usual, false
}

func (d *doctor) deliver(ctx context.Context, f delivery.Forgery) (delivery.Result, error) {
	typ, _ := d.sampleType()
	event, err := sample.New(typ, sample.Options{Now: d.env.Now(), Turns: 2})
	if err != nil {
		return delivery.Result{}, err
	}
	return d.client.Deliver(ctx, event, f, func(int) {}), nil
}
