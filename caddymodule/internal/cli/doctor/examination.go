package doctor

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/delivery"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/workspace"
)

// options are the options of `doctor`.
type options struct {
	env                         cmdutil.Env
	secret                      *cmdutil.Credential
	workspace                   *workspace.Workspace
	connection                  *delivery.Connection
	configFile, adapter, target string
	address                     string // of the admin endpoint
	noSend                      bool
}

// examination has the options, and what the checks found out.
type examination struct {
	options

	config  *cmdutil.Config        // nil without a file
	handler *cmdutil.ConfigHandler // the one that the URL leads to; nil if unknown
	url     *url.URL               // nil if unknown
	key     []byte                 // nil without a secret
	blank   bool                   // the secret's source is blank
	client  *delivery.Client       // nil without a URL
	probe   probe
	gated   bool // elevenlabs_webhook rejects a forged event

	// The workspace has no client if there is no API key. Its webhooks are those
	// for the URL.
	uses        map[string][]workspace.Use // by the webhook's id
	usesUnknown error                      // why uses are incomplete
}

// probe is the result of a request without a signature. It shows much, and does not
// reach the application.
type probe struct {
	address string // connected to; empty if the connection failed
	status  int    // 0 without an answer
	header  http.Header
	lines   []string             // the first of the body
	page    bool                 // the body is HTML
	tls     *tls.ConnectionState // nil over plain HTTP
	err     error                // nil with an answer
	middle  time.Time            // half way between request and answer
}

// prepare finds out what can be checked.
func (e *examination) prepare(cmd *cobra.Command) error {
	if e.secret.FromStdin() && e.workspace.APIKey.FromStdin() {
		return cmdutil.ErrStdinTwice
	}
	const usual = "Caddyfile"
	if e.configFile == "" {
		if _, err := os.Stat(usual); err == nil {
			e.configFile = usual
		}
	} else if _, err := os.Stat(e.configFile); err != nil {
		return fmt.Errorf("reading --config: %w", err)
	}
	if e.configFile == "" && e.target == "" {
		return errors.New("there is no Caddyfile here: name one by --config, or give the webhook's URL by --url")
	}
	if e.configFile != "" {
		config := e.env.Inspect(e.configFile, e.adapter)
		e.config = &config
	}
	if err := e.findURL(); err != nil {
		return err
	}
	if err := e.findKey(cmd); err != nil {
		return err
	}
	return e.findWorkspace(cmd)
}

// findURL finds the webhook's URL and the handler it leads to.
func (e *examination) findURL() error {
	if e.target == "" {
		candidates := map[string]int{}
		for i, h := range e.config.Handlers {
			if u, ok := urlOf(h); ok {
				candidates[u] = i
			}
		}
		if len(candidates) != 1 {
			if e.connection.Resolved() {
				return errors.New("--resolve needs a URL: give it by --url")
			}
			return nil
		}
		for u, i := range candidates {
			e.target, e.handler = u, &e.config.Handlers[i]
		}
	}
	var err error
	if e.client, err = delivery.NewClient(e.target, e.env.Now, e.connection); err != nil {
		return err
	}
	e.url = e.client.URL
	if e.config == nil || e.handler != nil {
		return nil
	}
	for i := range e.config.Handlers {
		h := &e.config.Handlers[i]
		if !serves(*h, e.url) {
			continue
		}
		if listens(*h, e.url) {
			e.handler = h
			break
		}
		if e.handler == nil { // a proxy in front may have the URL's port
			e.handler = h
		}
	}
	return nil
}

// findKey finds the secret to sign with: the one that a flag names, or that of the
// configuration, or the usual variable's.
func (e *examination) findKey(cmd *cobra.Command) error {
	named := e.secret.Named(cmd)
	if !named {
		for _, h := range e.handlers() {
			for _, s := range h.Secrets {
				if value := strings.TrimSpace(s.Value); value != "" && s.Problem == nil {
					e.setKey(value)
					return nil
				}
			}
		}
	}
	if _, set := os.LookupEnv(e.secret.Env); !named && !set {
		return nil
	}
	value, err := e.secret.Raw(cmd)
	if err != nil {
		return err
	}
	if value = strings.TrimSpace(value); value == "" {
		e.blank = named || !slices.ContainsFunc(e.handlers(), func(h cmdutil.ConfigHandler) bool { return len(h.Secrets) > 0 })
		return nil
	}
	e.setKey(value)
	return nil
}

func (e *examination) setKey(value string) {
	e.key = []byte(value)
	if e.client != nil {
		e.client.Key = e.key
	}
}

// handlers returns the handler that the URL leads to, or all if that is unknown.
func (e *examination) handlers() []cmdutil.ConfigHandler {
	switch {
	case e.handler != nil:
		return []cmdutil.ConfigHandler{*e.handler}
	case e.config != nil:
		return e.config.Handlers
	}
	return nil
}

// findWorkspace connects to the workspace if there is an API key.
func (e *examination) findWorkspace(cmd *cobra.Command) error {
	if !e.workspace.APIKey.Named(cmd) && strings.TrimSpace(os.Getenv(e.workspace.APIKey.Env)) == "" {
		return nil
	}
	return e.workspace.Connect(cmd)
}
