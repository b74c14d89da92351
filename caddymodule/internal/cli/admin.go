package cli

import (
	"context"
	"io"
	"net/http"

	"github.com/spf13/cobra"
)

// endpoint is the admin endpoint of a running Caddy, as Caddy's own commands
// find it.
type endpoint struct {
	host                     Host
	address, config, adapter string
}

func endpointFlags(cmd *cobra.Command, host Host) *endpoint {
	e := &endpoint{host: host}
	flags := cmd.Flags()
	flags.StringVar(&e.address, "address", "", "the address of Caddy's admin endpoint (default: as in --config, or localhost:2019)")
	flags.StringVar(&e.config, "config", "", "the configuration file, to take the address from")
	flags.StringVar(&e.adapter, "adapter", "", "the adapter for the configuration file, if its name does not tell")
	return e
}

// get asks the endpoint. What it answers can be read until the context ends.
func (e *endpoint) get(ctx context.Context, uri string, header http.Header) (io.ReadCloser, error) {
	response, err := e.host.Admin(e.address, e.config, e.adapter, uri, header)
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { _ = response.Body.Close() })
	return response.Body, nil
}
