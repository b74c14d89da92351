package operate

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/clitest"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
)

func healthy() map[string]any {
	return map[string]any{
		"handler":         "ELEVENLABS_WEBHOOK_SECRET",
		"results":         map[string]int{"accepted": 412, "rejected": 7, "ignored": 0, "failed": 1},
		"failures_in_row": 0,
		"last_success":    noon.Add(-90 * time.Second),
		"last_delivery":   noon.Add(-90 * time.Second),
		"last_failure":    map[string]any{"ended": noon.Add(-26 * time.Hour), "reason": "backend_answer", "upstream_status": 500, "event_type": "post_call_audio"},
		"config":          []map[string]any{{"max_size": 104857600}},
	}
}

func TestStatusShowsTheHealthOfEachWebhook(t *testing.T) {
	failing := map[string]any{
		"handler":         "staging",
		"results":         map[string]int{"accepted": 21, "rejected": 0, "ignored": 0, "failed": 4},
		"would_reject":    2,
		"failures_in_row": 4,
		"failing_since":   noon.Add(-5 * time.Minute),
		"last_success":    noon.Add(-3 * time.Hour),
		"last_delivery":   noon.Add(-time.Minute),
		"last_failure":    map[string]any{"ended": noon.Add(-time.Minute), "reason": "backend_unreachable", "event_type": "post_call_transcription"},
		"config":          []map[string]any{{"report_only": true}},
	}
	several := healthy()
	several["handler"], several["failures_in_row"], several["failing_since"] = "sales,support", 3, noon.Add(-time.Hour)
	several["secrets"] = []map[string]any{
		{"secret": "sales", "failures_in_row": 0, "last_success": noon.Add(-90 * time.Second)},
		{"secret": "support", "failures_in_row": 3, "failing_since": noon.Add(-time.Hour)},
		{"failures_in_row": 1, "failing_since": noon.Add(-time.Minute)},
	}
	tested := map[string]any{
		"handler":         "ELEVENLABS_WEBHOOK_SECRET",
		"results":         map[string]int{"accepted": 0, "rejected": 7, "ignored": 0, "failed": 20},
		"tests":           map[string]int{"accepted": 0, "rejected": 6, "ignored": 0, "failed": 20},
		"failures_in_row": 0,
		"config":          []map[string]any{{"max_size": 104857600}},
	}
	for name, test := range map[string]struct {
		webhooks []any
		code     int
	}{
		"healthy": {[]any{healthy()}, 0},
		"failing": {[]any{healthy(), failing}, 2},
		"tested":  {[]any{tested}, 0},
		"several": {[]any{several}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			env := adminEnv(t, showing(t, test.webhooks))
			text := clitest.Run(NewCmdStatus, env, "", "status")
			json := clitest.Run(NewCmdStatus, env, "", "status", "--json")
			assert.Equal(t, test.code, text.Code)
			assert.Equal(t, test.code, json.Code)
			clitest.Golden(t, "testdata/status/"+name+".txtar", clitest.Case{Command: "status", Code: text.Code, Parts: []clitest.Part{
				{Name: "admin endpoint", Text: indented(t, test.webhooks)}, {Name: "output", Text: text.Stdout}, {Name: "json", Text: json.Stdout},
			}})
		})
	}
}

func TestStatusWithoutAnAnswerIsAnErrorOfTheSetUp(t *testing.T) {
	for _, test := range []struct {
		says string
		env  cmdutil.Env
	}{
		{"connection refused", cmdutil.Env{Admin: func(context.Context, cmdutil.AdminRequest) (*http.Response, error) {
			return nil, errors.New("connection refused")
		}}},
		{"no elevenlabs_webhook handler", adminEnv(t, showing(t, []any{}))},
		{"reading the admin endpoint's answer", adminEnv(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") })},
	} {
		outcome := clitest.Run(NewCmdStatus, test.env, "", "status")
		assert.ErrorContains(t, outcome.Err, test.says)
		assert.Equal(t, 1, outcome.Code)
	}
}
