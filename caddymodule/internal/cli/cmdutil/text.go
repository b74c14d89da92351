package cmdutil

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Longest is how many characters of a server's text are shown.
const Longest = 300

// Printable quotes text from outside if it could control a terminal or break a
// line.
func Printable(s string) string {
	if !utf8.ValidString(s) || strings.ContainsFunc(s, func(c rune) bool { return !unicode.IsPrint(c) }) {
		return strconv.Quote(s)
	}
	return s
}

// Brief makes a server's text fit to be printed.
func Brief(text string, most int) string { return Printable(Cut(text, most)) }

// Cut shortens a text to a number of characters.
func Cut(text string, most int) string {
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return text
}

// TrimQuotes removes blanks and quotes, typographic ones too, around a text.
func TrimQuotes(s string) string { return strings.Trim(strings.TrimSpace(s), "\"'`“”‘’") }

// Span writes a duration for people: to the second, with days if it is long. A
// duration near the limit of its type may stand for more, or may have overflowed.
func Span(d time.Duration) string {
	d = d.Round(time.Second)
	const day, century = 24 * time.Hour, 876_600 * time.Hour
	switch {
	case d.Abs() < 2*day:
		return d.String()
	case d.Abs() > century:
		return "over 100 years"
	}
	text := fmt.Sprintf("%d days", d/day)
	if rest := (d % day).Abs().Round(time.Minute); rest > 0 {
		text += " " + rest.String()
	}
	return text
}
