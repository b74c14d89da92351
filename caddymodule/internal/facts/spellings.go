package facts

import (
	"fmt"
	"net/url"
	"path"
	"slices"
	"strings"
)

// Spellings returns the escaped forms of a path that some framework takes for it.
// The path itself comes first. Caddy's path matcher with a star takes all of them for
// the path.
func Spellings(of string) []string {
	escaped := (&url.URL{Path: of}).EscapedPath()
	whole := strings.TrimSuffix(escaped, "/")
	if whole == "" {
		return []string{"/"}
	}
	dir, last := path.Split(whole)
	spellings := []string{
		escaped, whole, whole + "/", "/" + whole, dir + "/" + last,
		strings.ToUpper(whole), dir + hexFirst(last),
		whole + "%2F", "/." + whole, "/x/.." + whole, "/x/%2e%2e" + whole,
		whole + ".json", whole + ";x=1", whole + "%00", whole + "%20",
	}
	if before := strings.TrimSuffix(dir, "/"); before != "" {
		spellings = append(spellings, before+"%2F"+last)
	}
	var unique []string
	for _, s := range spellings {
		if !slices.Contains(unique, s) {
			unique = append(unique, s)
		}
	}
	return unique
}

// hexFirst escapes the first character of a segment.
func hexFirst(segment string) string {
	if segment[0] == '%' {
		return segment
	}
	return fmt.Sprintf("%%%X", segment[0]) + segment[1:]
}

// ParameterSpelling returns a path that some servers take for the other one: they
// ignore what stands behind a semicolon. Caddy's path matcher does not know it. It is
// empty for a path of one segment.
func ParameterSpelling(of string) string {
	escaped := strings.TrimPrefix((&url.URL{Path: of}).EscapedPath(), "/")
	first, rest, found := strings.Cut(escaped, "/")
	if !found || rest == "" {
		return ""
	}
	return "/" + first + ";x/" + rest
}
