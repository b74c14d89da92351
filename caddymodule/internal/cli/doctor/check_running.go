package doctor

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/deliveries"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"
)

// running is what the running server says of the handlers of one name.
type running struct {
	Handler string `json:"handler"`
	deliveries.Status
	Config []runningConfig `json:"config"`
}

type runningConfig struct {
	ReportOnly bool `json:"report_only"`
}

func (e *examination) checkRunning(ctx context.Context) []finding {
	address := e.address
	if address == "" && e.config != nil {
		if address = e.config.Admin; address == "" {
			return only(statusSkip, "the configuration turns Caddy's admin endpoint off, so nothing tells whether real events fail")
		}
	}
	if address == "" {
		return only(statusSkip, "there is no configuration that says where Caddy's admin endpoint is; --address says it")
	}
	all, err := e.askRunning(ctx, address)
	if err != nil {
		return []finding{found(statusSkip, "the running server cannot be asked: %s", cmdutil.Brief(err.Error(), cmdutil.Longest)).
			withRemedy("Run doctor on the machine that Caddy runs on. Only the running server knows of real events that fail.")}
	}
	var findings []finding
	for _, r := range all {
		if len(e.handlers()) == 0 || slices.ContainsFunc(e.handlers(), r.runs) {
			findings = append(findings, e.judge(r)...)
		}
	}
	if len(findings) == 0 {
		return []finding{found(statusFail, "the running server has no such elevenlabs_webhook: it has another configuration").
			withRemedy("Load this one: caddy reload --config %s. If another Caddy answered, give the right one's admin endpoint by --address.", cmp.Or(e.configFile, "<file>"))}
	}
	return findings
}

// runs reports whether the status is that of a handler in the configuration.
func (r running) runs(h cmdutil.ConfigHandler) bool { return r.Handler == h.Name }

// askRunning asks the admin endpoint for the status of the webhooks.
func (e *examination) askRunning(ctx context.Context, address string) ([]running, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	response, err := e.env.Admin(ctx, cmdutil.AdminRequest{Address: address, URI: "/elevenlabs/status", Header: http.Header{"Accept": {"application/json"}}})
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	var all []running
	err = json.NewDecoder(response.Body).Decode(&all)
	return all, err
}

// judge judges the status of the handlers of one name in the running server.
func (e *examination) judge(r running) []finding {
	ago := func(t time.Time) string { return humanize.RelTime(t, e.env.Now(), "ago", "ahead of this clock") }
	genuine := "none since Caddy started"
	if !r.LastDelivery.IsZero() {
		genuine = ago(r.LastDelivery)
	}
	var f finding
	switch last := cmp.Or(r.LastFailure, new(deliveries.Delivery)); {
	case r.FailuresInRow > 0:
		f = found(statusFail, "%s: failures in a row: %d, the last %s: %s; last genuine event: %s",
			r.Handler, r.FailuresInRow, ago(last.Ended), reasonOf(*last), genuine).withRemedy("%s", failureRemedy(*last))
	case r.LastDelivery.IsZero():
		f = found(statusWarn, "%s: last genuine event: %s, so nothing proves that the secret is the webhook's", r.Handler, genuine).
			withRemedy("Make a test call, and run doctor again. caddy elevenlabs tail shows what came.")
	default:
		f = found(statusOK, "%s: failures in a row: 0; last genuine event: %s", r.Handler, genuine)
	}
	if !slices.ContainsFunc(r.Config, func(c runningConfig) bool { return c.ReportOnly }) {
		return []finding{f}
	}
	configured := func(h cmdutil.ConfigHandler) bool { return h.ReportOnly }
	if len(e.handlers()) > 0 && !slices.ContainsFunc(e.handlers(), configured) {
		return []finding{f, found(statusFail, "%s: report_only is on in the running server, and not in the configuration", r.Handler).
			withRemedy("Load the configuration: caddy reload --config %s.", e.configFile)}
	}
	return []finding{f, found(statusWarn, "%s: report_only is on, and has forwarded %d that would have been rejected", r.Handler, r.WouldReject).
		withRemedy("Remove it when the switch-over is done.")}
}

// reasonOf says why a delivery failed.
func reasonOf(d deliveries.Delivery) string {
	if d.UpstreamStatus == 0 {
		return d.Reason
	}
	return fmt.Sprintf("%s %d", d.Reason, d.UpstreamStatus)
}

// failureRemedy returns the remedy for a delivery that failed.
func failureRemedy(d deliveries.Delivery) string {
	if r := facts.RejectionByCode(d.Reason); r != nil {
		return r.Remedy
	}
	if status := cmp.Or(d.UpstreamStatus, facts.StatusOf(d.Reason)); status != 0 {
		return facts.AnswerRemedy(status)
	}
	return "Look into the application's log, and into Caddy's."
}
