package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// application is code on a page that takes events.
type application struct {
	page, heading string
	language      string
	files         []string // for the blocks in that language under the heading, in order
	prepare       func(t *testing.T, dir string)
	command       string // if the page has no block of sh under the heading
	flags         string // added to the command
	python        string // the modules that it imports
	prints        string // for each event
}

// The code for Next.js and Laravel is not run here: docs/applications.md says so.
var applications = []application{
	{
		page: "README.md", heading: "In production", language: "python", files: []string{"app.py"}, python: "fastapi, uvicorn",
		command: "python3 -m uvicorn app:app --port 3000", prints: "TYPE CONVERSATION\n",
	},
	{
		page: "README.md", heading: "In production", language: "js", files: []string{"app.mjs"}, prepare: installExpress,
		command: "node app.mjs", prints: "TYPE CONVERSATION\n",
	},
	{
		page: "docs/applications.md", heading: "FastAPI", language: "python", files: []string{"app.py"}, python: "fastapi, uvicorn",
		prints: "TYPE ID LENGTH\n",
	},
	{
		page: "docs/applications.md", heading: "Flask", language: "python", files: []string{"app.py"}, python: "flask",
		prints: "TYPE ID LENGTH\n",
	},
	{
		page: "docs/applications.md", heading: "Django", language: "python", files: []string{"webhooks/views.py", "project/urls.py", "project/settings.py"}, python: "django",
		prepare: startDjangoProject, flags: "--noreload", prints: "TYPE ID LENGTH\n",
	},
	{
		page: "docs/applications.md", heading: "Express", language: "js", files: []string{"app.mjs"}, prepare: installExpress,
		prints: "TYPE ID LENGTH CONVERSATION\n",
	},
	{
		page: "docs/applications.md", heading: "Rails", language: "ruby", files: []string{"app/controllers/elevenlabs_controller.rb", "config/routes.rb"}, prepare: startRailsProject,
		command: "rackup --server webrick --host 127.0.0.1 --port 3000", prints: "TYPE ID LENGTH\n",
	},
	{
		page: "docs/applications.md", heading: "PHP", language: "php", files: []string{"webhook.php"},
		prints: "TYPE ID LENGTH\n",
	},
}

// Each application takes real events behind the built server, and no forgery.
func TestApplicationsInTheDocumentation(t *testing.T) {
	t.Parallel() // it mostly waits
	for _, a := range applications {
		t.Run(a.page+": "+a.heading+": "+a.language, func(t *testing.T) {
			t.Parallel()
			address, output := a.start(t)
			s := start(t, webhook(address, ""))
			client := s.client("HTTP/1.1")
			forged := send(t, client, s.signed([]byte(`{"type":"forged"}`), "wsec_other", time.Now()))
			require.Equal(t, http.StatusUnauthorized, forged.status)
			for _, event := range []struct {
				eventType string
				body      []byte
			}{
				{"post_call_transcription", []byte(transcript)},
				{"post_call_audio", audio(12 << 20)},
			} {
				got := send(t, client, s.event(event.body))
				require.Equal(t, http.StatusOK, got.status, got.body)
				line := strings.NewReplacer("TYPE", event.eventType, "ID", digestOf(event.body), "LENGTH", strconv.Itoa(len(event.body)), "CONVERSATION", "conv_1").Replace(a.prints)
				s.eventually("the application to print "+line, func() bool { return strings.Contains(output.String(), line) })
			}
			assert.NotContains(t, output.String(), "forged")
		})
	}
}

// start writes the application's files, and runs it on a free port.
func (a *application) start(t *testing.T) (address string, output *lockedBuffer) {
	t.Helper()
	line := a.command
	if line == "" {
		line = a.blocks(t, "sh")[0]
	}
	fields := strings.Fields(line + " " + a.flags)
	program := fields[0]
	if a.python != "" {
		program = pythonWith(t, a.python)
	}
	program = runtimeOf(t, program)

	dir := t.TempDir()
	if a.prepare != nil {
		a.prepare(t, dir)
	}
	port := strconv.Itoa(freePort(t))
	local := strings.NewReplacer("3000", port, "hooks.example.com", "localhost")
	texts := a.blocks(t, a.language)
	require.GreaterOrEqual(t, len(texts), len(a.files))
	for i, name := range a.files {
		addTo(t, filepath.Join(dir, name), local.Replace(texts[i]))
	}

	for i, field := range fields {
		fields[i] = local.Replace(field)
	}
	command := exec.Command(program, fields[1:]...)
	command.Dir = dir
	command.Env = append(os.Environ(), "PYTHONUNBUFFERED=1", "PYTHONDONTWRITEBYTECODE=1")
	output = new(lockedBuffer)
	command.Stdout, command.Stderr = output, output
	require.NoError(t, command.Start())
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
		if t.Failed() {
			t.Log(output.String())
		}
	})
	address = "127.0.0.1:" + port
	require.Eventually(t, func() bool {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			conn.Close()
		}
		return err == nil
	}, patience, 20*time.Millisecond, "the application under %s", a.heading)
	return address, output
}

// blocks returns the blocks in a language under the application's heading.
func (a *application) blocks(t testing.TB, language string) (texts []string) {
	t.Helper()
	for _, b := range readPage(t, a.page).blocks {
		if b.heading == a.heading && b.language == language {
			texts = append(texts, b.text)
		}
	}
	require.NotEmpty(t, texts, "%s has no block of %s under %s", a.page, language, a.heading)
	return texts
}

// addTo appends a text to a file that may not exist yet.
func addTo(t testing.TB, name, text string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o700))
	file, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	require.NoError(t, err)
	_, err = file.WriteString(text)
	require.NoError(t, err)
	require.NoError(t, file.Close())
}

// pythonWith returns a Python that has some modules: the first one in the path, or
// Debian's, whose packages another Python does not see.
func pythonWith(t testing.TB, modules string) string {
	t.Helper()
	pythons := []string{"python3", "/usr/bin/python3"}
	i := slices.IndexFunc(pythons, func(python string) bool { return exec.Command(python, "-c", "import "+modules).Run() == nil })
	if i < 0 {
		skip(t, "no Python has "+modules)
	}
	return pythons[i]
}

func startDjangoProject(t *testing.T, dir string) {
	output, err := exec.Command(pythonWith(t, "django"), "-m", "django", "startproject", "project", dir).CombinedOutput()
	require.NoError(t, err, "%s", output)
}

func installExpress(t *testing.T, dir string) {
	install := exec.Command(runtimeOf(t, "npm"), "install", "--prefer-offline", "--no-audit", "--no-fund", "--loglevel=error", "express@5.3.0")
	install.Dir = dir
	if output, err := install.CombinedOutput(); err != nil {
		skip(t, fmt.Sprintf("npm does not install Express: %v: %s", err, output))
	}
}

// startRailsProject makes the least that a Rails application needs around a
// controller and its route.
func startRailsProject(t *testing.T, dir string) {
	if exec.Command(runtimeOf(t, "ruby"), "-e", `require "webrick"; require "action_controller/railtie"`).Run() != nil {
		skip(t, "Ruby has no Rails, or no WEBrick")
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "config.ru"), []byte(`
require "action_controller/railtie"

class Application < Rails::Application
  config.load_defaults Rails::VERSION::STRING.to_f
  config.eager_load = false
  config.secret_key_base = "only for a test"
  config.logger = Logger.new($stderr, level: :warn)
end

$stdout.sync = true
Rails.application.initialize!
require_relative "app/controllers/elevenlabs_controller"
run Rails.application
`), 0o600))
}

// The database decides which of two requests with the same event is the first.
func TestRepeatsInTheDocumentation(t *testing.T) {
	python := runtimeOf(t, "python3")
	page := application{page: "docs/applications.md", heading: "Repeats"}
	command := exec.Command(python, "-c", page.blocks(t, "python")[0]+`
print(is_new("id_1", None, b"{}"), is_new("id_1", None, b"{}"), is_new("id_2", "x", b"{}"))
`)
	command.Dir = t.TempDir()
	output, err := command.CombinedOutput()
	require.NoError(t, err, "%s", output)
	assert.Equal(t, "True False True\n", string(output))
}
