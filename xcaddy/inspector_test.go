package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	cdpage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

// The operator of the tests, who signs in to the inspector by basic_auth.
const (
	operator     = "olga"
	operatorKey  = "looking"
	operatorHash = "$2a$04$5PbyGZglX4Jo/VykP7yDm.148hiV47sJXeWXliprMvDRjVao5qoSu"
)

// inspected returns the part of a Caddyfile with the inspector, for those who sign in.
func inspected(options string) string {
	return "\nbasic_auth {\n" + operator + " " + operatorHash + "\n}\nelevenlabs_inspector {\n" + options + "\n}\n"
}

// inspectedSite returns a Caddyfile with a webhook that has an inbox, and the inspector
// at the root of the same site.
func inspectedSite(backend, database, inboxOptions, inspectorOptions string) string {
	site := inboxSite(backend, database, inboxOptions)
	return strings.TrimSuffix(site, "\n}\n") + "\nhandle {" + inspected(inspectorOptions) + "}\n}\n"
}

// inspect sends a request to a path of the inspector, as the operator.
func (s *server) inspect(client *http.Client, method, path string, header ...string) answer {
	s.t.Helper()
	request, err := http.NewRequestWithContext(s.t.Context(), method, "https://"+s.address+path, nil)
	require.NoError(s.t, err)
	request.SetBasicAuth(operator, operatorKey)
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	return send(s.t, client, request)
}

// sendEvents sends events, which the inbox must store.
func (s *server) sendEvents(bodies ...[]byte) {
	s.t.Helper()
	client := s.client("HTTP/1.1")
	for _, body := range bodies {
		got := send(s.t, client, s.event(body))
		require.Equal(s.t, "stored", got.header.Get(headerInbox), got.body)
	}
}

// shownEvent is what the inspector's JSON shows of a stored event.
type shownEvent struct {
	Seq            int64
	State          string
	ConversationID string `json:"conversation_id"`
	EventID        string `json:"event_id"`
	HasBody        bool   `json:"has_body"`
	Attempts       int
}

// storedEvents returns the stored events, newest first.
func (s *server) storedEvents() (events []shownEvent) {
	s.t.Helper()
	require.NoError(s.t, json.Unmarshal([]byte(s.get("/elevenlabs/inbox/events?limit=1000")), &events))
	return events
}

// seqOf returns the number of the stored event with a body.
func (s *server) seqOf(body []byte) int64 {
	s.t.Helper()
	for _, e := range s.storedEvents() {
		if e.EventID == digestOf(body) {
			return e.Seq
		}
	}
	require.Fail(s.t, "the event is not stored")
	return 0
}

// pathOf returns the path of the page of the stored event with a body.
func (s *server) pathOf(body []byte) string {
	return "/events/" + strconv.FormatInt(s.seqOf(body), 10) + "?inbox=default"
}

// sampleEvent returns the body of an event that `send` makes.
func sampleEvent(t testing.TB, args ...string) []byte {
	t.Helper()
	got := elevenlabs(t, "", append([]string{"send", "--print"}, args...)...)
	require.Zero(t, got.code, got.stderr)
	return bytes.TrimSuffix([]byte(got.stdout), []byte("\n"))
}

// browser is the browser that all tests share.
var browser struct {
	sync.Once
	ctx   context.Context
	close func()
	err   error
}

// closeBrowser ends the browser, if a test has started it.
func closeBrowser() {
	if browser.close != nil {
		browser.close()
	}
}

func startBrowser(path string) {
	flags := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(path), chromedp.Headless, chromedp.NoSandbox, chromedp.NoFirstRun, chromedp.DisableGPU, chromedp.IgnoreCertErrors,
		chromedp.UserDataDir(filepath.Join(filepath.Dir(dataDir), "browser")), chromedp.Env("TZ=UTC"), chromedp.Flag("lang", "en-US"),
		chromedp.Flag("force-color-profile", "srgb"), chromedp.Flag("autoplay-policy", "no-user-gesture-required"),
		chromedp.Flag("disable-dev-shm-usage", true), chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true), chromedp.Flag("disable-breakpad", true),
		chromedp.Flag("disable-background-timer-throttling", true), chromedp.Flag("disable-renderer-backgrounding", true),
	}
	process, end := chromedp.NewExecAllocator(context.Background(), flags...)
	ctx, leave := chromedp.NewContext(process, chromedp.WithErrorf(func(string, ...any) {})) // also of events that it does not know
	browser.close = func() { leave(); end() }
	browser.ctx, browser.err = ctx, chromedp.Do(ctx)
}

// tab is a page in the browser. It notes what must never occur.
type tab struct {
	t    testing.TB
	ctx  context.Context
	site string // the beginning of its URLs

	mu       sync.Mutex
	problems []string // errors of scripts, violations of the policy, dialogs
	foreign  []string // requests to elsewhere
}

// newTab opens a tab of its own session, or skips the test without a browser.
func newTab(t testing.TB, s *server) *tab {
	t.Helper()
	path, err := exec.LookPath("chromium-headless-shell")
	if err != nil {
		path = runtimeOf(t, "chromium")
	}
	browser.Do(func() { startBrowser(path) })
	require.NoError(t, browser.err, "starting %s", path)
	return newTabIn(t, s, browser.ctx, chromedp.WithNewBrowserContext())
}

// another opens a second tab of the same session.
func (p *tab) another(s *server) *tab { return newTabIn(p.t, s, p.ctx) }

func newTabIn(t testing.TB, s *server, parent context.Context, options ...chromedp.ContextOption) *tab {
	t.Helper()
	ctx, closeTab := chromedp.NewContext(parent, options...)
	t.Cleanup(closeTab)
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	t.Cleanup(cancel)
	p := &tab{t: t, ctx: ctx, site: "https://" + s.address}
	require.NoError(t, chromedp.Listen(ctx, p.note))
	p.do(chromedp.EmulateViewport(1280, 900))
	p.signIn()
	return p
}

// signIn gives the password with each request, as a browser does after a visitor typed it.
func (p *tab) signIn() {
	request := &http.Request{Header: http.Header{}}
	request.SetBasicAuth(operator, operatorKey)
	headers := network.Headers{}
	require.NoError(p.t, json.Unmarshal([]byte(`{"Authorization":`+strconv.Quote(request.Header.Get("Authorization"))+`}`), &headers))
	_, err := chromedp.Call(p.ctx, network.SetExtraHTTPHeaders, network.SetExtraHTTPHeadersParams{Headers: headers})
	require.NoError(p.t, err)
}

// note notes what the browser tells of the page.
func (p *tab) note(event any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch event := event.(type) {
	case *runtime.EventExceptionThrown:
		p.problems = append(p.problems, "exception: "+event.ExceptionDetails.Text)
	case *log.EventEntryAdded:
		if event.Entry.Source != "network" { // an answer other than 200
			p.problems = append(p.problems, fmt.Sprintf("%s: %s", event.Entry.Source, event.Entry.Text))
		}
	case *cdpage.EventJavascriptDialogOpening:
		p.problems = append(p.problems, "dialog: "+event.Message)
	case *network.EventRequestWillBeSent:
		url := strings.Replace(event.Request.URL, operator+":"+operatorKey+"@", "", 1)
		if !strings.HasPrefix(url, p.site+"/") && !strings.HasPrefix(url, "data:") {
			p.foreign = append(p.foreign, url)
		}
	}
}

// requireQuiet requires that nothing in the page was wrong so far.
func (p *tab) requireQuiet() {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	require.Empty(p.t, p.problems)
	require.Empty(p.t, p.foreign, "requests to elsewhere")
}

func (p *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	require.NoError(p.t, chromedp.Do(p.ctx, steps...))
}

// open opens a page of the inspector.
func (p *tab) open(path string) {
	p.t.Helper()
	p.do(chromedp.Navigate(p.site + path))
}

// eval returns the value of an expression in the page.
func eval[T any](p *tab, expression string) T {
	p.t.Helper()
	value, err := chromedp.Run(p.ctx, chromedp.Evaluate[T](expression))
	require.NoError(p.t, err, expression)
	return value
}

// await waits until an expression in the page is true. The page may be loaded anew
// meanwhile.
func (p *tab) await(what, expression string) {
	p.t.Helper()
	for deadline := time.Now().Add(patience); ; {
		ctx, cancel := context.WithTimeout(p.ctx, patience)
		held, err := chromedp.Run(ctx, chromedp.Evaluate[bool]("!!("+expression+")"))
		cancel()
		if err == nil && held {
			return
		}
		if time.Now().After(deadline) {
			text, _ := chromedp.Run(p.ctx, chromedp.Evaluate[string]("location.href + '\\n' + document.body.innerText.slice(0, 3000)"))
			require.Fail(p.t, "waiting for "+what, "%v\n%s", err, text)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// awaitText waits until the page shows texts.
func (p *tab) awaitText(texts ...string) {
	p.t.Helper()
	for _, text := range texts {
		p.await("the text "+text, "document.body.innerText.includes("+strconv.Quote(text)+")")
	}
}

// text returns what an element shows.
func (p *tab) text(selector string) string {
	p.t.Helper()
	return eval[string](p, "document.querySelector("+strconv.Quote(selector)+")?.innerText ?? '(missing)'")
}

// press clicks on the button or link with a name. The page may be renewed meanwhile.
func (p *tab) press(name string) {
	p.t.Helper()
	p.click(fmt.Sprintf("//main//*[self::button or self::a][normalize-space()=%q]", name))
}

// click clicks on an element once a visitor can see it. The page cannot change between
// looking and clicking, as it could below a mouse pointer that moves there first.
func (p *tab) click(xpath string) {
	p.t.Helper()
	p.await("a place to click: "+xpath, `(() => {
		const found = document.evaluate(`+strconv.Quote(xpath)+`, document, null, XPathResult.FIRST_ORDERED_NODE_TYPE).singleNodeValue
		if (!found || found.disabled) return false
		found.scrollIntoView({ block: "center" })
		const box = found.getBoundingClientRect()
		if (!found.contains(document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2))) return false
		found.click()
		return true
	})()`)
}

// tick selects the events in the list.
func (p *tab) tick(seqs ...int64) {
	p.t.Helper()
	for _, seq := range slices.Sorted(slices.Values(seqs)) {
		p.click(fmt.Sprintf("//input[@name='event'][@value='%d']", seq))
	}
}
