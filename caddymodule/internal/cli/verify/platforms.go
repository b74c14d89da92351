package verify

import (
	"slices"
	"strings"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/verify/reencode"
)

// platformRemedies say where software has the bytes as received.
var platformRemedies = map[string]string{
	reencode.JavaScript: "In JavaScript, verify the bytes as received, before any JSON parser: express.raw({ type: \"*/*\" }) on this route in Express, before express.json(); await request.text() in Next.js, Remix and Hono; rawBody: true in NestJS; addContentTypeParser with parseAs: \"buffer\" in Fastify; the option Raw Body in n8n.",
	reencode.PHP:        "In PHP, verify the bytes as received: file_get_contents('php://input'), $request->getContent() in Laravel and Symfony, $request->get_body() in WordPress.",
	reencode.Ruby:       "In Ruby, verify the bytes as received: request.raw_post in Rails, request.body.read in Sinatra and Rack.",
	reencode.Go:         "In Go, verify the bytes as received: io.ReadAll(r.Body), before json.Unmarshal, c.ShouldBindJSON or any other decoding.",
	reencode.Java:       "In Java, verify the bytes as received: @RequestBody byte[] in Spring, not a Map or a class of your own; request.getInputStream().readAllBytes() in a servlet.",
	reencode.DotNet:     "In .NET, verify the bytes as received: read Request.Body in ASP.NET Core, after Request.EnableBuffering(), and do not bind a model before.",
	reencode.Python:     "In Python, verify the bytes as received: request.get_data() in Flask, await request.body() in FastAPI, request.body in Django, and not request.json.",
	reencode.Rust:       "In Rust, verify the bytes as received: the extractor Bytes in axum and actix-web, and not Json.",
	reencode.JQ:         "jq writes JSON anew. Keep the bytes as received in a file, and verify that file.",
	reencode.Database:   "In a database, keep the body in a column of type bytea or text (BLOB in MySQL): json types keep the content, and jsonb not even the order. Better, verify before the body is stored.",
}

// by names those who may have written a body, and the remedy for them.
func by(writers []reencode.Writer) (names, remedy string) {
	all := make([]string, 0, len(writers))
	var platforms, remedies []string
	for _, w := range writers {
		all = append(all, w.Name)
		if !slices.Contains(platforms, w.Platform) {
			platforms, remedies = append(platforms, w.Platform), append(remedies, platformRemedies[w.Platform])
		}
	}
	switch {
	case len(all) == 0:
		return "", rawBodyRemedy
	case len(platforms) > 3:
		return " by " + enumerate(platforms, "or"), rawBodyRemedy
	}
	return " by " + enumerate(all, "or"), strings.Join(remedies, " ")
}

// enumerate joins words with commas, and the last one with another word.
func enumerate(words []string, last string) string {
	if len(words) == 1 {
		return words[0]
	}
	end := len(words) - 1
	return strings.Join(words[:end], ", ") + " " + last + " " + words[end]
}
