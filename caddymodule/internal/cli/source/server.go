package source

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/delivery"
)

// Flags are the flags that say where stored events come from.
type Flags struct {
	env      cmdutil.Env
	endpoint *cmdutil.Endpoint
	inbox    string

	server, user, ca string
	password         *cmdutil.Credential
	headers          *delivery.Headers
}

// AddFlags adds the flags of a source that is an admin endpoint or an inspector.
func AddFlags(cmd *cobra.Command, env cmdutil.Env) *Flags {
	f := &Flags{env: env, endpoint: cmdutil.EndpointFlags(cmd, env)}
	flags := cmd.Flags()
	InboxFlag(cmd, &f.inbox)
	flags.StringVar(&f.server, "server", "", "read from the inspector at this `url`, not from an admin endpoint")
	flags.StringVar(&f.user, "user", "", "the `name` of a user of the inspector's basic_auth")
	f.password = cmdutil.PasswordFlags(cmd, "--user")
	f.headers = delivery.HeaderFlag(cmd)
	flags.Lookup("header").Usage = "send this `name=value` as a header to the inspector, such as a token for forward_auth; may be repeated"
	flags.StringVar(&f.ca, "ca", "", "trust only the certificates in this PEM `file` for the inspector")
	for _, name := range endpointFlags {
		cmd.MarkFlagsMutuallyExclusive("server", name)
	}
	return f
}

// InboxFlag adds the flag that names an inbox.
func InboxFlag(cmd *cobra.Command, name *string) {
	cmd.Flags().StringVar(name, "inbox", "", "the `name` of the inbox (default: all)")
}

var (
	endpointFlags  = []string{"address", "config", "adapter"}
	inspectorFlags = []string{"user", "password-file", "password-env", "header", "ca"}
)

// Source returns the source that the flags describe. Nothing is sent yet.
func (f *Flags) Source(cmd *cobra.Command) (*Source, error) {
	if err := cmdutil.RejectEmpty(cmd, "inbox", "server", "user", "ca"); err != nil {
		return nil, err
	}
	if f.server != "" {
		return f.inspector(cmd)
	}
	for _, name := range inspectorFlags {
		if cmd.Flags().Changed(name) {
			return nil, fmt.Errorf("--%s is for an inspector: it needs --server", name)
		}
	}
	return OfEndpoint(f.endpoint, f.inbox), nil
}

// answerWithin is how long the inspector may take for each step up to its answer: to be
// reached, to prove who it is, to begin the answer.
var answerWithin = 10 * time.Second

func (f *Flags) inspector(cmd *cobra.Command) (*Source, error) {
	base, err := url.Parse(f.server)
	if err == nil && base.User != nil {
		return nil, errors.New("--server has a user in it: give --user, and the password by --password-file or --password-env")
	}
	if base, err = delivery.ParseURL(f.server); err != nil {
		return nil, fmt.Errorf("--server: %w", err)
	}
	if base.RawQuery != "" || base.Fragment != "" {
		return nil, errors.New("--server must be the URL of the inspector's first page, without ? and #")
	}
	header, err := f.headers.Read()
	if err != nil {
		return nil, err
	}
	if base.Scheme == "http" && !loopback(base.Hostname()) {
		return nil, errors.New("--server begins with http://, so that others could read the events and the password on the way: give https://")
	}
	user := strings.TrimSuffix(f.user, ":")
	if strings.Contains(user, ":") {
		return nil, errors.New("--user takes the name only: others can see arguments, so give the password by --password-file or --password-env")
	}
	if user == "" && f.password.Named(cmd) {
		return nil, errors.New("a password needs --user")
	}
	i := &inspector{base: strings.TrimSuffix(base.String(), "/"), header: header, user: user}
	if user != "" {
		if i.password, err = f.password.ReadOrAsk(cmd, "The password of "+cmdutil.Printable(user)+":"); err != nil {
			return nil, err
		}
	}
	connection := delivery.NewConnection(f.ca, false, 0)
	connection.AnswerWithin = answerWithin
	if i.http, err = connection.Client(base, f.env.Now); err != nil {
		return nil, err
	}
	return &Source{Inbox: f.inbox, silence: silence, get: i.get}, nil
}

func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || err == nil && ip.IsLoopback()
}

// inspector is the site of elevenlabs_inspector.
type inspector struct {
	base           string // without a slash at its end
	header         http.Header
	user, password string
	http           *http.Client
}

func (i *inspector) get(cmd *cobra.Command, route string, header http.Header) (io.ReadCloser, error) {
	request, err := http.NewRequestWithContext(cmd.Context(), http.MethodGet, i.base+route, nil)
	if err != nil {
		return nil, err
	}
	maps.Copy(request.Header, i.header)
	maps.Copy(request.Header, header)
	if i.user != "" {
		request.SetBasicAuth(i.user, i.password)
	}
	response, err := i.http.Do(request)
	if err != nil {
		if cmd.Context().Err() != nil {
			return nil, cmdutil.ErrInterrupted
		}
		return nil, fmt.Errorf("asking the inspector at %s: %s", i.base, i.unanswered(cmd, err))
	}
	err = cmdutil.CheckAnswer(response, header.Get("Accept"), func(answer string) string { return unlike(response, answer) })
	if err != nil {
		_ = response.Body.Close()
		return nil, fmt.Errorf("asking the inspector at %s: %w", i.base, err)
	}
	return response.Body, nil
}

func (i *inspector) unanswered(cmd *cobra.Command, err error) string {
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		return fmt.Sprintf("no answer within %s", answerWithin)
	}
	return delivery.ExplainError(cmd.Context(), err)
}

// unlike says what is wrong with an answer that is not one of the inspector's.
func unlike(response *http.Response, answer string) string {
	to := response.Header.Get("Location")
	switch status := response.StatusCode; {
	case status == http.StatusUnauthorized:
		return "it answered 401: give the --user of its basic_auth, with the right password, or the --header that it asks for"
	case status == http.StatusForbidden:
		return "it answered 403: it lets in only whom Caddy has authenticated; give --user, or the --header that it asks for"
	case status/100 == 3 && to != "":
		return fmt.Sprintf("it redirects to %q: is that a page to log in? Give the --header that shows who you are, or the URL that it leads to", cmdutil.Cut(to, cmdutil.Longest))
	}
	return fmt.Sprintf("a server without elevenlabs_inspector there answered %s (--server must be the URL of the inspector's first page)", answer)
}
