// Package cmdutil holds what the commands of `caddy elevenlabs` share: their
// environment, flags, output, errors and exit codes. It imports no command.
package cmdutil

import (
	"context"
	"net/http"
	"time"
)

// Env is what the commands need from the program that contains them.
type Env struct {
	// Now is the clock.
	Now func() time.Time
	// Inspect reads a configuration file as Caddy does, and starts nothing. If
	// adapter is empty, the file's name determines it.
	Inspect func(file, adapter string) Config
	// Admin sends a GET request to the admin endpoint of a running Caddy. The
	// endpoint is at an address, or at that of a configuration file. The answer has
	// the media type of the header Accept, or else JSON; any other is an error. It can
	// be read until the context ends.
	Admin func(ctx context.Context, address, file, adapter, uri string, header http.Header) (*http.Response, error)
	// API carries requests to ElevenLabs's API. It is nil except in tests.
	API http.RoundTripper
}
