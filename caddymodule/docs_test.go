package caddymodule

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/deliveries"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/inbox"
)

// anything is a cell that the page's author writes.
const anything = "*"

// TestTheDocsHaveEveryRowOfTheTables compares the tables between the comments
// <!-- facts: NAME --> and <!-- /facts --> with those of the code. With -update, it
// writes those that have no cell of the author's.
func TestTheDocsHaveEveryRowOfTheTables(t *testing.T) {
	for _, test := range []struct {
		page, name string
		rows       [][]string
	}{
		{"reference/rejections.md", "rejections", rejectionRows()},
		{"troubleshoot.md", "remedies", remedyRows()},
		{"reference/rejections.md", "failures", failureRows()},
		{"reference/headers.md", "headers", headerRows()},
		{"reference/headers.md", "event-types", eventTypeRows()},
		{"reference/directive.md", "addresses", addressRows()},
		{"reference/directive.md", "json", jsonRows(options)},
		{"reference/directive.md", "inbox-options", inboxOptionRows()},
		{"reference/directive.md", "destination-options", destinationOptionRows()},
		{"reference/headers.md", "inbox-answers", inboxAnswerRows()},
		{"reference/metrics.md", "inbox-metrics", inboxMetricRows(t)},
		{"reference/metrics.md", "inbox-events", inboxEventRows(t)},
	} {
		t.Run(test.name, func(t *testing.T) {
			block := docsBlock(t, test.page, test.name)
			lines := strings.SplitAfter(block, "\n")
			require.Greater(t, len(lines), 3)
			if *update && !slices.ContainsFunc(test.rows, func(row []string) bool { return slices.Contains(row, anything) }) {
				head, rows := strings.Join(lines[:2], ""), ""
				for _, row := range test.rows {
					rows += "| " + strings.Join(row, " | ") + " |\n"
				}
				writeDocsBlock(t, test.page, block, head+rows)
				return
			}
			var got [][]string
			for _, line := range lines[2 : len(lines)-1] { // below the head
				cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
				for i := range cells {
					cells[i] = strings.TrimSpace(cells[i])
				}
				got = append(got, cells)
			}
			want := slices.Clone(test.rows)
			for i, row := range want {
				if i >= len(got) || len(got[i]) != len(row) {
					continue
				}
				for j := range row {
					if row[j] == anything {
						row[j] = cmp.Or(got[i][j], "a cell that is not empty")
					}
				}
			}
			assert.Equal(t, want, got, "the table %s of docs/%s", test.name, test.page)
		})
	}
}

func rejectionRows() (rows [][]string) {
	for _, r := range facts.Rejections {
		rows = append(rows, []string{code(r.Code), strconv.Itoa(r.Status), yesNo(r.Retried()), withCode(r.Sentence)})
	}
	return rows
}

func remedyRows() (rows [][]string) {
	for _, r := range facts.Rejections {
		rows = append(rows, []string{code(r.Code), strconv.Itoa(r.Status), withCode(r.Sentence), withCode(r.Remedy)})
	}
	return rows
}

func failureRows() (rows [][]string) {
	for _, f := range facts.Failures {
		rows = append(rows, []string{code(f.Code), anything})
	}
	return rows
}

func headerRows() (rows [][]string) {
	for i := range deliveries.EventFields {
		f := &deliveries.EventFields[i]
		name := strings.ReplaceAll(f.Header, "X-Elevenlabs-", "X-ElevenLabs-")
		rows = append(rows, []string{code(name), code("{" + placeholderPrefix + f.Name + "}"), anything})
	}
	return append(rows, []string{code(deliveries.HeaderIdempotency), "", anything})
}

func eventTypeRows() (rows [][]string) {
	for _, e := range facts.EventTypes {
		subscription, ids := anything, "any"
		if e.Subscription != "" && e.Name != "post_call_transcription_otel" {
			subscription = code(e.Subscription)
		}
		if len(e.IDs) > 0 {
			ids = strings.ReplaceAll(strings.Join(e.IDs, ", "), "_id", "")
		}
		rows = append(rows, []string{code(e.Name), subscription, ids, yesNo(e.Retried)})
	}
	return rows
}

func addressRows() (rows [][]string) {
	for _, r := range facts.Regions {
		rows = append(rows, []string{code(r.Name), strings.Join(r.Addresses, ", ")})
	}
	return rows
}

func jsonRows(table []option) (rows [][]string) {
	for _, o := range table {
		rows = append(rows, []string{code(o.name), code(cmp.Or(o.json, o.name)), anything})
	}
	return append(rows, []string{code("reverse_proxy"), code("reverse_proxy"), anything})
}

// inboxOptionRows are the options in the block of inbox.
func inboxOptionRows() (rows [][]string) {
	for _, o := range inboxOptions {
		rows = append(rows, []string{code(o.name), anything, anything, anything})
	}
	return rows
}

// destinationOptionRows are the options in the block of a destination.
func destinationOptionRows() (rows [][]string) {
	for _, o := range destinationOptions {
		rows = append(rows, []string{code(o.name), anything, anything, anything})
	}
	return append(rows, []string{code("reverse_proxy"), anything, code("reverse_proxy"), anything})
}

func inboxAnswerRows() (rows [][]string) {
	for _, value := range []string{deliveries.InboxStored, deliveries.InboxRepeat, deliveries.InboxBypassed} {
		rows = append(rows, []string{code(value), anything})
	}
	return rows
}

// inboxMetricRows are the metrics about inboxes, with their type and their labels beside
// inbox.
func inboxMetricRows(t *testing.T) (rows [][]string) {
	newInboxMetrics("default")
	newQueueMetrics(inbox.Queue{Inbox: "default"})
	for _, collector := range perInbox {
		registry := prometheus.NewRegistry()
		registry.MustRegister(collector)
		families, err := registry.Gather()
		require.NoError(t, err)
		require.Len(t, families, 1)
		var labels []string
		for _, pair := range families[0].GetMetric()[0].GetLabel() {
			if pair.GetName() != labelInbox {
				labels = append(labels, code(pair.GetName()))
			}
		}
		rows = append(rows, metricRow(families[0].GetName(), strings.ToLower(families[0].GetType().String()), labels))
	}
	descs := make(chan *prometheus.Desc, 20)
	inboxCollector{}.Describe(descs)
	close(descs)
	for desc := range descs {
		found := regexp.MustCompile(`fqName: "(\w+)".*variableLabels: \{([\w,]*)\}`).FindStringSubmatch(desc.String())
		require.NotNil(t, found, desc)
		var labels []string
		for name := range strings.SplitSeq(found[2], ",") {
			if name != labelInbox {
				labels = append(labels, code(name))
			}
		}
		rows = append(rows, metricRow(found[1], "gauge", labels))
	}
	return rows
}

func metricRow(name, kind string, labels []string) []string {
	return []string{code(strings.TrimPrefix(name, namespace+"_"+inboxSubsystem+"_")), kind, strings.Join(labels, ", "), anything}
}

// inboxEventRows are Caddy's events about inboxes, with the names of their data.
func inboxEventRows(t *testing.T) (rows [][]string) {
	t.Helper()
	h, _ := provision(t, &Handler{})
	q := queueFor(h)
	names := []string{eventInboxDead, eventInboxDown, eventInboxUp}
	s, _, _ := subscribe(t, h, names...)
	claim := &inbox.Claim{Event: inbox.Event{Queue: q.Queue}}
	q.Settled(claim, inbox.Outcome{}, inbox.Dead)
	q.BackendDown(claim)
	q.BackendUp(time.Second)
	rowOf := map[string][]string{}
	for range names { // they come from several queues
		e := s.next(t)
		data := make([]string, 0, len(e.Data))
		for _, name := range slices.Sorted(maps.Keys(e.Data)) {
			data = append(data, code(name))
		}
		rowOf[e.Name()] = []string{code(e.Name()), anything, strings.Join(data, ", ")}
	}
	for _, name := range names {
		rows = append(rows, rowOf[name])
	}
	return rows
}

func code(text string) string { return "`" + text + "`" }

var snakeCase = regexp.MustCompile(`\b[a-z]+_[a-z_]*[a-z]\b|wsec_|https://|ElevenLabs-Signature|X-Forwarded-Proto|(caddy|timedatectl) [a-z-]+( --?[a-z]+| true)?`)

// withCode marks the names of options and the like in a text as code.
func withCode(text string) string { return snakeCase.ReplaceAllStringFunc(text, code) }

func yesNo(yes bool) string {
	if yes {
		return "yes"
	}
	return "no"
}

func writeDocsBlock(t *testing.T, page, old, block string) {
	t.Helper()
	file := filepath.Join("..", "docs", page)
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(file, []byte(strings.Replace(string(text), old, block, 1)), 0o644))
}

// docsBlock returns what stands on a page between the comments that name it.
func docsBlock(t *testing.T, page, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "docs", page))
	require.NoError(t, err)
	_, after, found := strings.Cut(string(text), "<!-- facts: "+name+" -->\n")
	require.True(t, found, "docs/%s lacks <!-- facts: %s -->", page, name)
	block, _, found := strings.Cut(after, "<!-- /facts -->")
	require.True(t, found)
	return block
}

// grammar is the directive's syntax, made from the table of options.
func grammar() string {
	text := "elevenlabs_webhook [<matcher>] {\n" + grammarOf(options, "\x00") + grammarOfProxy("\x00") + "}\n"
	return strings.ReplaceAll(text, "\x00", "\t") // tabwriter would take a tab for a cell
}

func grammarOfProxy(indent string) string {
	return indent + "reverse_proxy <upstreams...> {\n" + indent + "\x00...\n" + indent + "}\n"
}

func grammarOf(table []option, indent string) string {
	var lines strings.Builder
	aligned := tabwriter.NewWriter(&lines, 0, 0, 1, ' ', 0)
	for _, o := range table {
		fmt.Fprint(aligned, indent, o.name)
		if o.args != "" {
			fmt.Fprint(aligned, "\t", o.args)
		}
		if o.block != nil {
			fmt.Fprint(aligned, " {")
		}
		fmt.Fprintln(aligned)
	}
	_ = aligned.Flush()
	text := lines.String()
	for _, o := range table {
		if o.block == nil {
			continue
		}
		head := regexp.MustCompile(`(?m)^` + indent + o.name + `\b.* \{\n`).FindString(text)
		inner := grammarOf(o.block, indent+"\x00")
		if o.proxyOf != nil {
			inner += grammarOfProxy(indent + "\x00")
		}
		text = strings.Replace(text, head, head+inner+indent+"}\n", 1)
	}
	return text
}

func TestTheGrammarInTheDocsIsTheTableOfOptions(t *testing.T) {
	assert.Equal(t, "```caddyfile\n"+grammar()+"```\n", docsBlock(t, "reference/directive.md", "options"))
	assert.Contains(t, godoc(t, "UnmarshalCaddyfile"), "\t"+strings.ReplaceAll(strings.TrimSpace(grammar()), "\n", "\n\t"))
}

func TestThePackagesGodocHasEveryRejection(t *testing.T) {
	byStatus := map[int][]string{}
	for _, r := range facts.Rejections {
		byStatus[r.Status] = append(byStatus[r.Status], r.Code)
	}
	want := make([]string, 0, len(byStatus))
	for status, codes := range byStatus {
		want = append(want, fmt.Sprintf("\t%d  %s", status, strings.Join(codes, ", ")))
	}
	var got []string
	for line := range strings.Lines(godoc(t, "")) {
		if len(line) > 3 && line[0] == '\t' && line[1] >= '4' && line[1] <= '5' {
			got = append(got, strings.TrimRight(line, "\n"))
		}
	}
	assert.ElementsMatch(t, want, got)
}

func TestEveryOptionOfTheDirectiveIsAnOptionInJSON(t *testing.T) {
	want := make([]string, 0, len(options)+1)
	want = append(want, "reverse_proxy")
	for _, o := range options {
		want = append(want, cmp.Or(o.json, o.name))
	}
	var got []string
	for _, field := range reflect.VisibleFields(reflect.TypeFor[Handler]()) {
		if name, _, _ := strings.Cut(field.Tag.Get("json"), ","); name != "" {
			got = append(got, name)
		}
	}
	assert.ElementsMatch(t, want, got)
}

// godoc returns the comment of the package or, with a name, of a method of Handler.
func godoc(t *testing.T, method string) string {
	t.Helper()
	names, err := filepath.Glob("*.go")
	require.NoError(t, err)
	fset := token.NewFileSet()
	var files []*ast.File
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(fset, name, nil, parser.ParseComments)
		require.NoError(t, err)
		files = append(files, file)
	}
	pkg, err := doc.NewFromFiles(fset, files, "caddymodule")
	require.NoError(t, err)
	if method == "" {
		return pkg.Doc
	}
	for _, typ := range pkg.Types {
		for _, m := range typ.Methods {
			if typ.Name == "Handler" && m.Name == method {
				return m.Doc
			}
		}
	}
	t.Fatalf("Handler has no method %s", method)
	return ""
}

// TestTheAlertRulesKnowEveryLabelValue finds values in the rules that no series has,
// with which an alert would never fire.
func TestTheAlertRulesKnowEveryLabelValue(t *testing.T) {
	known := map[string][]string{
		"reason":     append([]string{"", facts.EventNotWanted}, bypassReasons...),
		"state":      {string(inbox.Waiting), string(inbox.Delivering), string(inbox.Dead)},
		"event_type": append(slices.Clone(facts.EventTypeNames), typeOther, typeNone),
		"class":      append(slices.Clone(classes), classNone),
	}
	for _, r := range facts.Rejections {
		known["reason"] = append(known["reason"], r.Code)
	}
	for _, f := range facts.Failures {
		known["reason"] = append(known["reason"], f.Code)
	}
	for _, r := range deliveries.Results {
		known["result"] = append(known["result"], string(r))
	}
	known["result"] = append(known["result"], deliveries.InboxRepeat)
	matcher := regexp.MustCompile(`\b(reason|result|event_type|class|state)!?=(~?)\\?"([^"\\]*)\\?"`)
	for _, file := range []string{"rules.yml", "grafana.json"} {
		text, err := os.ReadFile(filepath.Join("..", "examples", "monitoring", file))
		require.NoError(t, err)
		found := matcher.FindAllStringSubmatch(string(text), -1)
		require.NotEmpty(t, found, file)
		for _, m := range found {
			for pattern := range strings.SplitSeq(m[3], "|") {
				value := regexp.MustCompile("^(?:" + pattern + ")$")
				assert.True(t, slices.ContainsFunc(known[m[1]], value.MatchString), "%s: no series has %s=%q", file, m[1], pattern)
			}
		}
	}
}

func TestTheDocsHaveEveryAlert(t *testing.T) {
	names := func(pattern string, path ...string) (names []string) {
		text, err := os.ReadFile(filepath.Join(path...))
		require.NoError(t, err)
		for _, match := range regexp.MustCompile(pattern).FindAllSubmatch(text, -1) {
			names = append(names, string(match[1]))
		}
		return names
	}
	rules := names(`- alert: (\w+)`, "..", "examples", "monitoring", "rules.yml")
	require.NotEmpty(t, rules)
	const row = "(?m)^\\| `(ElevenLabs\\w+)`"
	assert.Equal(t, rules, names(row, "..", "docs", "operate.md"))
	assert.Equal(t, rules, names(row, "..", "examples", "monitoring", "README.md"))
}

func TestTheAlertOnLostEventsLeavesOutThoseThatElevenLabsRetries(t *testing.T) {
	var retried []string
	for _, e := range facts.EventTypes {
		if e.Retried {
			retried = append(retried, e.Name)
		}
	}
	rules, err := os.ReadFile(filepath.Join("..", "examples", "monitoring", "rules.yml"))
	require.NoError(t, err)
	assert.Contains(t, string(rules), `event_type!~"`+strings.Join(append(retried, typeNone), "|")+`"`)
}

func TestEveryIDOfAnEventTypeIsAHeader(t *testing.T) {
	ids := make([]string, 0, len(deliveries.IdentityFields))
	for i := range deliveries.IdentityFields {
		ids = append(ids, deliveries.IdentityFields[i].Name)
	}
	for _, e := range facts.EventTypes {
		assert.Subset(t, ids, e.IDs, e.Name)
	}
}
