package inspector

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/dustin/go-humanize"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/deliveries"
)

// view is what a page shows.
type view struct {
	Title string
	// Page is the name of the page, for the menu.
	Page     string
	Base     string
	User     string
	ReadOnly bool
	// Events reports whether there are inboxes, whose events have pages.
	Events bool
	Now    time.Time
	Notice string
	Data   any
}

//go:embed templates
var templates embed.FS

// pages are the templates of each page, with the layout around it.
var pages = parsePages("overview", "events", "event", "deliveries", "confirm", "error")

func parsePages(names ...string) map[string]*template.Template {
	layout := template.Must(template.New("").Funcs(functions).ParseFS(templates, "templates/layout.html"))
	all := make(map[string]*template.Template, len(names))
	for _, name := range names {
		all[name] = template.Must(template.Must(layout.Clone()).ParseFS(templates, "templates/"+name+".html"))
	}
	return all
}

// render shows a page.
func (p *Pages) render(w http.ResponseWriter, r *http.Request, status int, page string, v view) {
	visitor := visitorOf(r)
	v.Base, v.User, v.ReadOnly, v.Now = visitor.Base, visitor.User, p.readOnly, p.now()
	if v.Page == "" {
		v.Page = page
	}
	v.Events = len(p.source.Queues()) > 0
	var text bytes.Buffer
	if err := pages[page].ExecuteTemplate(&text, "layout", v); err != nil {
		panic(fmt.Sprintf("the template of the page %s: %v", page, err)) // it is wrong: the data has another form
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = text.WriteTo(w)
}

// functions are what the templates can call.
var functions = template.FuncMap{
	"ago":     ago,
	"clock":   clock,
	"count":   func(n any) string { return humanize.Comma(toInt64(n)) },
	"event":   eventPath,
	"percent": func(part, whole int64) int64 { return part * 100 / max(whole, 1) },
	"quote":   quote,
	"rfc3339": rfc3339,
	"seconds": seconds,
	"short":   short,
	"size":    func(n int64) string { return humanize.IBytes(uint64(max(n, 0))) },
	"span":    func(d time.Duration) string { return d.Round(time.Second).String() },
	"took": func(d deliveries.Delivery) string {
		return seconds(d.ReceiveSeconds + d.VerifySeconds + d.UpstreamSeconds)
	},
	"words": func(name string) string { return strings.ReplaceAll(name, "_", " ") },
}

// rfc3339 writes a time for a form. It is empty if there is none.
func rfc3339(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

func seconds(s float64) string { return strconv.FormatFloat(s, 'f', 3, 64) + " s" }

func toInt64(n any) int64 {
	switch n := n.(type) {
	case int:
		return int64(n)
	case int64:
		return n
	}
	panic(fmt.Sprintf("%T is no number", n)) // a template is wrong
}

// ago writes a time as people say it.
func ago(t, now time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return humanize.RelTime(t, now, "ago", "from now")
}

// clock writes a time. The script replaces it by that of the visitor's clock.
func clock(t time.Time) template.HTML {
	if t.IsZero() {
		return "–"
	}
	t = t.UTC()
	return template.HTML(fmt.Sprintf(`<time datetime="%s">%s</time>`, t.Format(time.RFC3339Nano), t.Format("2006-01-02 15:04:05 UTC"))) //nolint:gosec // only digits
}

// short writes the beginning of an id.
func short(id string) string {
	const most = 20
	if len(id) <= most {
		return id
	}
	return id[:most] + "…"
}

// quote writes a string as JSON does, and shows what cannot be seen.
func quote(s string) string {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(s) // a string can be encoded
	return strings.Map(func(c rune) rune {
		if !unicode.IsPrint(c) {
			return unicode.ReplacementChar
		}
		return c
	}, strings.TrimSuffix(text.String(), "\n"))
}
