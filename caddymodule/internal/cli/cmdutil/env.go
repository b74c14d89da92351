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
	// Admin asks the admin endpoint of a running Caddy. The answer has the media type
	// of the header Accept, or else JSON; any other is an error. It can be read until
	// the context ends. If the endpoint answers with an error, that is an AdminError.
	Admin func(context.Context, AdminRequest) (*http.Response, error)
	// API carries requests to ElevenLabs's API. It is nil except in tests.
	API http.RoundTripper
}

// AdminRequest is a request to the admin endpoint of a running Caddy.
type AdminRequest struct {
	// Address is where the endpoint is. If it is empty, the endpoint is where the file
	// Config says, read by Adapter, or else at Caddy's default.
	Address, Config, Adapter string

	URI    string
	Header http.Header
	// Post is the JSON that a POST request sends. If it is nil, the request is a GET.
	Post []byte
}

// AdminError is the error of an answer by the admin endpoint of Caddy, or by another
// server in its place.
type AdminError struct {
	Status  int // of HTTP
	Message string
}

// Error returns the message.
func (e *AdminError) Error() string { return e.Message }
