package cmdutil

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/spf13/cobra"
)

// Endpoint is the admin endpoint of a running Caddy. Caddy's own commands find it
// in the same way.
type Endpoint struct {
	env                      Env
	address, config, adapter string
}

// EndpointFlags adds the flags that say where the admin endpoint is.
func EndpointFlags(cmd *cobra.Command, env Env) *Endpoint {
	e := &Endpoint{env: env}
	flags := cmd.Flags()
	flags.StringVar(&e.address, "address", "", "the `address` of Caddy's admin endpoint (default: as in --config, or localhost:2019)")
	flags.StringVar(&e.config, "config", "", "the configuration `file` that has the address")
	flags.StringVar(&e.adapter, "adapter", "", "the `adapter` for the configuration file, if its name does not tell")
	return e
}

// Get asks the endpoint for an answer of a media type. The answer can be read until
// the context ends.
func (e *Endpoint) Get(cmd *cobra.Command, uri string, header http.Header) (io.ReadCloser, error) {
	return e.ask(cmd, AdminRequest{URI: uri, Header: header})
}

// GetJSON decodes an answer of the endpoint.
func (e *Endpoint) GetJSON(cmd *cobra.Command, uri string, answer any) error {
	return e.decode(cmd, AdminRequest{URI: uri}, answer)
}

// PostJSON sends a value to the endpoint, and decodes the answer.
func (e *Endpoint) PostJSON(cmd *cobra.Command, uri string, value, answer any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return e.decode(cmd, AdminRequest{URI: uri, Post: text}, answer)
}

func (e *Endpoint) decode(cmd *cobra.Command, request AdminRequest, answer any) error {
	request.Header = http.Header{"Accept": {"application/json"}}
	body, err := e.ask(cmd, request)
	if err != nil {
		return err
	}
	defer body.Close()
	if err := json.NewDecoder(body).Decode(answer); err != nil {
		return fmt.Errorf("reading the admin endpoint's answer: %w", err)
	}
	return nil
}

func (e *Endpoint) ask(cmd *cobra.Command, request AdminRequest) (io.ReadCloser, error) {
	if err := RejectEmpty(cmd, "address", "config", "adapter"); err != nil {
		return nil, err
	}
	if e.adapter != "" && e.config == "" {
		return nil, errors.New("--adapter needs --config")
	}
	request.Address, request.Config, request.Adapter = e.address, e.config, e.adapter
	response, err := e.env.Admin(cmd.Context(), request)
	if err != nil {
		if cmd.Context().Err() != nil {
			err = ErrInterrupted
		}
		return nil, err
	}
	return response.Body, nil
}
