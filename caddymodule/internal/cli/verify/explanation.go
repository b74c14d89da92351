package verify

import "strings"

// explanation says why a capture does not verify. It never contains a secret, nor
// a signature that this program computed.
type explanation struct {
	Change   string `json:"change"` // the name of a change, or of another cause
	Sentence string `json:"sentence"`
	Remedy   string `json:"remedy"`
	// Then is the verdict after the change.
	Then *verdict `json:"then,omitempty"`
}

const (
	rawBodyRemedy     = "Verify the bytes as received, before any JSON parser: express.raw in Express, await request.text() in Next.js, request.get_data() in Flask, await request.body() in FastAPI, request.body in Django, php://input in PHP, request.raw_post in Rails, @RequestBody byte[] in Spring, Request.Body in ASP.NET Core, io.ReadAll(r.Body) in Go."
	secretRemedy      = "Correct the secret at its source: the whole of it is wsec_ and what follows, and nothing else."
	senderRemedy      = "Correct the secret at the sender: the whole of it is wsec_ and what follows, and nothing else."
	headerRemedy      = "In the sender, make the header ElevenLabs-Signature: t=<Unix seconds>,v0=<64 hex digits>. `caddy elevenlabs sign` prints such a header, and `caddy elevenlabs send` sends one."
	captureRemedy     = "Capture the body as received, byte for byte. Editors, terminals and log viewers change line ends, and so does git (core.autocrlf)."
	charsetRemedy     = "Handle the body as bytes. Software that needs text must read the body as UTF-8, and so must the file or database that kept it."
	compressionRemedy = "Verify the body without compression, as it was signed: switch compression of requests off in the proxy in front, or decompress first."
	cutRemedy         = "Capture the body to its end. Logs, terminals, shells and databases cut long texts, and so does a buffer that is read only once."
	whichSecret       = "Compare the secret first. " + eachSecret
	eachSecret        = "Each webhook has its own, which ElevenLabs shows once, when the webhook is created. If it is lost, create a new webhook." //nolint:gosec // no secret
)

func capitalise(s string) string { return strings.ToUpper(s[:1]) + s[1:] }
