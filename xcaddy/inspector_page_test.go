package main

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// linksOfPage are the addresses that the page's elements have, except of audio.
const linksOfPage = `[...document.querySelectorAll('a[href], link[href], script[src], form[action], [formaction], [data-stream]')].
	map(e => e.formAction && e.hasAttribute('formaction') ? e.formAction : new URL(e.getAttribute('href') ?? e.getAttribute('src') ?? e.getAttribute('action') ?? e.dataset.stream, location).href)`

func TestInspectorIsWholeBelowAnyPath(t *testing.T) {
	t.Parallel()
	l := newInboxLedger(t)
	for _, base := range []string{"", "/a/b"} {
		t.Run("at "+base+"/", func(t *testing.T) {
			s := start(t, strings.TrimSuffix(inboxSite(l.backend(taken), newInboxFile(t), ""), "\n}\n")+"\nhandle_path "+base+"/* {"+inspected("")+"}\n}\n")
			s.awaitInbox()
			wav, _ := tone(2)
			s.sendEvents([]byte(callEvent), wav)
			p := newTab(t, s)
			client := s.client("HTTP/1.1")
			checked := map[string]bool{}
			for _, path := range []string{"/", "/events", "/events?state=delivered", "/deliveries", s.pathOf([]byte(callEvent)), s.pathOf(wav)} {
				p.open(base + path)
				for _, link := range eval[[]string](p, linksOfPage) {
					path, inside := strings.CutPrefix(link, p.site+base+"/")
					require.True(t, inside, link)
					path, _, _ = strings.Cut(path, "#")
					if checked[path] {
						continue
					}
					checked[path] = true
					method, want := http.MethodGet, http.StatusOK
					if slices.Contains([]string{"redeliver", "discard", "forget"}, path) {
						method, want = http.MethodPost, http.StatusBadRequest // without the form
					}
					assert.Equal(t, want, s.inspect(client, method, base+"/"+path).status, link)
				}
			}
			p.await("the recording", "document.querySelector('audio').readyState >= 1")
			p.press("Forget")
			p.press("Yes")
			p.awaitText("1 event deleted.")
			p.requireQuiet()
		})
	}
}

// focused says which element has the focus.
const focused = `(e => e.getAttribute('aria-label') || e.labels?.[0]?.firstChild?.textContent.trim() || e.innerText.trim().split('\n')[0])(document.activeElement)`

func TestInspectorIsUsedByTheKeyboardAlone(t *testing.T) {
	t.Parallel()
	l := newInboxLedger(t)
	s := start(t, inspectedSite(l.backend(status(http.StatusBadGateway)), newInboxFile(t), "retry 1h", ""))
	s.awaitInbox()
	s.sendEvents([]byte(callEvent))
	s.eventually("the first attempt", func() bool { return s.storedEvents()[0].Attempts == 1 && s.storedEvents()[0].State == "waiting" })
	p := newTab(t, s)
	p.open("/events")
	tab := func() string {
		p.do(chromedp.KeyEvent("\t"))
		return eval[string](p, focused)
	}
	want := []string{
		"Skip to the content", "Overview", "Events", "Deliveries", "Conversation, agent, event or request id", "State", "Type", "Received", "From, to", "Show", "All",
		"all on this page", "event 1",
	}
	got := make([]string, 0, len(want))
	for range want {
		got = append(got, tab())
	}
	require.Equal(t, want, got)
	assert.NotEqual(t, "none", eval[string](p, "getComputedStyle(document.activeElement).outlineStyle"), "where the focus is")
	p.do(chromedp.KeyEvent(" ")) // selects the event
	for name := ""; name != "Give up"; name = tab() {
		require.NotEqual(t, "Skip to the content", name, "the button was not reached")
	}
	p.do(chromedp.KeyEvent("\r"))
	p.awaitText("1 event given up.")

	p.open("/events")
	require.Equal(t, "Skip to the content", tab())
	p.do(chromedp.KeyEvent("\r"))
	require.Equal(t, want[4], tab(), "the menu was not skipped")

	// a renewed list keeps the focus and the selection
	for name := ""; name != "event 1"; name = tab() {
	}
	p.do(chromedp.KeyEvent(" "))
	s.sendEvents(l.event(300))
	p.awaitText("conv_1")
	assert.Equal(t, "event 1", eval[string](p, focused))
	assert.True(t, eval[bool](p, "document.activeElement.checked"))
}

// axe installs axe-core, and returns its script.
func axe(t *testing.T) string {
	t.Helper()
	npm, dir := runtimeOf(t, "npm"), t.TempDir()
	for _, name := range []string{"package.json", "package-lock.json"} {
		content, err := os.ReadFile(filepath.Join("testdata/axe", name))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), content, 0o600))
	}
	install := exec.Command(npm, "ci", "--prefer-offline", "--no-audit", "--no-fund", "--loglevel=error")
	install.Dir = dir
	if output, err := install.CombinedOutput(); err != nil {
		skip(t, fmt.Sprintf("npm does not install axe-core: %v: %s", err, output))
	}
	script, err := os.ReadFile(filepath.Join(dir, "node_modules/axe-core/axe.min.js"))
	require.NoError(t, err)
	return string(script)
}

// violations lists what axe-core finds, such as a text with little contrast, or a field
// without a name.
func (p *tab) violations(options string) []string {
	p.t.Helper()
	found, err := chromedp.Run(p.ctx, chromedp.Evaluate[[]string](`axe.run(document, `+options+`).
		then(r => r.violations.flatMap(v => v.nodes.map(n => v.id + ': ' + n.html.slice(0, 200) + ' ' + n.failureSummary)))`, chromedp.EvalAwaitPromise))
	require.NoError(p.t, err)
	return found
}

// colors chooses light or dark.
func (p *tab) colors(scheme string) {
	p.t.Helper()
	_, err := chromedp.Call(p.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
	require.NoError(p.t, err)
}

func TestInspectorCanBeReadByEveryone(t *testing.T) {
	t.Parallel()
	script := axe(t)
	l := newInboxLedger(t)
	s := start(t, inspectedSite(l.backend(func(w http.ResponseWriter, r *http.Request, _ int) int {
		if r.Header.Get("X-ElevenLabs-Event-Type") == "post_call_audio" {
			return http.StatusOK
		}
		w.WriteHeader(http.StatusBadGateway)
		fmt.Fprint(w, strings.Repeat("unbroken", 100))
		return 0
	}), newInboxFile(t), "retry 1h", ""))
	s.awaitInbox()
	wav, _ := tone(2)
	wide := []byte(strings.NewReplacer("conv_booking", strings.Repeat("conv_", 40), "agent_tables", strings.Repeat("agent", 40), "please.", strings.Repeat("unbroken", 100)).Replace(callEvent))
	s.sendEvents([]byte(callEvent), wav, wide)
	s.eventually("each event to be tried", func() bool {
		return !slices.ContainsFunc(s.storedEvents(), func(e shownEvent) bool { return e.Attempts != 1 || e.State == "delivering" })
	})
	send(t, s.client("HTTP/1.1"), s.signed([]byte(transcript), "wsec_other", time.Now()))
	got := s.postForm("/discard", map[string][]string{"event": {fmt.Sprint(s.seqOf([]byte(callEvent)))}})
	require.Equal(t, http.StatusSeeOther, got.status, got.body)

	p := newTab(t, s)
	for _, path := range []string{
		"/", "/events?state=waiting&done=forget&events=2", s.pathOf([]byte(callEvent)) + "&find=please", s.pathOf(wav), s.pathOf(wide),
		"/deliveries", "/no-page",
	} {
		p.do(chromedp.EmulateViewport(1280, 900))
		p.colors("light")
		p.open(path)
		eval[any](p, "document.querySelectorAll('details').forEach(d => d.open = true)")
		eval[any](p, script+";0")
		assert.Empty(t, p.violations("{resultTypes: ['violations']}"), path)
		p.colors("dark")
		assert.Empty(t, p.violations("{runOnly: ['color-contrast']}"), "%s in the dark", path)
		p.do(chromedp.EmulateViewport(400, 800))
		assert.LessOrEqual(t, eval[int](p, "document.scrollingElement.scrollWidth"), 400, "%s is wider than a phone", path)
	}
	p.requireQuiet()
}
