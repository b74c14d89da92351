package facts

import "strings"

// HeaderTest is the request header by which the commands mark an event as a test. The
// handler deletes it, as it does every header that begins with X-ElevenLabs, and
// believes it only of an event with a genuine signature.
const HeaderTest = "X-ElevenLabs-Test"

// testMark begins the value of HeaderTest. A slash and the sender's version follow.
const testMark = "caddy-elevenlabs"

// TestMark returns the value of HeaderTest that a sender of a version sends.
func TestMark(version string) string { return testMark + "/" + version }

// IsTestMark reports whether a value of HeaderTest is one that the commands send.
func IsTestMark(value string) bool {
	name, _, _ := strings.Cut(value, "/")
	return name == testMark
}

// HeaderBackfill is the request header by which `inbox backfill` marks an event that it
// made from ElevenLabs' API. Its value is a proof, of package backfill. To the
// application, and in its answer to the command, the handler says BackfillMark. It
// answers BackfillIgnored for an event that neither its option events nor a destination
// takes.
const (
	HeaderBackfill  = "X-ElevenLabs-Backfill"
	BackfillMark    = "true"
	BackfillIgnored = "ignored"
)

// UserAgent is the User-Agent of the HTTP client that ElevenLabs uses, as a public
// capture of June 2025 shows it.
const UserAgent = "Python/3.12 aiohttp/3.11.16"
