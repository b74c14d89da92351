// Package operate has the commands that ask a running Caddy about its webhooks:
// `status` and `tail`.
package operate

import (
	"encoding/json"
	"errors"
	"fmt"
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

// get asks the endpoint for an answer of a media type. The answer can be read until
// the context ends.
func (e *endpoint) get(cmd *cobra.Command, uri string, header http.Header) (io.ReadCloser, error) {
	if err := cmdutil.RejectEmpty(cmd, "address", "config", "adapter"); err != nil {
		return nil, err
	}
	if e.adapter != "" && e.config == "" {
		return nil, errors.New("--adapter needs --config")
	}
	response, err := e.env.Admin(cmd.Context(), e.address, e.config, e.adapter, uri, header)
	if err != nil {
		if cmd.Context().Err() != nil {
			err = cmdutil.ErrInterrupted
		}
		return nil, err
	}
	return response.Body, nil
}

// list decodes a list that the endpoint shows.
func (e *endpoint) list(cmd *cobra.Command, uri string) (all []json.RawMessage, err error) {
	body, err := e.get(cmd, uri, http.Header{"Accept": {"application/json"}})
	if err != nil {
		return nil, err
	}
	defer body.Close()
	if err := json.NewDecoder(body).Decode(&all); err != nil {
		return nil, fmt.Errorf("reading the admin endpoint's answer: %w", err)
	}
	return all, nil
}
