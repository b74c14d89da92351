package main

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	cdpage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// stay marks a page, so that stayed can tell whether it was loaded anew.
func (p *tab) stay() { eval[any](p, "void (window.stayed = true)") }

func (p *tab) stayed() bool { return eval[bool](p, "window.stayed === true") }

// Scripts in a page have no password of their own: the browser adds it to their requests.
func TestInspectorIsLiveWithThePasswordThatTheBrowserHas(t *testing.T) {
	t.Parallel()
	l := newInboxLedger(t)
	s := start(t, inspectedSite(l.backend(taken), newInboxFile(t), "", ""))
	s.awaitInbox()
	p := newTab(t, s)
	_, err := chromedp.Call(p.ctx, network.SetExtraHTTPHeaders, network.SetExtraHTTPHeadersParams{Headers: network.Headers{}})
	require.NoError(t, err)
	p.do(chromedp.Navigate(strings.Replace(p.site, "://", "://"+operator+":"+operatorKey+"@", 1) + "/events"))
	p.awaitText("No stored event is like that.")
	p.stay()
	s.sendEvents([]byte(callEvent))
	p.awaitText("conv_booking")
	assert.True(t, p.stayed(), "without a reload")
	s.sendEvents(l.event(300))
	p.awaitText("conv_1")
	p.requireQuiet()
}

// holdRenewals holds the answer of each renewal until the test says go, and notes the
// messages of the stream and the pauses before the renewals.
const holdRenewals = `window.held = []; window.messages = 0; window.pauses = [];
{
	const { fetch, setTimeout, EventSource } = window;
	window.fetch = async (...request) => {
		const answer = await fetch(...request);
		await new Promise(go => window.held.push(go));
		return answer;
	};
	window.setTimeout = (what, pause) => { window.pauses.push(pause); return setTimeout(what, pause); };
	window.EventSource = class extends EventSource {
		constructor(address) { super(address); this.addEventListener("message", () => window.messages++); }
	};
}`

func TestInspectorShowsAtOnceWhatCameDuringARenewal(t *testing.T) {
	t.Parallel()
	l := newInboxLedger(t)
	s := start(t, inspectedSite(l.backend(taken), newInboxFile(t), "", ""))
	s.awaitInbox()
	p := newTab(t, s)
	_, err := chromedp.Call(p.ctx, cdpage.AddScriptToEvaluateOnNewDocument, cdpage.AddScriptToEvaluateOnNewDocumentParams{Source: holdRenewals})
	require.NoError(t, err)
	p.open("/events")
	p.await("a renewal", "window.held.length === 1")
	s.sendEvents([]byte(callEvent))
	p.await("the stream to tell of the event", "window.messages > 0")
	eval[any](p, "void (window.pauses.length = 0, window.held.pop()())")
	p.await("the next renewal to be planned", "window.pauses.length > 0")
	assert.LessOrEqual(t, eval[float64](p, "window.pauses[0]"), 1000.0, "milliseconds until the page shows the event")
	p.await("that renewal", "window.held.length === 1")
	eval[any](p, "void window.held.pop()()")
	p.awaitText("conv_booking")
	p.requireQuiet()
}

func TestInspectorShowsInOneTabWhatWasDoneInAnother(t *testing.T) {
	t.Parallel()
	l, backend := newInboxLedger(t), new(faultyBackend)
	s := start(t, inspectedSite(l.backend(backend.answer), newInboxFile(t), "retry 1h", ""))
	s.awaitInbox()
	s.sendEvents([]byte(callEvent), l.event(300))
	list := newTab(t, s)
	list.open("/events")
	list.await("both events to wait", "[...document.querySelectorAll('tbody .tag')].filter(e => e.innerText === 'waiting').length === 2")
	list.stay()
	overview := list.another(s)
	overview.open("/")
	overview.await("the overview", `document.querySelector('a[href$="state=dead"]').innerText === '0'`)
	overview.stay()
	page := list.another(s)
	page.open(s.pathOf([]byte(callEvent)))
	page.press("Forget")
	page.press("Yes")
	page.awaitText("1 event deleted.")
	page.tick(s.storedEvents()[0].Seq)
	backend.up.Store(true)
	page.press("Deliver again")

	list.await("the list to have one event, delivered", "[...document.querySelectorAll('tbody .tag')].map(e => e.innerText).join() === 'delivered'")
	overview.await("the overview to count it", `document.querySelector('a[href$="state=delivered"]').innerText === '1'`)
	for _, p := range []*tab{list, overview, page} {
		p.requireQuiet()
	}
	assert.True(t, list.stayed() && overview.stayed(), "without a reload")
}

func TestReloadOfCaddyWaitsForNoPageOfTheInspector(t *testing.T) {
	t.Parallel()
	l := newInboxLedger(t)
	address, database := l.backend(taken), newInboxFile(t)
	s := start(t, inspectedSite(address, database, "", ""))
	s.awaitInbox()
	list := newTab(t, s)
	list.open("/events")
	overview := list.another(s)
	overview.open("/")
	streams := func() int {
		return s.goroutines("caddymodule.streamInbox") + s.goroutines("caddymodule.streamDeliveries")
	}
	s.eventually("the streams of both pages", func() bool { return streams() == 2 })
	list.stay()
	overview.stay()

	began := time.Now()
	require.Empty(t, s.post("/load", inspectedSite(address, database, "retry 7s", "")))
	took := time.Since(began)
	assert.Less(t, took, 2*time.Second)
	t.Log("the reload took", took)
	s.sendAfterReload(s.client("HTTP/1.1"), func() *http.Request { return s.event([]byte(callEvent)) })
	list.awaitText("conv_booking")
	overview.await("the overview to count it", `document.querySelector('a[href$="state=delivered"]').innerText === '1'`)
	s.eventually("both pages to have a stream again", func() bool { return streams() == 2 })
	assert.True(t, list.stayed() && overview.stayed(), "without a reload of the pages")
	for _, p := range []*tab{list, overview} {
		p.requireQuiet()
	}
}

func TestInspectorWithoutAnInboxShowsDeliveries(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	s := start(t, strings.TrimSuffix(webhook(b.address(), ""), "\n}\n")+"\nhandle {"+inspected("")+"}\n}\n")
	overview := newTab(t, s)
	overview.open("/")
	overview.awaitText("none since Caddy started")
	assert.Equal(t, []any{"Overview", "Deliveries"}, eval[[]any](overview, "[...document.querySelectorAll('header nav a')].map(a => a.innerText)"))
	overview.stay()
	list := overview.another(s)
	list.open("/deliveries")
	list.awaitText("No delivery is like that.")
	list.stay()

	client := s.client("HTTP/1.1")
	send(t, client, s.event([]byte(callEvent)))
	send(t, client, s.signed([]byte(transcript), "wsec_other", time.Now()))
	list.awaitText("conv_booking", "accepted", "rejected", "signature mismatch")
	overview.await("the chart of accepted deliveries", "document.querySelector('.chart.accepted figcaption b')?.innerText === '1'")
	assert.True(t, list.stayed() && overview.stayed(), "without a reload")
	list.open("/deliveries?result=rejected")
	list.awaitText("signature mismatch")
	assert.NotContains(t, list.text("tbody"), "accepted")
	list.requireQuiet()
	overview.requireQuiet()
	list.open("/events")
	list.awaitText("no elevenlabs_webhook handler of this Caddy has an inbox")
}

func TestInspectorWorksWithoutScripts(t *testing.T) {
	t.Parallel()
	l, backend := newInboxLedger(t), new(faultyBackend)
	s := start(t, inspectedSite(l.backend(backend.answer), newInboxFile(t), "retry 1h", ""))
	s.awaitInbox()
	s.sendEvents([]byte(callEvent), l.event(300))
	s.eventually("each event to be tried", func() bool {
		return s.inboxCount("waiting") == 2 && s.storedEvents()[0].Attempts+s.storedEvents()[1].Attempts == 2
	})
	p := newTab(t, s)
	_, err := chromedp.Call(p.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	require.NoError(t, err)
	p.open("/events")
	p.awaitText("conv_booking", " UTC")
	p.tick(s.seqOf([]byte(callEvent)))
	backend.up.Store(true)
	p.press("Deliver again")
	p.awaitText("1 event will be delivered again.")
	s.eventually("the event to be delivered", func() bool { return s.inboxCount("delivered") == 1 })
	p.open(s.pathOf([]byte(callEvent)))
	p.awaitText("Café Münster, good evening. How can I help?", "taken")
	p.click("//details[@class='tool'][2]/summary")
	p.awaitText("table 12 is taken")
	p.press("Forget")
	p.press("Yes")
	p.awaitText("1 event deleted.")
	p.requireQuiet()
}
