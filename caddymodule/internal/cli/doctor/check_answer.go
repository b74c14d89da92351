package doctor

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/delivery"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/deliveries"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/sample"
)

const (
	redirectRemedy = "The HTTP client that ElevenLabs uses turns the POST into a GET, without the event. Give ElevenLabs the URL that the redirect leads to. Compare http, www and a slash at the end."
	inFrontRemedy  = "Something in front of elevenlabs_webhook fails: look into its log."
	pageRemedy     = "Let POST requests for this path pass the login or the protection against bots in front. If the page is the application's, compare the path with the one that it has for the webhook."
	pathRemedy     = "Compare the URL's path with the Caddyfile's."

	errorRouteRemedy = "A route of handle_errors or intercept answers so. Let it keep the status, as in: respond {err.status_code}."
)

// rejectionRemedy returns the remedy of a rejection, or an empty string if
// elevenlabs_webhook has no such reason.
func rejectionRemedy(code string) string {
	switch r := facts.RejectionByCode(code); r {
	case nil:
		return ""
	case facts.SourceNotAllowed:
		return "If source_ips has only ElevenLabs's addresses, this is right, and the rest cannot be checked from this machine. " + r.Remedy
	default:
		return r.Remedy
	}
}

// rejection is why the handler rejected the request without a signature. It is empty
// if the handler did not.
func (e *examination) rejection() string { return delivery.Reason(e.probe.header) }

func (e *examination) checkEndpoint(context.Context) []finding {
	if skipped := e.unreached(); skipped != nil {
		return skipped
	}
	f := e.judgeEndpoint()
	if f.Status == statusFail {
		f = f.withAnswer(e.probe.lines)
	}
	return []finding{f}
}

// judgeEndpoint judges the answer to the request without a signature.
func (e *examination) judgeEndpoint() finding {
	code, reason := e.probe.status, e.rejection()
	status := fmt.Sprintf("%d %s", code, http.StatusText(code))
	switch {
	case code/100 == 3:
		return found(statusFail, "redirects to %s (%s)", cmdutil.Brief(e.probe.header.Get("Location"), cmdutil.Longest), status).withRemedy("%s", redirectRemedy)
	case reason != "" && code/100 == 2:
		return hiddenRejection("a request without a signature", reason, status)
	case reason == facts.SignatureMissing.Code:
		return found(statusOK, "a request without a signature is rejected: %s, %s", status, reason)
	case e.notTrusted():
		return found(statusSkip, "elevenlabs_webhook answers: %s, %s, since this machine is not in trusted_proxies", status, reason).
			withRemedy("Leave out --resolve, and give the public URL by --url: then the checks go through the proxy in front.")
	case reason != "":
		return found(statusFail, "a request without a signature is rejected for another reason: %s, %s", status, reason).withRemedy("%s", rejectionRemedy(reason))
	case code/100 == 2 && e.handler != nil && e.handler.ReportOnly:
		return found(statusWarn, "a request without a signature is forwarded by report_only: %s", status).
			withRemedy("Remove report_only when the switch-over is done.")
	case code/100 == 2 && e.probe.page:
		return found(statusFail, "a request without a signature gets an HTML page: %s", status).withRemedy(pageRemedy)
	case code/100 == 2:
		return found(statusFail, "a request without a signature is accepted: %s", status).
			withRemedy("Something other than elevenlabs_webhook answers: compare the URL's path with the Caddyfile's. If the application answers, requests reach it without verification.")
	case code >= 500:
		return found(statusFail, "%s", status).withRemedy("%s", inFrontRemedy)
	}
	return found(statusFail, "%s, but not from elevenlabs_webhook, which would say %s", status, facts.SignatureMissing.Code)
}

// hiddenRejection is what is found if an error route makes a success of a rejection.
func hiddenRejection(request, reason, status string) finding {
	return found(statusFail, "%s is rejected (%s) and yet answered %s, so ElevenLabs takes a rejected event for delivered", request, reason, status).
		withRemedy("%s", errorRouteRemedy)
}

func (e *examination) checkClock(context.Context) []finding {
	if skipped := e.unreached(); skipped != nil {
		return skipped
	}
	date, err := http.ParseTime(e.probe.header.Get("Date"))
	if err != nil {
		return only(statusSkip, "the answer has no Date header")
	}
	past, future := facts.DefaultPast, facts.DefaultFuture
	if e.handler != nil {
		past, future = e.handler.Past, e.handler.Future
	}
	ahead := date.Sub(e.probe.middle).Round(time.Second)
	apart := fmt.Sprintf("the server's clock is %s ahead of the one here", ahead)
	if ahead < 0 {
		apart = fmt.Sprintf("the server's clock is %s behind the one here", -ahead)
	}
	switch {
	case ahead > past || -ahead > future:
		return only(statusFail, "%s, more than the tolerance", apart)
	case ahead.Abs() > time.Minute:
		return only(statusWarn, "%s", apart)
	}
	return only(statusOK, "the server's clock agrees with the one here")
}

func (e *examination) checkForged(ctx context.Context) []finding {
	if skipped := e.shut(); skipped != nil {
		return skipped
	}
	if e.noSend && e.rejection() == "" {
		return only(statusSkip, "left out by --no-send, since it may reach the application: elevenlabs_webhook did not reject the request without a signature")
	}
	forged, _ := delivery.ForgeryByName("signature")
	r, err := e.deliver(ctx, forged)
	switch {
	case err != nil:
		return only(statusFail, "%s", err)
	case r.OK && r.Reason == "":
		return only(statusSkip, "an event with a forged signature is rejected, but not by elevenlabs_webhook: %s", r.Answer())
	case r.OK:
		e.gated = true
		return only(statusOK, "an event with a forged signature is rejected: %s", r.Answer())
	case r.Reason != "" && r.Status/100 == 2:
		return []finding{hiddenRejection("an event with a forged signature", r.Reason, fmt.Sprintf("%d %s", r.Status, http.StatusText(r.Status))).withAnswer(r.Lines)}
	case e.handler != nil && e.handler.ReportOnly && r.Status/100 == 2:
		return []finding{found(statusWarn, "an event with a forged signature is forwarded by report_only: %s", r.Answer()).
			withRemedy("Remove report_only when the switch-over is done.")}
	}
	return []finding{found(statusFail, "an event with a forged signature is not rejected as such: %s", answerOf(r)).withRemedy("%s", forgedRemedy(r)).withAnswer(r.Lines)}
}

// forgedRemedy returns the remedy for an answer to a forged event. It is empty if the
// application accepted the event, since the check has a remedy for that.
func forgedRemedy(r delivery.Result) string {
	switch {
	case r.Reason != "":
		return cmp.Or(rejectionRemedy(r.Reason), "Something other than elevenlabs_webhook says so: look into the log of the proxy in front.")
	case r.Status/100 == 2:
		return ""
	case r.Status/100 == 3:
		return redirectRemedy
	case r.Status == 0 || r.Status >= 500:
		return inFrontRemedy
	}
	return pathRemedy
}

func (e *examination) checkSigned(ctx context.Context) []finding {
	if e.noSend {
		return only(statusSkip, "left out by --no-send")
	}
	if skipped := e.shut(); skipped != nil {
		return skipped
	}
	if e.key == nil {
		return only(statusSkip, "there is no secret to sign with")
	}
	if _, ok := e.sampleType(); !ok {
		return only(statusSkip, "events has only types without a sample: %s", strings.Join(e.handler.Events, ", "))
	}
	r, err := e.deliver(ctx, delivery.Genuine)
	if err != nil {
		return only(statusFail, "%s", err)
	}
	if r.OK && r.Page {
		return []finding{found(statusWarn, "a signed event gets an HTML page, which may be one to log in, or against bots: %s", r.Answer()).withRemedy(pageRemedy)}
	}
	switch {
	case r.OK && r.Inbox == deliveries.InboxBypassed:
		return []finding{found(statusWarn, "a signed event passes, but the inbox could not store it: %s, in %d ms", r.Answer(), r.Milliseconds).
			withRemedy("Look into Caddy's log for the reason: until then an event is lost if the application does not take it at once.")}
	case r.OK && r.Inbox != "":
		return only(statusOK, "a signed event is in the inbox, which delivers it to the application: %s, in %d ms", r.Answer(), r.Milliseconds)
	case r.OK && e.handler != nil && e.handler.Inbox != nil && len(e.handler.Inbox.Destinations) > 0:
		return only(statusOK, "a signed event passes, and no destination of the inbox takes it: their agents and matchers choose others: %s, in %d ms", r.Answer(), r.Milliseconds)
	case r.OK:
		return only(statusOK, "a signed event passes: %s, in %d ms", r.Answer(), r.Milliseconds)
	}
	f := found(statusFail, "a signed event does not pass: %s", answerOf(r)).withAnswer(r.Lines)
	switch {
	case r.Status/100 == 3:
		f = f.withRemedy("%s", redirectRemedy)
	case r.Reason != "":
		f = f.withRemedy("%s", rejectionRemedy(r.Reason))
	case r.Status == http.StatusBadGateway:
		f = f.withRemedy("The application does not listen, or closes connections.")
	case r.Status == http.StatusGatewayTimeout:
		f = f.withRemedy("The application takes too long: let it answer first, and work later.")
	case r.Status != 0:
		f = f.withRemedy("The application answers so, or a proxy in front: its log says why. ElevenLabs counts only 200 as success.")
	}
	return []finding{f}
}

// answerOf says how the server answered, and where a redirect leads to.
func answerOf(r delivery.Result) string {
	if r.Location == "" {
		return r.Answer()
	}
	return r.Answer() + ", to " + r.Location
}

// sampleType returns the type of the event to send: one that the handler forwards. It
// reports false if no such type has a sample.
func (e *examination) sampleType() (string, bool) {
	const usual = "post_call_transcription"
	if e.handler == nil || len(e.handler.Events) == 0 || slices.Contains(e.handler.Events, usual) {
		return usual, true
	}
	for _, event := range e.handler.Events {
		if slices.Contains(facts.EventTypeNames, event) {
			return event, true
		}
	}
	return usual, false
}

func (e *examination) deliver(ctx context.Context, f delivery.Forgery) (delivery.Result, error) {
	return e.deliverBy(ctx, e.client, f)
}

func (e *examination) deliverBy(ctx context.Context, client *delivery.Client, f delivery.Forgery) (delivery.Result, error) {
	typ, _ := e.sampleType()
	event, err := sample.New(typ, sample.Options{Now: e.env.Now(), Turns: 2})
	if err != nil {
		return delivery.Result{}, err
	}
	return client.Deliver(ctx, event, f, func(int) {}), nil
}
