package doctor

import (
	"context"
	"slices"
)

// check is a row of the checklist.
type check struct {
	name   string
	run    func(*examination, context.Context) []finding
	remedy string // for findings that have none of their own
}

// checksBeforeStart need no running server.
var checksBeforeStart = []check{
	{"config", (*examination).checkConfig, "Correct the file: `caddy validate --config <file>` shows the same. If only a variable or a file is missing here, run doctor as the server's user and with its environment."},
	{"handler", (*examination).checkHandler, "Put elevenlabs_webhook into the site, as in Caddyfile.example."},
	{"secret", (*examination).checkSecrets, "The whole secret is wsec_ and what follows, as the dashboard showed it once, without quotes. If it is lost, create a new webhook."},
	{"sign", (*examination).checkSign, "The whole key is whsec_ and base64 of 24 to 64 random bytes, without quotes. Your application needs the same."},
	{"upstream", (*examination).checkUpstreams, "Start the application, and let it listen at that address. Run doctor on the machine that Caddy runs on."},
	{"bypass", (*examination).checkBypass, ""},
	{"url", (*examination).checkURL, ""},
	{"dns", (*examination).checkDNS, "Let an A record of the name point to the server."},
}

// checks follow an event's way. Each may use what earlier ones found out.
var checks = slices.Concat(checksBeforeStart, []check{
	{"connection", (*examination).checkConnection, "Start Caddy, and open the port to the internet in every firewall on the way."},
	{"certificate", (*examination).checkCertificate, "Caddy obtains and renews certificates by itself if ports 80 and 443 can be reached from the internet. Its log says what prevents that."},
	{"endpoint", (*examination).checkEndpoint, pathRemedy},
	{"clock", (*examination).checkClock, "Correct the clocks of both machines: timedatectl set-ntp true on Linux."},
	{"forged", (*examination).checkForged, "Whoever finds the URL can send events: put the application behind elevenlabs_webhook."},
	{"spellings", (*examination).checkSpellings, ""},
	{"signed", (*examination).checkSigned, "Caddy's log says what happened to the event."},
	{"running", (*examination).checkRunning, ""},
	{"inbox", (*examination).checkInbox, ""},
	{"missing", (*examination).checkMissing, ""},
	{"webhook", (*examination).checkWebhook, "Create it: caddy elevenlabs webhooks create. ElevenLabs cannot change the URL of a webhook."},
	{"attached", (*examination).checkAttached, ""},
	{"retries", (*examination).checkRetries, ""},
	{"failures", (*examination).checkFailures, ""},
})
