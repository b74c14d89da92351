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

// otherModules are what blocks need that this server does not have: such a block
// must fail for want of it, and of nothing else.
var otherModules = map[string]string{
	"on elevenlabs_webhook_failing exec": "events.handlers.exec",
}

// wholes are what a block in the documentation may be a part of: nothing, a site,
// the directive.
var wholes = []string{
	"%s",
	"hooks.example.com {\n%s\n}\n",
	"hooks.example.com {\n\televenlabs_webhook {\n\t\tsecret {env.ELEVENLABS_WEBHOOK_SECRET}\n%s\n\t}\n}\n",
	"hooks.example.com {\n\televenlabs_webhook {\n%s\n\t}\n}\n",
}

// Each block of caddyfile in the documentation is one that the server would
// start with, as a whole or as the part that it is.
func TestCaddyfilesInTheDocumentation(t *testing.T) {
	t.Setenv("XDG_DATA_HOME", dataDir)
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	for _, b := range blocksOf(t, "caddyfile") {
		if strings.Contains(b.text, "[<matcher>]") {
			continue // the grammar
		}
		t.Run(b.page+": "+b.heading, func(t *testing.T) {
			text := withSecretsAndFiles(t, b.text)
			var outputs []string
			for _, whole := range wholes {
				output, err := validate(t, strings.ReplaceAll(whole, "%s", text))
				if err == nil {
					return
				}
				for part, module := range otherModules {
					if strings.Contains(text, part) && strings.Contains(output, "module not registered: "+module) {
						return
					}
				}
				outputs = append(outputs, output)
			}
			assert.Fail(t, "no valid Caddyfile, nor a part of one", "%s\n%s", b.text, strings.Join(outputs, "\n"))
		})
	}
}

var (
	secretOfEnv  = regexp.MustCompile(`\{env\.(\w+)\}`)
	keyOfFile    = regexp.MustCompile(`(sign\s+)\{file\.[^}]+\}`)
	secretOfFile = regexp.MustCompile(`\{file\.[^}]+\}`)
	spoolDir     = regexp.MustCompile(`(?m)spool_dir\s+\S+`)
	trustPool    = regexp.MustCompile(`trust_pool file \S+`)
	logFile      = regexp.MustCompile(`output file \S+`)
)

// withSecretsAndFiles gives a Caddyfile what it names on the machine.
func withSecretsAndFiles(t *testing.T, caddyfile string) string {
	t.Helper()
	for _, match := range secretOfEnv.FindAllStringSubmatch(caddyfile, -1) {
		t.Setenv(match[1], secret)
	}
	t.Setenv("ELEVENLABS_WEBHOOK_SECRET", secret)
	dir := t.TempDir()
	caddyfile = keyOfFile.ReplaceAllString(caddyfile, "${1}"+signKey)
	caddyfile = secretOfFile.ReplaceAllString(caddyfile, "{file."+writeFile(t, secret)+"}")
	if trustPool.MatchString(caddyfile) {
		_, authority := certificate(t)
		caddyfile = trustPool.ReplaceAllString(caddyfile, "trust_pool file "+writeFile(t, authority))
	}
	caddyfile = spoolDir.ReplaceAllString(caddyfile, "spool_dir "+dir)
	return logFile.ReplaceAllString(caddyfile, "output file "+filepath.Join(dir, "log"))
}

// validate loads a Caddyfile without starting it.
func validate(t *testing.T, caddyfile string) (output string, err error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "Caddyfile")
	require.NoError(t, os.WriteFile(file, []byte(caddyfile), 0o600))
	text, err := exec.Command(binary, "validate", "--adapter", "caddyfile", "--config", file).CombinedOutput()
	return string(text), err
}

func TestCaddyfilesAreChecked(t *testing.T) {
	t.Setenv("XDG_DATA_HOME", dataDir)
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	for _, test := range []struct{ name, caddyfile, wrong string }{
		{"valid", "localhost {\n\televenlabs_webhook {\n\t\tsecret {env.X}\n\t\treverse_proxy localhost:3000\n\t}\n}\n", ""},
		{"unknown option", "localhost {\n\televenlabs_webhook {\n\t\tsecert {env.X}\n\t}\n}\n", "secert"},
		{"no value", "localhost {\n\televenlabs_webhook {\n\t\tsecret {env.X}\n\t\tmax_size 0\n\t}\n}\n", "max_size"},
	} {
		t.Run(test.name, func(t *testing.T) {
			output, err := validate(t, withSecretsAndFiles(t, test.caddyfile))
			if test.wrong == "" {
				assert.NoError(t, err, output)
				return
			}
			assert.Error(t, err)
			assert.Contains(t, output, test.wrong)
		})
	}
}
