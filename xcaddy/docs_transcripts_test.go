package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// changing is what differs from one run to the next.
var changing = []struct {
	pattern *regexp.Regexp
	to      string
}{
	{regexp.MustCompile(`t=\d{10},v0=[0-9a-f]{64}`), "t=T,v0=V0"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`), "TIME"},
	{regexp.MustCompile(`\b(\d+m)?\d+s ago`), "SECONDS ago"},
	{regexp.MustCompile(`in \d+ ms`), "in MS ms"},
	{regexp.MustCompile(`(?m) +\d+( {2}TLS 1\.3)$`), " MS$1"},
	{regexp.MustCompile(`localhost is [0-9.:, ]+ here`), "localhost is ADDRESS here"}, // with IPv6 or without
	{regexp.MustCompile(`\{file\..*/`), "{file.FOLDER/"},
}

func normalised(text string) string {
	for _, c := range changing {
		text = c.pattern.ReplaceAllString(text, c.to)
	}
	return text
}

// leftOut is a line that stands for others.
const leftOut = "…\n"

// agrees reports whether a page shows what a command printed.
func agrees(shown, printed string) bool {
	shown, printed = normalised(shown), normalised(printed)
	before, after, cut := strings.Cut(shown, leftOut)
	if !cut {
		return shown == printed
	}
	return len(printed) >= len(before)+len(after) && strings.HasPrefix(printed, before) && strings.HasSuffix(printed, after)
}

// prompts takes a console block apart: what is typed behind each prompt, and
// what is printed then.
func prompts(block string) (commands, outputs []string) {
	for line := range strings.Lines(block) {
		if command, found := strings.CutPrefix(line, "$ "); found {
			commands = append(commands, strings.TrimSpace(command))
			outputs = append(outputs, "")
		} else if len(outputs) > 0 {
			outputs[len(outputs)-1] += line
		}
	}
	return commands, outputs
}

// runAll runs commands in one shell, and returns what each printed.
func runAll(t *testing.T, dir string, commands []string) []string {
	t.Helper()
	const mark = "\n== next ==\n"
	script := strings.Join(commands, "\nprintf '"+strings.ReplaceAll(mark, "\n", `\n`)+"'\n")
	shell := exec.Command("sh", "-c", script)
	shell.Dir = dir
	output, _ := shell.CombinedOutput() // its exit code is that of the last command, which may well fail
	outputs := strings.Split(string(output), mark)
	require.Len(t, outputs, len(commands), "%s", output)
	return outputs
}

// ofAnAccount are the commands whose transcripts need an account at ElevenLabs or
// hours of traffic. The tests of package cli compare those with its golden files.
var ofAnAccount = regexp.MustCompile(`(?m)^\$ caddy elevenlabs (status|tail|listen|inbox|webhooks)\b`)

// Every other transcript in the documentation is what its commands print, to the
// server that the README begins with.
func TestTranscripts(t *testing.T) {
	runtimeOf(t, "sh")
	runtimeOf(t, "curl")
	runtimeOf(t, "openssl")
	example, err := os.ReadFile("../Caddyfile.example")
	require.NoError(t, err)

	s, ports := startCaddyfileExample(t)
	require.NoError(t, os.Unsetenv("ELEVENLABS_WEBHOOK_SECRET")) // the transcripts set it
	t.Setenv("CADDY_ADMIN", s.admin)
	withCaddyInThePath(t)

	for _, b := range blocksOf(t, "console") {
		if ofAnAccount.MatchString(b.text) {
			continue
		}
		t.Run(b.page+": "+b.heading, func(t *testing.T) {
			dir := t.TempDir()
			file := ports.there.Replace(string(example))
			require.NoError(t, os.WriteFile(filepath.Join(dir, "Caddyfile.example"), []byte(file), 0o600))
			commands, shown := prompts(b.text)
			require.NotEmpty(t, commands)
			printed := runAll(t, dir, strings.Split(ports.there.Replace(strings.Join(commands, "\n")), "\n"))
			for i, output := range printed {
				if output = ports.back.Replace(output); !agrees(shown[i], output) {
					if *update {
						rewrite(t, b, commands[i], shown[i], output)
						continue
					}
					assert.Equal(t, shown[i], output, "$ %s", commands[i])
				}
			}
		})
	}
	assert.True(t, s.running())
}

// rewrite puts what a command printed into its page.
func rewrite(t *testing.T, b block, command, shown, printed string) {
	t.Helper()
	require.NotContains(t, shown, leftOut, "%s: %s: choose anew by hand what is left out of\n%s", b.page, command, printed)
	name := filepath.Join(repository, b.page)
	text, err := os.ReadFile(name)
	require.NoError(t, err)
	indented := func(output string) string {
		return regexp.MustCompile(`(?m)^(.)`).ReplaceAllString("$ "+command+"\n"+output, b.indent+"$1")
	}
	require.Equal(t, 1, strings.Count(string(text), indented(shown)), "%s: %s", b.page, command)
	require.NoError(t, os.WriteFile(name, []byte(strings.Replace(string(text), indented(shown), indented(printed), 1)), 0o644))
}

func TestAgreementOfTranscripts(t *testing.T) {
	for _, test := range []struct {
		name, shown, printed string
		agrees               bool
	}{
		{"the same", "a\nb\n", "a\nb\n", true},
		{"another time", "signed at 2026-11-23T23:36:32Z, 1s ago\n", "signed at 2026-11-24T00:00:00Z, 1m5s ago\n", true},
		{"another text", "a\n", "b\n", false},
		{"a part", "a\n…\nc\n", "a\nb\nc\n", true},
		{"the beginning", "a\n…\n", "a\nb\nc\n", true},
		{"another end", "a\n…\nd\n", "a\nb\nc\n", false},
		{"another beginning", "b\n…\nc\n", "a\nb\nc\n", false},
		{"not twice the same line", "a\n…\na\n", "a\n", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			assert.Equal(t, test.agrees, agrees(test.shown, test.printed))
		})
	}
}

// withCaddyInThePath lets scripts find the server under test as caddy, and a home
// of their own.
func withCaddyInThePath(t *testing.T) {
	t.Helper()
	programs := t.TempDir()
	absolute, err := filepath.Abs(binary)
	require.NoError(t, err)
	require.NoError(t, os.Symlink(absolute, filepath.Join(programs, "caddy")))
	t.Setenv("PATH", programs+string(os.PathListSeparator)+os.Getenv("PATH"))
	t.Setenv("XDG_DATA_HOME", t.TempDir())
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
}
