// Package reencodetest has bodies that software has rewritten, for tests.
package reencodetest

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

//go:embed testdata
var files embed.FS

func read(t testing.TB, name string) string {
	t.Helper()
	content, err := files.ReadFile("testdata/" + name)
	require.NoError(t, err)
	return string(content)
}

// Shapes returns bodies with the names, the order and the numbers of real
// deliveries. Two have characters beyond ASCII too, and some that software escapes.
func Shapes(t testing.TB) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, name := range []string{"done_4k", "failed_4k", "done_24k"} {
		all[name] = read(t, "shapes/"+name+".json")
	}
	title := `"call_summary_title": "`
	all["escaped"] = strings.Replace(all["done_4k"], title, title+`Caf\u00e9 \ud83d\ude00 <b>&'=+/</b> \u2028 \u007f \u0001 \"`+"`"+`\" `, 1)
	all["written_out"] = strings.Replace(all["done_4k"], title, title+`Café 😀 <b>&/</b>`, 1)
	require.NotEqual(t, all["done_4k"], all["escaped"])
	return all
}

// Case is a body that software has changed.
type Case struct {
	Name     string
	Platform string // of the software
	Change   string // the name of the change, if it is no rewriting
	Whole    bool   // the software kept all that takes to restore the body
	Signed   string // the body before
	Body     string
}

var scripts = []struct{ platform, runtime, file string }{
	{"JavaScript", "node", "rewrite.js"},
	{"PHP", "php", "rewrite.php"},
	{"Ruby", "ruby", "rewrite.rb"},
	{"Python", "python3", "rewrite.py"},
}

// Rewritten runs software that parses all shapes and writes them again. It skips
// the test if a runtime is missing, or fails it if TEST_NO_SKIP is set.
func Rewritten(t *testing.T) []Case {
	t.Helper()
	cases := ofScripts(t, "rewritten")
	for name, body := range Shapes(t) {
		var event any
		require.NoError(t, json.Unmarshal([]byte(body), &event))
		var text bytes.Buffer
		require.NoError(t, json.NewEncoder(&text).Encode(event))
		cases = append(cases, Case{Name: "Go, a map, " + name, Platform: "Go", Signed: body, Body: text.String()})
	}
	for _, file := range []string{"jackson", "jackson_pretty", "gson_map", "gson_tree"} {
		cases = append(cases, recorded(t, file, "Java", true))
	}
	return append(cases, recorded(t, "gson_without_nulls", "Java", false),
		recorded(t, "jsonb", "PostgreSQL", false), recorded(t, "jsonb_pretty", "PostgreSQL", false))
}

// Carried runs software that makes something else of all shapes, such as base64 or
// an item of n8n. It skips and fails as Rewritten does.
func Carried(t *testing.T) []Case {
	t.Helper()
	cases := ofScripts(t, "carried")
	for name, body := range Shapes(t) {
		var event map[string]any
		require.NoError(t, json.Unmarshal([]byte(body), &event))
		for change, text := range map[string]string{"go_map": fmt.Sprint(event), "go_bytes": fmt.Sprintf("%d", []byte(body))} {
			cases = append(cases, Case{Name: change + ", " + name, Change: change, Platform: "Go", Signed: body, Body: text})
		}
	}
	return cases
}

func ofScripts(t *testing.T, kind string) []Case {
	t.Helper()
	shapes := Shapes(t)
	names := slices.Sorted(maps.Keys(shapes))
	bodies := make([]string, 0, len(names))
	for _, name := range names {
		bodies = append(bodies, shapes[name])
	}
	var cases []Case
	for _, s := range scripts {
		for form, texts := range run(t, s.runtime, s.file, bodies)[kind] {
			change, _, _ := strings.Cut(form, ",")
			for i, text := range texts {
				cases = append(cases, Case{s.platform + ", " + form + ", " + names[i], s.platform, change, !strings.HasPrefix(form, "sorted"), bodies[i], text})
			}
		}
	}
	return cases
}

// recorded returns what testdata/recorded/record.sh has recorded.
func recorded(t *testing.T, name, platform string, whole bool) Case {
	t.Helper()
	return Case{Name: name, Platform: platform, Whole: whole, Signed: read(t, "recorded/signed.json"), Body: read(t, "recorded/"+name+".json")}
}

// ran has the output of each script that ran, since runtimes start slowly.
var ran sync.Map

func run(t *testing.T, runtime, script string, bodies []string) map[string]map[string][]string {
	t.Helper()
	if texts, ok := ran.Load(script); ok {
		return texts.(map[string]map[string][]string)
	}
	if _, err := exec.LookPath(runtime); err != nil {
		require.Empty(t, os.Getenv("TEST_NO_SKIP"), runtime)
		t.Skip(runtime, "is missing")
	}
	file := filepath.Join(t.TempDir(), script)
	require.NoError(t, os.WriteFile(file, []byte(read(t, script)), 0o600))
	stdin, err := json.Marshal(bodies)
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), runtime, file) //nolint:gosec // of the table above
	cmd.Stdin = bytes.NewReader(stdin)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	require.NoError(t, err, complaints.String())
	var texts map[string]map[string][]string
	require.NoError(t, json.Unmarshal(out, &texts))
	ran.Store(script, texts)
	return texts
}
