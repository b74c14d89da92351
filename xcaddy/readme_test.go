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

const readme = "../README.md"

var console = regexp.MustCompile("(?ms)^```console\n(.*?)^```$")

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
}

func normalised(text string) string {
	for _, c := range changing {
		text = c.pattern.ReplaceAllString(text, c.to)
	}
	return text
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

// Every transcript in the README is what its commands print, to the server that
// the README begins with.
func TestTranscriptsInTheREADME(t *testing.T) {
	runtimeOf(t, "sh")
	runtimeOf(t, "curl")
	content, err := os.ReadFile(readme)
	require.NoError(t, err)
	example, err := os.ReadFile("../Caddyfile.example")
	require.NoError(t, err)

	s, ports := startCaddyfileExample(t)
	require.NoError(t, os.Unsetenv("ELEVENLABS_WEBHOOK_SECRET")) // the transcripts set it
	programs := t.TempDir()
	absolute, err := filepath.Abs(binary)
	require.NoError(t, err)
	require.NoError(t, os.Symlink(absolute, filepath.Join(programs, "caddy")))
	t.Setenv("PATH", programs+string(os.PathListSeparator)+os.Getenv("PATH"))
	t.Setenv("XDG_DATA_HOME", t.TempDir())
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())

	for _, command := range []string{"send", "sign", "verify", "doctor"} {
		t.Run(command, func(t *testing.T) {
			_, page, found := strings.Cut(string(content), "\n### `caddy elevenlabs "+command+"`\n")
			require.True(t, found, "the README has a page for it")
			page, _, _ = strings.Cut(page, "\n##")
			blocks := console.FindAllStringSubmatch(page, -1)
			require.NotEmpty(t, blocks, "the page has a transcript")
			for _, block := range blocks {
				dir := t.TempDir()
				file := ports.there.Replace(string(example))
				require.NoError(t, os.WriteFile(filepath.Join(dir, "Caddyfile.example"), []byte(file), 0o600))
				commands, want := prompts(block[1])
				for i, got := range runAll(t, dir, strings.Split(ports.there.Replace(strings.Join(commands, "\n")), "\n")) {
					assert.Equal(t, normalised(want[i]), normalised(ports.back.Replace(got)), "$ %s", commands[i])
				}
			}
		})
	}
	assert.True(t, s.running())
}
