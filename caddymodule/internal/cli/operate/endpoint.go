// Package operate has the commands that ask a running Caddy about its webhooks:
// `status` and `tail`.
package operate

import (
	"context"
	"io"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
)

// endpoint is the admin endpoint of a running Caddy. Caddy's own commands find it
// in the same way.
type endpoint struct {
	env                      cmdutil.Env
	address, config, adapter string
}

func endpointFlags(cmd *cobra.Command, env cmdutil.Env) *endpoint {
	e := &endpoint{env: env}
	flags := cmd.Flags()
	flags.StringVar(&e.address, "address", "", "the `address` of Caddy's admin endpoint (default: as in --config, or localhost:2019)")
	flags.StringVar(&e.config, "config", "", "the configuration `file` that has the address")
	flags.StringVar(&e.adapter, "adapter", "", "the `adapter` for the configuration file, if its name does not tell")
	return e
}

// get asks the endpoint. The answer can be read until the context ends.
func (e *endpoint) get(ctx context.Context, uri string, header http.Header) (io.ReadCloser, error) {
	response, err := e.env.Admin(e.address, e.config, e.adapter, uri, header)
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { _ = response.Body.Close() })
	return response.Body, nil
}
