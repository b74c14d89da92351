package facts

// HeaderTest is the request header by which the commands mark an event as a test, by
// the value TestMark. The handler deletes it, as it does every header that begins
// with X-ElevenLabs, and believes it only of an event with a genuine signature.
const (
	HeaderTest = "X-ElevenLabs-Test"
	TestMark   = "caddy-elevenlabs"
)

// HeaderBackfill is the request header by which `inbox backfill` marks an event that it
// made from ElevenLabs' API. Its value is a proof, of package backfill. To the
// application, and in its answer to the command, the handler says BackfillMark.
const (
	HeaderBackfill = "X-ElevenLabs-Backfill"
	BackfillMark   = "true"
)

// UserAgent is the User-Agent of the HTTP client that ElevenLabs uses, as a public
// capture of June 2025 shows it.
const UserAgent = "Python/3.12 aiohttp/3.11.16"
