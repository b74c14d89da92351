package webhooks

import (
	"errors"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/clitest"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/elevenlabs/elevenlabstest"
)

// TestWrongUseIsAnErrorBeforeAnyRequest fails if a command sends a request.
func TestWrongUseIsAnErrorBeforeAnyRequest(t *testing.T) {
	t.Setenv("ELEVENLABS_API_KEY", elevenlabstest.Key)
	unreachable := cmdutil.Env{Now: clitest.Stopped.Now, API: roundTripper(func(r *http.Request) (*http.Response, error) {
		t.Errorf("%s %s was asked", r.Method, r.URL)
		return nil, errors.New("not to be reached")
	})}
	create := "create --name gateway --url " + testURL + " --secret-out SECRET"
	for args, want := range map[string]string{
		"":                                       "no command is given: give one of\n  attach       Points events at a webhook\n  create       Creates a webhook, and keeps its secret\n  delete  ",
		"rotaet":                                 `there is no command "rotaet" (did you mean rotate?): give one of attach, create, delete, detach, disable, enable, list, rotate, update`,
		"remove":                                 `there is no command "remove"`,
		"create --name gateway --url " + testURL: "give --secret-out <file> or --print-secret: ElevenLabs shows the signing secret only once",
		create + " --print-secret":               "[print-secret secret-out] were all set",
		"create --url " + testURL + " --secret-out SECRET":            "give --name, and --url",
		"create --name a --secret-out SECRET":                         "give --name, and --url",
		"create --name a --url http://a/ --secret-out SECRET":         "that begins with https://",
		"create --name a --url https:///path --secret-out SECRET":     "that begins with https://",
		"create --name a --url " + testURL + " --secret-out -":        "--secret-out must be a file: to print the secret, give --print-secret",
		"rotate gateway --secret-out -":                               "--secret-out must be a file",
		create + " --events transcrpt":                                `there is no event "transcrpt" for --events (did you mean transcript?)`,
		create + " --events nope":                                     `there is no event "nope" for --events`,
		create + " --events audio":                                    "events after calls need --attach or --agent",
		create + " --transcript-format json":                          "--transcript-format and events after calls need --attach or --agent",
		create + " --attach --replace":                                "unknown flag: --replace",
		create + " --attach --transcript-format otel":                 "--transcript-format must be json or opentelemetry",
		create + " --attach --transcript-format opentelemtry":         "--transcript-format must be json or opentelemetry (did you mean opentelemetry?)",
		create + " --header X-Env":                                    "--header must be name=value",
		create + " --header X:Env=a":                                  "--header must be name=value",
		create + " --header X-Env=a\x00":                              "--header must be name=value",
		create + " --header-file SECRET":                              "reading --header-file: ",
		create + " --header-file - --api-key-file -":                  "only one thing can come from standard input",
		create + " --header-file -":                                   "there is no header in --header-file",
		"update gateway --header X-Env=a --no-headers":                "[header no-headers] were all set",
		"update gateway --header-file SECRET --no-headers":            "[header-file no-headers] were all set",
		"update gateway --no-headers=false":                           "there is nothing to change",
		"rotate gateway --switch-to wh_2 --header-file SECRET":        "[header-file switch-to] were all set",
		create + " --region mars":                                     "mars",
		create + " gateway":                                           "unknown command",
		create + " --api-key-env UNSET_HERE":                          "UNSET_HERE is not set",
		"list gateway":                                                "unknown command",
		"update":                                                      "give one argument, not 0",
		"update gateway":                                              "there is nothing to change",
		"update gateway --name=":                                      "--name is empty",
		"update gateway --events transcript":                          "set those after calls by `attach --events`",
		"update gateway --url https://a/":                             "unknown flag: --url",
		"update gateway --header X":                                   "--header must be name=value",
		"enable":                                                      "give one argument, not 0",
		"disable a b":                                                 "give one argument, not 2",
		"delete":                                                      "give one argument, not 0",
		"attach":                                                      "give one argument, not 0",
		"attach gateway --events dubbing_project_ready":               "no webhook can be attached to dubbing_project_ready",
		"attach gateway --events stt":                                 `there is no event "stt"`,
		"attach gateway --events flows --replace":                     "--transcript-format and --replace need events after calls, or --agent",
		"attach gateway --transcript-format x":                        "--transcript-format must be",
		"detach gateway --events audio":                               "only events of the workspace here",
		"list --agent=":                                               `invalid argument "" for "--agent" flag: one of its words is empty: is a variable of the shell not set?`,
		"list --agent a,":                                             "one of its words is empty",
		create + " --agent=":                                          "one of its words is empty",
		create + " --events=":                                         "one of its words is empty",
		"update gateway --events ,":                                   "one of its words is empty",
		"update gateway --events flows,,agent_qa":                     "one of its words is empty",
		"delete gateway --agent= --yes":                               "one of its words is empty",
		"attach gateway --agent=":                                     "one of its words is empty",
		"attach gateway --agent agent_1 --agent=":                     "one of its words is empty",
		"attach gateway --events=":                                    "one of its words is empty",
		"detach gateway --agent=":                                     "one of its words is empty",
		"detach gateway --events=":                                    "one of its words is empty",
		"rotate gateway --finish --agent=":                            "one of its words is empty",
		"rotate gateway --print-secret --name=":                       "--name is empty",
		"rotate gateway --secret-out=":                                "--secret-out is empty",
		create + " --header-file=":                                    "--header-file is empty",
		"update gateway --header-file=":                               "--header-file is empty",
		"attach gateway --transcript-format=":                         "--transcript-format is empty",
		"list --region=":                                              "--region is empty",
		"rotate gateway --switch-to=":                                 "--switch-to is empty",
		"rotate gateway":                                              "ElevenLabs shows the signing secret only once",
		"rotate gateway --switch-to wh_2 --secret-out SECRET":         "[secret-out switch-to] were all set",
		"rotate gateway --switch-to wh_2 --finish":                    "[finish switch-to] were all set",
		"rotate gateway --print-secret --finish":                      "[finish print-secret] were all set",
		"rotate gateway --secret-out SECRET --header X-Env":           "--header must be name=value",
		"rotate gateway --secret-out SECRET --print-secret":           "were all set",
		"list --api-key sk_1":                                         "unknown flag: --api-key",
		"list --api-key-file SECRET":                                  "no such file",
		"list --api-key-file SECRET --api-key-env ELEVENLABS_API_KEY": "were all set",
	} {
		t.Run(args, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "secret")
			got := clitest.Run(NewCmdWebhooks, unreachable, "", append([]string{"webhooks"}, strings.Fields(strings.ReplaceAll(args, "SECRET", file))...)...)
			require.ErrorContains(t, got.Err, want)
			assert.Equal(t, 1, got.Code)
			assert.Empty(t, got.Stdout)
			assert.NoFileExists(t, file)
		})
	}
}
