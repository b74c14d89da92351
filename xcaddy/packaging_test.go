package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// settings returns the lines of a unit, without comments and empty ones.
func settings(t *testing.T, unit string) []string {
	t.Helper()
	return slices.DeleteFunc(strings.Split(withoutComments(t, unit), "\n"), func(line string) bool { return strings.TrimSpace(line) == "" })
}

// without returns what is in some lines and not in others.
func without(lines, others []string) []string {
	return slices.DeleteFunc(slices.Clone(lines), func(line string) bool { return slices.Contains(others, line) })
}

func TestTheUnitOfThePackagesIsThatOfTheExampleWithAnotherPathAndUser(t *testing.T) {
	packaged, example := settings(t, "packaging/caddy-elevenlabs.service"), settings(t, "examples/systemd/caddy-elevenlabs.service")
	for i := range example {
		example[i] = strings.ReplaceAll(example[i], "/usr/local/bin/", "/usr/bin/")
	}
	assert.Equal(t, []string{"Documentation=https://github.com/caddy-elevenlabs/caddy-elevenlabs", "DynamicUser=yes"}, without(example, packaged))
	assert.Equal(t, []string{
		"Documentation=man:caddy-elevenlabs(8) https://github.com/caddy-elevenlabs/caddy-elevenlabs",
		"User=caddy-elevenlabs", "StateDirectoryMode=0700",
		"RemoveIPC=yes", "RestrictSUIDSGID=yes", // DynamicUser implies them
	}, without(packaged, example))
}

// The packages install it beside a distribution's own caddy, which has no such commands.
// Only the program of the packages knows its other name, not one that xcaddy builds.
func TestWhatThePackagesPrintToCopyHasTheNameOfTheirProgram(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	program := filepath.Join(dir, packaged)
	require.NoError(t, os.Symlink(binary, program))
	command := exec.CommandContext(t.Context(), program, "elevenlabs", "init", "--domain", "localhost:8443", "--backend", "127.0.0.1:1", "--dir", dir)
	command.Env = append(os.Environ(), "ELEVENLABS_WEBHOOK_SECRET=wsec_demo")
	output, _ := command.Output() // the application does not listen
	for _, what := range []string{"run --config", "elevenlabs send", "elevenlabs doctor"} {
		assert.Contains(t, string(output), "\n  "+packaged+" "+what)
	}
	assert.NotRegexp(t, `\bcaddy (run|reload|elevenlabs) `, string(output))
}

func TestTheREADMEInstallsAsThePageDoes(t *testing.T) {
	readme := findBlock(t, "README.md", "sh", "curl -LO").text
	assert.Equal(t, findBlock(t, "docs/install.md", "sh", "curl -LO").text, readme)
	assert.Equal(t, 3, strings.Count(readme, "\n"))
}

// nameOfTarget matches GoReleaser's name of a kind of machine.
var nameOfTarget = regexp.MustCompile(`(?m)^ +- ((?:linux|darwin|freebsd|windows)_\w+)$`)

func TestEveryMachineOfTheReleaseIsOnThePage(t *testing.T) {
	config, err := os.ReadFile("../.goreleaser.yaml")
	require.NoError(t, err)
	targets := nameOfTarget.FindAllStringSubmatch(string(config), -1)
	assert.Len(t, targets, 7)
	page := readPage(t, "docs/install.md").prose
	for _, target := range targets {
		assert.Contains(t, page, "`"+strings.Replace(target[1], "arm_7", "armv7", 1)+"`")
	}
}

func TestTheFormForBugsAsksForCommandsThatThereAre(t *testing.T) {
	form, err := os.ReadFile("../.github/ISSUE_TEMPLATE/bug.yml")
	require.NoError(t, err)
	calls := callsOfCaddy(string(form))
	assert.Contains(t, calls, strings.Fields("elevenlabs doctor --config Caddyfile --json"))
	assert.Contains(t, calls, strings.Fields("elevenlabs version"))
	for _, call := range calls {
		assert.NoError(t, checkCall(call, true), call)
	}
}
