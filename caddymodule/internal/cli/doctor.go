package cli

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/delivery"
)

// check is a row of the checklist.
type check struct {
	name   string
	run    func(*doctor, context.Context) []finding
	remedy string // of a finding that has none of its own
}

// checks stand in the order of an event's way; each may use what those before it
// found out.
var checks = []check{
	{"config", (*doctor).checkConfig, "Correct the file; `caddy validate --config <file>` says the same. If only a variable or a file is missing here, run doctor as the server's user and with its environment."},
	{"handler", (*doctor).checkHandler, "Put elevenlabs_webhook into the site, as in Caddyfile.example."},
	{"secret", (*doctor).checkSecrets, "The whole secret is wsec_ and what follows, as the dashboard showed it once, without quotes. If it is lost, create a new webhook."},
	{"upstream", (*doctor).checkUpstreams, "Start the application, and let it listen at that address; run doctor on the machine that Caddy runs on."},
	{"url", (*doctor).checkURL, ""},
	{"dns", (*doctor).checkDNS, "Let an A record of the name point to the server."},
	{"connection", (*doctor).checkConnection, "Let Caddy run, and open the port to the internet in every firewall on the way."},
	{"certificate", (*doctor).checkCertificate, "Caddy obtains and renews certificates by itself if ports 80 and 443 can be reached from the internet; its log says what keeps it from that."},
	{"endpoint", (*doctor).checkEndpoint, mendPath},
	{"clock", (*doctor).checkClock, "Set the clock right on both machines: timedatectl set-ntp true on Linux."},
	{"forged", (*doctor).checkForged, "Whoever finds the URL can send events: put the application behind elevenlabs_webhook."},
	{"signed", (*doctor).checkSigned, "Caddy's log says what became of the event."},
	{"webhook", (*doctor).checkWebhook, "Create it: caddy elevenlabs webhooks create. The URL of one that exists cannot be changed."},
	{"attached", (*doctor).checkAttached, ""},
	{"retries", (*doctor).checkRetries, ""},
	{"failures", (*doctor).checkFailures, ""},
}

// status is how a finding is.
type status string

const (
	statusOK   status = "ok"
	statusFail status = "FAIL"
	statusWarn status = "warn"
	statusSkip status = "skip"
)

// finding is a line of the output.
type finding struct {
	Check  string `json:"check"`
	Status status `json:"status"`
	Detail string `json:"detail"`
	Remedy string `json:"remedy,omitempty"`
}

func found(s status, format string, args ...any) finding {
	return finding{Status: s, Detail: fmt.Sprintf(format, args...)}
}

func (f finding) mendBy(format string, args ...any) finding {
	f.Remedy = fmt.Sprintf(format, args...)
	return f
}

func only(s status, format string, args ...any) []finding {
	return []finding{found(s, format, args...)}
}

// doctor is the command, with its flags and what its checks have found out.
type doctor struct {
	env                         cmdutil.Env
	secret                      *cmdutil.Credential
	workspace                   *workspace
	configFile, adapter, target string
	noSend                      bool
	connection                  *delivery.Connection

	config  *cmdutil.Config        // nil without a file
	handler *cmdutil.ConfigHandler // the one that the URL leads to; nil if it is not known
	url     *url.URL               // nil if it is not known
	key     []byte                 // nil without a secret
	blank   bool                   // where the secret was to come from, there is none
	client  *delivery.Client       // nil without a URL
	probe   probe

	// The workspace has no client if there is no API key, and of its webhooks
	// only those that are for the URL.
	uses        map[string][]use // by the webhook's id
	usesUnknown error            // why they are not all there
}

func doctorCommand(env cmdutil.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "doctor [--config <file>] [--url <url>]",
		Short: "Checks the whole way of an event, and names a remedy for every failure",
		Long: `Checks the whole way of an event: the configuration and its secrets, the
application, the public URL, the clocks, and, with an API key, the webhook at
ElevenLabs: whether it exists for the URL, is enabled, and is attached, its
retries, and what its last failure means. Prints a line for each check, and a
remedy for what is wrong. At ElevenLabs nothing is changed.

Run it on the server, as the server's user and with its environment, so that it
sees what Caddy sees. The configuration is read as by "caddy validate": nothing
is started.

The URL is taken from the configuration if that has one host and one path for
the webhook; otherwise give it by --url.

One signed sample event goes through to the application, a post_call_transcription,
or one of another type if "events" leaves that out, with "_test_" in its ids, unless
--no-send is given. Before it go a POST of {} without a signature, which tells what
answers at the URL, and an event with a forged one: elevenlabs_webhook refuses both.
Where it does not stand in front, or has report_only, they reach the application,
too; the event does not by --no-send.

The exit code is 2 if any check fails. Warnings do not count.`,
		Example: `  caddy elevenlabs doctor
  caddy elevenlabs doctor --config /etc/caddy/Caddyfile --api-key-file key.txt
  caddy elevenlabs doctor --url https://hooks.example.com/webhooks/elevenlabs --no-send
  caddy elevenlabs doctor --resolve hooks.example.com:127.0.0.1 --json`,
		Args: cobra.NoArgs,
	}
	d := &doctor{env: env, secret: cmdutil.SecretFlags(cmd), workspace: workspaceFlags(cmd, env)}
	d.workspace.agentFlags(cmd, "also look whether this agent has a webhook of its own, by `id`")
	d.connection = delivery.ConnectionFlags(cmd, 20*time.Second)
	d.connection.Network = "tcp4" // as ElevenLabs connects
	flags := cmd.Flags()
	flags.StringVar(&d.configFile, "config", "", "the configuration `file` (default: Caddyfile, if there is one here)")
	flags.StringVar(&d.adapter, "adapter", "", "the `adapter` for the configuration file, if its name does not tell")
	flags.StringVar(&d.target, "url", "", "the webhook's public `url` (default: as the configuration has it)")
	flags.BoolVar(&d.noSend, "no-send", false, "do not send the signed sample event")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return d.run(cmd) }
	return cmd
}

func (d *doctor) run(cmd *cobra.Command) error {
	if err := cmdutil.RejectEmpty(cmd, "config", "adapter", "url"); err != nil {
		return err
	}
	if err := d.connection.Check(cmd); err != nil {
		return err
	}
	if err := d.prepare(cmd); err != nil {
		return err
	}
	counts := map[status]int{}
	for _, c := range checks {
		bar := cmdutil.NewProgress(cmd, -1, c.name, progressbar.OptionSetPredictTime(false))
		findings := c.run(d, cmd.Context())
		_ = bar.Finish() // what cannot be drawn, is not
		if cmd.Context().Err() != nil {
			return cmdutil.ErrInterrupted
		}
		for _, f := range findings {
			f.Check = c.name
			if f.Remedy == "" && (f.Status == statusFail || f.Status == statusWarn) {
				f.Remedy = c.remedy
			}
			counts[f.Status]++
			if err := f.print(cmd); err != nil {
				return err
			}
		}
	}
	summary := fmt.Sprintf("%d ok, %d failed, %d to be looked at, %d skipped", counts[statusOK], counts[statusFail], counts[statusWarn], counts[statusSkip])
	if !cmdutil.WantsJSON(cmd) {
		if _, err := fmt.Fprintf(cmd.OutOrStdout(), "\n%s\n", summary); err != nil {
			return err
		}
	}
	if counts[statusFail] > 0 {
		return fmt.Errorf("%w: %s", cmdutil.ErrCheckFailed, summary)
	}
	return nil
}

func (f finding) print(cmd *cobra.Command) error {
	if cmdutil.WantsJSON(cmd) {
		f.Status = status(strings.ToLower(string(f.Status)))
		return cmdutil.PrintJSON(cmd, f)
	}
	text := fmt.Sprintf("%-4s  %-11s  %s\n", f.Status, f.Check, f.Detail)
	if f.Remedy != "" {
		text += "      Remedy: " + f.Remedy + "\n"
	}
	_, err := fmt.Fprint(cmd.OutOrStdout(), text)
	return err
}

// prepare finds out what there is to be checked.
func (d *doctor) prepare(cmd *cobra.Command) error {
	if d.secret.FromStdin() && d.workspace.apiKey.FromStdin() {
		return cmdutil.ErrStdinTwice
	}
	const usual = "Caddyfile"
	if d.configFile == "" {
		if _, err := os.Stat(usual); err == nil {
			d.configFile = usual
		}
	} else if _, err := os.Stat(d.configFile); err != nil {
		return fmt.Errorf("reading --config: %w", err)
	}
	if d.configFile == "" && d.target == "" {
		return errors.New("there is no Caddyfile here: name one by --config, or give the webhook's URL by --url")
	}
	if d.configFile != "" {
		config := d.env.Inspect(d.configFile, d.adapter)
		d.config = &config
	}
	if err := d.findURL(); err != nil {
		return err
	}
	if err := d.findKey(cmd); err != nil {
		return err
	}
	return d.findWorkspace(cmd)
}

// findURL finds the webhook's URL and the handler it leads to.
func (d *doctor) findURL() error {
	if d.target == "" {
		candidates := map[string]int{}
		for i, h := range d.config.Handlers {
			if u, ok := urlOf(h); ok {
				candidates[u] = i
			}
		}
		if len(candidates) != 1 {
			if d.connection.Resolved() {
				return errors.New("--resolve needs a URL: give it by --url")
			}
			return nil
		}
		for u, i := range candidates {
			d.target, d.handler = u, &d.config.Handlers[i]
		}
	}
	var err error
	if d.client, err = delivery.NewClient(d.target, d.env.Now, d.connection); err != nil {
		return err
	}
	d.url = d.client.URL
	if d.config == nil || d.handler != nil {
		return nil
	}
	for i := range d.config.Handlers {
		h := &d.config.Handlers[i]
		if !serves(*h, d.url) {
			continue
		}
		if listens(*h, d.url) {
			d.handler = h
			break
		}
		if d.handler == nil { // what is in front may have the URL's port
			d.handler = h
		}
	}
	return nil
}

// findKey finds the secret to sign with: the one that the flags name, or that of
// the configuration, or the usual variable's.
func (d *doctor) findKey(cmd *cobra.Command) error {
	named := cmd.Flags().Changed("secret-file") || cmd.Flags().Changed("secret-env")
	if !named {
		for _, h := range d.handlers() {
			for _, s := range h.Secrets {
				if value := strings.TrimSpace(s.Value); value != "" && s.Problem == nil {
					d.setKey(value)
					return nil
				}
			}
		}
	}
	if _, set := os.LookupEnv(d.secret.Env); !named && !set {
		return nil
	}
	value, err := d.secret.Raw(cmd)
	if err != nil {
		return err
	}
	if value = strings.TrimSpace(value); value == "" {
		d.blank = named || !slices.ContainsFunc(d.handlers(), func(h cmdutil.ConfigHandler) bool { return len(h.Secrets) > 0 })
		return nil
	}
	d.setKey(value)
	return nil
}

func (d *doctor) setKey(value string) {
	d.key = []byte(value)
	if d.client != nil {
		d.client.Key = d.key
	}
}

// handlers are the handler that the URL leads to, or all where it is not known.
func (d *doctor) handlers() []cmdutil.ConfigHandler {
	switch {
	case d.handler != nil:
		return []cmdutil.ConfigHandler{*d.handler}
	case d.config != nil:
		return d.config.Handlers
	}
	return nil
}

// url returns the handler's public URL, if the configuration has but one.
func urlOf(h cmdutil.ConfigHandler) (string, bool) {
	if len(h.Hosts) != 1 || len(h.Paths) != 1 || len(h.Listen) == 0 || strings.ContainsAny(h.Hosts[0]+h.Paths[0], "*{") {
		return "", false
	}
	scheme, usual := "https", uint(443)
	if h.Plain {
		scheme, usual = "http", 80
	}
	host := h.Hosts[0]
	if address, err := netip.ParseAddr(host); err == nil && address.Is6() {
		host = "[" + host + "]"
	}
	port := h.Listen[0]
	for _, p := range h.Listen {
		if p == usual {
			port = p
		}
	}
	if port != usual {
		host += fmt.Sprintf(":%d", port)
	}
	return (&url.URL{Scheme: scheme, Host: host, Path: h.Paths[0]}).String(), true
}

// listens reports whether the handler's server has a URL's port.
func listens(h cmdutil.ConfigHandler, u *url.URL) bool {
	return slices.ContainsFunc(h.Listen, func(port uint) bool { return strconv.FormatUint(uint64(port), 10) == delivery.PortOf(u) })
}

// serves reports whether a URL leads to the handler, as far as its matchers are
// plain enough to tell.
func serves(h cmdutil.ConfigHandler, u *url.URL) bool {
	matches := func(patterns []string, value string) bool {
		for _, p := range patterns {
			before, after, wild := strings.Cut(p, "*")
			if strings.EqualFold(p, value) || wild && strings.HasPrefix(value, before) && strings.HasSuffix(value, after) {
				return true
			}
		}
		return len(patterns) == 0
	}
	return matches(h.Hosts, u.Hostname()) && matches(h.Paths, u.Path)
}
