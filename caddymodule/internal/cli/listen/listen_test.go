package listen

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/clitest"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
)

// stopping is an output that interrupts the command after a number of lines.
type stopping struct {
	bytes.Buffer
	lines int
	stop  func()
}

func (s *stopping) Write(p []byte) (int, error) {
	n, err := s.Buffer.Write(p)
	if s.lines--; s.lines == 0 {
		s.stop()
	}
	return n, err
}

// run runs a command until it has printed so many events.
func run(t *testing.T, env cmdutil.Env, events int, args ...string) clitest.Outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	out := &stopping{lines: events, stop: cancel}
	outcome := clitest.RunWith(ctx, NewCmdListen, env, strings.NewReader(""), out, args...)
	assert.LessOrEqual(t, out.lines, 0, "more events were expected")
	outcome.Stdout = out.String()
	return outcome
}

// some returns a server with some events, of which the newest has no body any more.
func some(t *testing.T, base string) *server {
	s := newServer(t, base)
	s.store(1042, `{"type":"post_call_transcription","n":1}`, http.Header{"Content-Type": {"application/json"}, "User-Agent": {"Python/3.12 aiohttp/3.11.16"}, "Elevenlabs-Signature": {"REDACTED"}})
	s.store(1043, `{"type":"post_call_audio","n":2}`, http.Header{"Content-Type": {"application/json"}, "Authorization": {"REDACTED"}, "Cookie": {"REDACTED"}})
	s.store(1044, `{"type":"voice_removed"}`, nil)
	s.events[1].EventType, s.events[1].ConversationID, s.events[1].Test = "post_call_audio", "conv_3701kb2s", true
	s.events[2].EventType, s.events[2].ConversationID, s.events[2].VoiceID, s.events[2].HasBody = "voice_removed", "", "voice_7", false
	for i := range s.events {
		s.events[i].ReceivedAt = noon.Add(time.Duration(i-len(s.events)) * time.Minute)
	}
	return s
}

func TestListenPrints(t *testing.T) {
	for _, test := range []struct {
		name, setUp, args string
		answer            http.HandlerFunc
	}{
		{"only", "", "--since 2h", nil},
		{"forward", "answers 200", "--since 2026-11-29T00:00:00Z --forward-to http://localhost:3000/hook", func(http.ResponseWriter, *http.Request) {}},
		{"refused", "answers 500 with a text, and redirects audio to /login", "--since 3h --forward-to http://localhost:3000/hook", func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("X-ElevenLabs-Event-Type") == "post_call_audio" {
				http.Redirect(w, r, "/login", http.StatusFound)
				return
			}
			http.Error(w, "ValueError: no such agent\n\n  at line 3", http.StatusInternalServerError)
		}},
		{"mixed", "answers 200 to a transcript, and 500 to audio", "--since 2h --forward-to http://localhost:3000/hook", func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("X-ElevenLabs-Event-Type") == "post_call_audio" {
				http.Error(w, "FileNotFoundError: recordings/conv_3701kb2s.mp3", http.StatusInternalServerError)
			}
		}},
		{"save", "", "--since 2h --save events", nil},
		{"both", "answers 204", "--since 2h --save events --forward-to http://localhost:3000/hook --agent agent_1 --conversation conv_1 --type transcript --inbox default", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusNoContent)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			var requests string
			local := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, err := io.ReadAll(r.Body)
				assert.NoError(t, err)
				head := new(strings.Builder)
				assert.NoError(t, r.Header.Write(head))
				requests += fmt.Sprintf("%s %s\n%s\n%s\n\n", r.Method, r.RequestURI, strings.ReplaceAll(head.String(), "\r", ""), body)
				test.answer(w, r)
			}))
			defer local.Close()
			to := strings.NewReplacer("http://localhost:3000", local.URL)
			back := strings.NewReplacer(local.URL, "http://localhost:3000")
			s := some(t, "/elevenlabs/inbox")
			env := cmdutil.Env{Now: func() time.Time { return noon }, Admin: clitest.Admin(t, s)}
			args := append([]string{"listen"}, strings.Fields(to.Replace(test.args))...)
			text := run(t, env, 3, args...)
			asked, sent := strings.Join(s.asked, "\n")+"\n", requests
			lines := run(t, env, 3, append(args, "--json")...)
			assert.Equal(t, text.Stderr, lines.Stderr)
			c := clitest.Case{Command: "listen " + test.args, Code: text.Code, Parts: []clitest.Part{
				{Name: "local application", Text: test.setUp},
				{Name: "standard error", Text: back.Replace(text.Stderr)},
				{Name: "output", Text: back.Replace(text.Text())},
				{Name: "json", Text: lines.Stdout},
				{Name: "requests to the server", Text: asked},
				{Name: "requests to the local application", Text: sent},
			}}
			_, golden, _ := strings.Cut(t.Name(), "/")
			t.Chdir(here)
			clitest.Golden(t, "testdata/"+golden+".txtar", c)
		})
	}
}

func TestListenBringsAnEventOnceOrThatForOneDestination(t *testing.T) {
	for _, test := range []struct {
		args, asks, says string
		want             []string
	}{
		{"", "once=true", "waiting for events, and first", []string{"number=1 ", "number=3 "}},
		{"--destination archive", "destination=archive", "waiting for events for the destination archive, and first", []string{"number=2 ", "number=4 "}},
	} {
		s := newServer(t, "/elevenlabs/inbox")
		for seq, destination := range []string{"crm", "archive", "crm", "archive"} {
			s.store(int64(seq+1), fmt.Sprintf(`{"n":%d}`, seq/2), nil)
			s.events[seq].Destination = destination
		}
		env := cmdutil.Env{Now: func() time.Time { return noon }, Admin: clitest.Admin(t, s)}
		got := run(t, env, len(test.want), append([]string{"listen", "--since", "2h"}, strings.Fields(test.args)...)...)
		assert.Contains(t, got.Stderr, test.says)
		lines := strings.SplitAfter(strings.TrimSuffix(got.Stdout, "\n"), "\n")
		require.Len(t, lines, len(test.want), got.Stdout)
		for i, number := range test.want {
			assert.Contains(t, lines[i], number)
		}
		for _, asked := range s.asked {
			assert.Contains(t, asked, test.asks, "also what recognises the database")
		}
	}
}

// quickly lets listen connect again at once.
func quickly(t *testing.T) {
	before := firstPause
	t.Cleanup(func() { firstPause = before })
	firstPause = time.Millisecond
}

// here is the folder of the package.
var here, _ = os.Getwd()

func TestListenTakesOnlyWhatThereIs(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	const site = "https://inspect.example.com"
	for _, test := range []struct {
		args []string
		says string
	}{
		{[]string{"--forward-to", "localhost:3000"}, `--forward-to: "localhost:3000" is not a URL that begins with https:// or http://`},
		{[]string{"--forward-to", ""}, "--forward-to is empty"},
		{[]string{"--save", ""}, "--save is empty"},
		{[]string{"--destination", ""}, "--destination is empty"},
		{[]string{"--since", "yesterday"}, "--since must be a time such as"},
		{[]string{"--type", "audoi"}, "did you mean audio?"},
		{[]string{"--timeout", "5s"}, "--timeout is for your local application: it needs --forward-to"},
		{[]string{"--insecure"}, "--insecure is for your local application: it needs --forward-to"},
		{[]string{"--forward-to", "http://localhost", "--timeout", "0s"}, "--timeout must be above 0, not 0s"},
		{[]string{"--user", "admin"}, "--user is for an inspector: it needs --server"},
		{[]string{"--header", "X-Token=x"}, "--header is for an inspector: it needs --server"},
		{[]string{"--server", site, "--address", "localhost:2019"}, "[address server] were all set"},
		{[]string{"--server", "inspect.example.com"}, `--server: "inspect.example.com" is not a URL`},
		{[]string{"--server", "https://admin:hunter2@inspect.example.com"}, "--server has a user in it: give --user"},
		{[]string{"--server", site + "?page=2"}, "without ? and #"},
		{[]string{"--server", "http://inspect.example.com"}, "--server begins with http://, so that others could read the events and the password on the way"},
		{[]string{"--server", site, "--user", "admin:hunter2"}, "--user takes the name only"},
		{[]string{"--server", site, "--user", "admin"}, "the environment variable ELEVENLABS_INSPECTOR_PASSWORD is not set"},
		{[]string{"--server", site, "--password-env", "HOME"}, "a password needs --user"},
		{[]string{"--server", site, "--ca", file}, "there is no certificate in " + file},
		{[]string{"--adapter", "json"}, "--adapter needs --config"},
		{[]string{"now"}, `unknown command "now"`},
	} {
		outcome := clitest.Run(NewCmdListen, cmdutil.Env{Now: clitest.Stopped.Now, Admin: func(context.Context, cmdutil.AdminRequest) (*http.Response, error) {
			return nil, errors.New("asked all the same")
		}}, "", append([]string{"listen"}, test.args...)...)
		assert.ErrorContains(t, outcome.Err, test.says, test.args)
		assert.NotContains(t, outcome.Err.Error(), "hunter2")
		assert.Equal(t, 1, outcome.Code)
		assert.Empty(t, outcome.Stdout+outcome.Stderr)
	}
}

func TestABodyThatBreaksOffIsReadAgainAndGivenUpOnlyIfItAlwaysDoes(t *testing.T) {
	quickly(t)
	for _, save := range [][]string{nil, {"--save", t.TempDir()}} {
		for tears, want := range map[int]string{1: "taken", maxTries: "failed"} {
			var whole []string
			local := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				if body, err := io.ReadAll(r.Body); err == nil {
					whole = append(whole, string(body))
				}
			}))
			s := newServer(t, "/elevenlabs/inbox")
			long := strings.Repeat("x", 1<<20)
			s.store(1, long, nil)
			s.store(2, "next", nil)
			s.tear[1] = tears
			env := cmdutil.Env{Now: func() time.Time { return noon }, Admin: clitest.Admin(t, s)}
			outcome := run(t, env, 2, append([]string{"listen", "--since", "2h", "--forward-to", local.URL}, save...)...)
			require.NoError(t, outcome.Err)
			local.Close()
			lines := strings.Split(outcome.Stdout, "\n")
			assert.Contains(t, lines[0], "  "+want+" ")
			assert.Contains(t, lines[1], "  taken ")
			if want == "taken" {
				assert.Equal(t, []string{long, "next"}, whole, "each whole, and once")
			} else {
				assert.Equal(t, []string{"next"}, whole)
				assert.Contains(t, lines[0], "(the server did not send the event: unexpected EOF)")
			}
			for _, folder := range save[min(len(save), 1):] {
				left, err := filepath.Glob(filepath.Join(folder, ".*"))
				require.NoError(t, err)
				assert.Empty(t, left, "files that are not whole")
				require.NoError(t, os.RemoveAll(folder))
			}
		}
	}
}

func TestAFileThatIsThereIsNotOverwritten(t *testing.T) {
	folder := t.TempDir()
	s := some(t, "/elevenlabs/inbox")
	name := filepath.Join(folder, fileName(s.events[0].Event))
	require.NoError(t, os.WriteFile(name, []byte("edited"), 0o600))
	env := cmdutil.Env{Now: func() time.Time { return noon }, Admin: clitest.Admin(t, s)}
	run(t, env, 3, "listen", "--since", "2h", "--save", folder)
	content, err := os.ReadFile(name)
	require.NoError(t, err)
	assert.Equal(t, "edited", string(content))
	files, err := os.ReadDir(folder)
	require.NoError(t, err)
	assert.Len(t, files, 2)
}

func TestAFolderThatCannotBeMadeIsAnError(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	env := cmdutil.Env{Now: func() time.Time { return noon }, Admin: clitest.Admin(t, some(t, "/elevenlabs/inbox"))}
	outcome := clitest.Run(NewCmdListen, env, "", "listen", "--since", "2h", "--save", file)
	assert.ErrorContains(t, outcome.Err, "--save: mkdir "+file)
	assert.Equal(t, 1, outcome.Code)
	assert.Empty(t, outcome.Stdout+outcome.Stderr)
}

func TestNamesOfFilesSortByNumberAndLeadNowhereElse(t *testing.T) {
	s := newServer(t, "")
	s.store(9, "a", nil)
	s.store(10, "b", nil)
	s.events[1].EventType, s.events[1].EventID = "../../etc/passwd", "x/y"
	names := []string{fileName(s.events[0].Event), fileName(s.events[1].Event)}
	assert.True(t, slices.IsSorted(names), names)
	assert.Equal(t, "0000000010-______etc_passwd-x_y.json", names[1])
}
