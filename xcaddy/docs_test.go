package main

import (
	"flag"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "rewrite the transcripts in the documentation with what the commands print")

// repository is where the pages' names begin.
const repository = ".."

// page is a Markdown file of the repository.
type page struct {
	name   string // its path from the repository's root
	prose  string // without fenced blocks
	blocks []block
}

// block is a fenced block of a page.
type block struct {
	page     string
	heading  string // the last one before it
	language string
	indent   string // of the fences
	text     string // without fences and indentation
}

// isDocs reports whether a page is documentation, rather than about one folder.
func (p page) isDocs() bool {
	return !strings.Contains(p.name, "/") || strings.HasPrefix(p.name, "docs/")
}

var (
	fence   = regexp.MustCompile("^([ \t]*)```(\\w*)$")
	heading = regexp.MustCompile(`^#{1,6} +(.*)$`)
)

// parsePage takes a page apart.
func parsePage(t testing.TB, name, text string) page {
	t.Helper()
	p := page{name: name}
	var open *block
	last := ""
	for line := range strings.Lines(text) {
		match := fence.FindStringSubmatch(strings.TrimSuffix(line, "\n"))
		switch {
		case open != nil && match != nil && match[1] == open.indent && match[2] == "":
			p.blocks = append(p.blocks, *open)
			open = nil
		case open != nil:
			open.text += strings.TrimPrefix(line, open.indent)
		case match != nil:
			open = &block{page: name, heading: last, language: match[2], indent: match[1]}
		default:
			if match := heading.FindStringSubmatch(strings.TrimSpace(line)); match != nil {
				last = match[1]
			}
			p.prose += line
		}
	}
	require.Nil(t, open, "%s has a fence without an end", name)
	return p
}

// readPage reads one page.
func readPage(t testing.TB, name string) page {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(repository, name))
	require.NoError(t, err)
	return parsePage(t, name, string(text))
}

// allPages reads all pages of the repository.
func allPages(t testing.TB) (pages []page) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(repository, func(file string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (entry.Name() == "node_modules" || entry.Name() == ".git"):
			return fs.SkipDir
		case filepath.Ext(file) == ".md":
			name, err := filepath.Rel(repository, file)
			require.NoError(t, err)
			pages = append(pages, readPage(t, filepath.ToSlash(name)))
		}
		return nil
	}))
	return pages
}

// blocksOf returns the documentation's blocks in a language.
func blocksOf(t testing.TB, language string) (blocks []block) {
	t.Helper()
	for _, p := range allPages(t) {
		for _, b := range p.blocks {
			if p.isDocs() && b.language == language {
				blocks = append(blocks, b)
			}
		}
	}
	require.NotEmpty(t, blocks)
	return blocks
}

// findBlock returns a page's block that begins with a text.
func findBlock(t testing.TB, page, language, beginning string) block {
	t.Helper()
	for _, b := range readPage(t, page).blocks {
		if b.language == language && strings.HasPrefix(b.text, beginning) {
			return b
		}
	}
	require.Fail(t, "no such block", "%s has no block of %s that begins with %q", page, language, beginning)
	return block{}
}

var (
	inlineCode = regexp.MustCompile("`[^`\n]+`")
	link       = regexp.MustCompile(`!?\[[^\]]*\]\(([^)\s]+)\)`)
	linkText   = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`)
)

// anchors returns the names by which GitHub links to a page's headings.
func (p page) anchors() (names []string) {
	count := map[string]int{}
	for line := range strings.Lines(p.prose) {
		match := heading.FindStringSubmatch(strings.TrimSpace(line))
		if match == nil {
			continue
		}
		name := strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case unicode.IsLetter(r), unicode.IsNumber(r), r == '-', r == '_':
				return unicode.ToLower(r)
			}
			return -1
		}, linkText.ReplaceAllString(match[1], "$1"))
		count[name]++
		if n := count[name]; n > 1 {
			name = fmt.Sprint(name, "-", n-1)
		}
		names = append(names, name)
	}
	return names
}

func TestAnchorsAreThoseOfGitHub(t *testing.T) {
	p := parsePage(t, "x.md", "# A front door\n\n## `caddy elevenlabs send`\n\n```sh\n# not a heading\n```\n\n## 3xx, 4xx & 5xx: *why?*\n## Retries\n### Retries\n## [A link](x.md) too_long\n")
	assert.Equal(t, []string{"a-front-door", "caddy-elevenlabs-send", "3xx-4xx--5xx-why", "retries", "retries-1", "a-link-too_long"}, p.anchors())
}

// Links to other sites are not followed here.
func TestEachLinkLeadsToAFileAndAnAnchor(t *testing.T) {
	pages := map[string]page{}
	for _, p := range allPages(t) {
		pages[p.name] = p
	}
	for _, p := range pages {
		for _, match := range link.FindAllStringSubmatch(inlineCode.ReplaceAllString(p.prose, "code"), -1) {
			target, err := url.Parse(match[1])
			if !assert.NoError(t, err, p.name) || target.IsAbs() {
				continue
			}
			name := p.name
			if target.Path != "" {
				name = path.Join(path.Dir(p.name), target.Path)
				_, err := os.Stat(filepath.Join(repository, name))
				assert.NoError(t, err, "%s: %s", p.name, match[1])
			}
			if target.Fragment != "" {
				assert.True(t, slices.Contains(pages[name].anchors(), target.Fragment), "%s: %s: %s has no such heading", p.name, match[1], name)
			}
		}
	}
}

// A reader of the README sees what it is and how to begin; the rest is in docs.
func TestTheREADMEIsShort(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(repository, "README.md"))
	require.NoError(t, err)
	assert.LessOrEqual(t, strings.Count(string(text), "\n"), 150)
}

// Each page of docs can be found from the index.
func TestTheIndexNamesEachPage(t *testing.T) {
	const index = "docs/README.md"
	linked := map[string]bool{index: true}
	for _, match := range link.FindAllStringSubmatch(readPage(t, index).prose, -1) {
		name, _, _ := strings.Cut(match[1], "#")
		linked[path.Join("docs", name)] = true
	}
	for _, p := range allPages(t) {
		if strings.HasPrefix(p.name, "docs/") {
			assert.True(t, linked[p.name], "%s is not in %s", p.name, index)
		}
	}
}
