package stored

import (
	"cmp"
	"maps"
	"net"
	"net/http"
	"slices"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/deliveries"
)

// Restore fills in what the database has no columns for. Only a verified event is
// stored.
func (f Fields) Restore(e *deliveries.Event) {
	e.EventTimestamp, e.VoiceID = f.EventTimestamp, f.VoiceID
	e.SignedAt, e.SecretName, e.Test, e.Backfill = f.SignedAt, f.SecretName, f.Test, f.Backfill
	e.Proven, e.Verified = true, true
}

// notForwarded are the headers that reverse_proxy deletes, those of one connection, and
// those that follow from the body.
var notForwarded = []string{
	"Alt-Svc", "Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Te", "Trailer",
	"Transfer-Encoding", "Upgrade", "Content-Length", "Expect",
}

// CopyHeader returns the headers that a backend behind a plain reverse_proxy gets at an
// attempt. The length of the body is not among them. Withheld are the names of those
// whose values are not shown.
func (d *Detail) CopyHeader(attempt int) (header http.Header, withheld []string) {
	header = http.Header{}
	maps.Copy(header, d.Request.Header)
	request := d.Request
	request.Header = header
	request.RestoreBytes()
	for _, name := range notForwarded {
		header.Del(name)
	}
	for name, values := range header {
		if slices.Contains(values, redacted) && credentialHeader.MatchString(name) {
			withheld = append(withheld, name)
			delete(header, name)
		}
	}
	slices.Sort(withheld)
	request.setForwarded(header)
	e := deliveries.Event{Received: d.ReceivedAt, Attempt: attempt}
	e.EventType, e.ConversationID, e.AgentID, e.RequestID, e.Secret, e.EventID = d.EventType, d.ConversationID, d.AgentID, d.RequestID, d.Secret, d.EventID
	d.Restore(&e)
	e.SetHeaders(header)
	return header, withheld
}

// setForwarded sets X-Forwarded-* as reverse_proxy does: it keeps those of a trusted proxy
// only.
func (r *Request) setForwarded(header http.Header) {
	ip, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil { // no address, as of a Unix socket
		ip = ""
	}
	proto := "http"
	if r.TLS != nil {
		proto = "https"
	}
	before := func(name string) string {
		if r.TrustedProxy {
			return header.Get(name)
		}
		return ""
	}
	from := before("X-Forwarded-For")
	if from != "" && ip != "" {
		from += ", "
	}
	for name, value := range map[string]string{
		"X-Forwarded-For":   from + ip,
		"X-Forwarded-Proto": cmp.Or(before("X-Forwarded-Proto"), proto),
		"X-Forwarded-Host":  cmp.Or(before("X-Forwarded-Host"), r.Host),
	} {
		header.Del(name)
		if value != "" {
			header.Set(name, value)
		}
	}
}
