package reencode

import (
	"bytes"
	"slices"
	"strings"
)

// Writer is software that reads JSON and writes it again, in one of its forms.
type Writer struct {
	Platform string // such as JavaScript
	Name     string // the platform, and the function in parentheses
	form     Form
}

// Platforms of writers.
const (
	JavaScript = "JavaScript"
	PHP        = "PHP"
	Ruby       = "Ruby"
	Go         = "Go"
	Java       = "Java"
	DotNet     = ".NET"
	Python     = "Python"
	Rust       = "Rust"
	Database   = "PostgreSQL"
	JQ         = "jq"
)

// family is what several forms of one writer have in common. They are all
// combinations of its layouts, escapes, orders and numbers.
type family struct {
	platform, name string
	layouts        []layout
	escapes        []escapes
	orders         []order
	numbers        []number
	empty          func(out []byte, at place, open byte) []byte
}

var (
	anyIndent = []layout{indented("  "), indented("    "), indented("\t"), indented(" "), indented("   ")}
	inOrder   = []order{nil}
	anyOrder  = []order{nil, sortedOrder}
	anyLayout = append([]layout{compact}, anyIndent...)
)

// families are known writers, likely ones first.
var families = []family{
	{JavaScript, "JavaScript (JSON.stringify)", anyLayout, []escapes{{}}, inOrder, numbersOf(javaScriptDigits), nil},
	{Go, "Go (json.Marshal)", anyLayout, []escapes{{other: htmlCharacters}, {other: "\u2028\u2029"}}, anyOrder, append(numbersOf(goDigits), nil), nil},
	{PHP, "PHP (json_encode)", []layout{compact, indented("    ")}, phpEscapes, inOrder, numbersOf(phpDigits, phpDigits.withFraction()), arraysOnly},
	{PHP, "PHP (json_encode)", []layout{compact, indented("    ")}, phpEscapes, inOrder, numbersOf(phpDigits, phpDigits.withFraction()), nil},
	{Ruby, "Ruby (JSON.generate or to_json)", []layout{compact, indented("  "), openLines("  ", true)}, []escapes{{}, {other: htmlCharacters}}, inOrder, numbersOf(rubyDigits), nil},
	{Java, "Java (Jackson)", []layout{compact, jackson("\n"), jackson("\r\n")}, []escapes{{upper: true}}, anyOrder, numbersOf(javaDigits), nil},
	{Java, "Java (Gson)", []layout{compact, indented("  ")}, []escapes{{other: htmlCharacters + "='"}, {other: "\u2028\u2029"}}, inOrder, append(numbersOf(javaDigits, javaDigits.ofIntegers()), nil), nil},
	{DotNet, ".NET (System.Text.Json)", dotnetLayouts, []escapes{{ascii: true, other: "<>&'+`" + deleteKey, quote: true, upper: true}}, inOrder, append(numbersOf(dotnetDigits), nil), nil},
	{DotNet, ".NET (Newtonsoft.Json)", dotnetLayouts, []escapes{{other: "\u0085\u2028\u2029"}}, inOrder, numbersOf(dotnetDigits.withFraction()), nil},
	{Python, "Python (json.dumps)", append([]layout{spaced}, anyLayout...), []escapes{{ascii: true, other: deleteKey}, {}}, anyOrder, numbersOf(pythonDigits), nil},
	{Python, "Python (orjson)", []layout{compact, indented("  ")}, []escapes{{}}, anyOrder, numbersOf(rustDigits), nil},
	{Rust, "Rust (serde_json)", []layout{compact, indented("  ")}, []escapes{{}}, anyOrder, numbersOf(rustDigits), nil},
	{JQ, "jq", anyLayout, []escapes{{}, {other: deleteKey}}, anyOrder, append(numbersOf(jqDigits), nil), nil},
	{Database, "PostgreSQL (jsonb)", []layout{spaced, openLines("    ", false)}, []escapes{{}}, []order{lengthOrder}, []number{plainDecimal}, nil},
	{Database, "MySQL (JSON)", []layout{spaced}, []escapes{{}}, []order{lengthOrder}, numbersOf(rustDigits), nil},
}

// phpEscapes are those of the flags JSON_UNESCAPED_SLASHES and
// JSON_UNESCAPED_UNICODE.
var phpEscapes = []escapes{{ascii: true, slash: true}, {ascii: true}, {slash: true, other: "\u2028\u2029"}, {other: "\u2028\u2029"}}

// arraysOnly makes an [] of {}, as PHP does after json_decode with true.
func arraysOnly(out []byte, _ place, _ byte) []byte { return append(out, "[]"...) }

var dotnetLayouts = func() []layout {
	crlf := indented("  ")
	crlf.lineEnd = "\r\n"
	return []layout{compact, indented("  "), crlf}
}()

func openLines(indent string, extra bool) layout {
	l := indented(indent)
	l.openLines, l.extraLine = true, extra
	return l
}

func jackson(lineEnd string) layout {
	return layout{comma: ",", colon: " : ", indent: "  ", lineEnd: lineEnd, inlineArray: true, emptyObject: "{ }", emptyArray: "[ ]"}
}

var writers = func() []Writer {
	all := make([]Writer, 0, 128)
	for _, f := range families {
		for _, l := range f.layouts {
			for _, e := range f.escapes {
				for _, o := range f.orders {
					for _, n := range f.numbers {
						all = append(all, Writer{f.platform, f.name, Form{layout: l, escapes: e, order: o, number: n, empty: f.empty}})
					}
				}
			}
		}
	}
	return all
}()

// WritersOf returns those writers that make text of a value, one of each name. The
// value is what the writer has read, or what text itself says, as where the writer made
// text of numbers.
func WritersOf(text []byte, read Value) []Writer {
	found := allWritersOf(text, read)
	if written, ok := Parse(text); ok && len(found) == 0 {
		found = allWritersOf(text, written)
	}
	return oneOfEachName(found)
}

func allWritersOf(text []byte, read Value) []Writer {
	text = AbridgeText(bytes.TrimRight(text, "\r\n")) // Go's Encoder adds a line end, and so do tools
	read = Abridge(read)
	var found []Writer
	var out []byte
	for _, w := range writers {
		if out = w.form.Append(out[:0], read); bytes.Equal(out, text) {
			found = append(found, w)
		}
	}
	if lf := bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n")); len(found) == 0 && len(lf) < len(text) { // an editor changed line ends too
		return allWritersOf(lf, read)
	}
	return found
}

func oneOfEachName(all []Writer) []Writer {
	var some []Writer
	for _, w := range all {
		if !slices.ContainsFunc(some, func(other Writer) bool { return other.Name == w.Name }) {
			some = append(some, w)
		}
	}
	return some
}

// RewritersOf returns the writers that may have written a text, where nobody knows
// what they read. If names are sorted, or floats have lost their fractions, a writer
// that does so is likely. One that keeps numbers as they are is less likely.
func RewritersOf(text []byte, v Value) []Writer {
	all := allWritersOf(text, v)
	sorted, several := v.Sorted()
	sortedByLength, _ := v.SortedByLength()
	if several && (sorted || sortedByLength) {
		all = prefer(all, func(w Writer) bool { return w.form.order != nil })
	}
	all = prefer(all, func(w Writer) bool { return w.form.number != nil })
	if v.losesFractions() {
		all = prefer(all, func(w Writer) bool {
			return w.form.number != nil && !strings.HasSuffix(string(w.form.number(nil, place{}, []byte("0.0"))), ".0")
		})
	}
	return oneOfEachName(all)
}

// prefer returns those that are likely, or all if none is.
func prefer(all []Writer, likely func(Writer) bool) []Writer {
	some := slices.DeleteFunc(slices.Clone(all), func(w Writer) bool { return !likely(w) })
	if len(some) == 0 {
		return all
	}
	return some
}
