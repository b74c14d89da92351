package send

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/clitest"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/stored"
)

func TestSendLastSignsTheNewestStoredEventWhoseBodyIsThereAnew(t *testing.T) {
	const body = `{"type":"post_call_audio","data":{"conversation_id":"conv_3701kb2s"}}`
	for _, test := range []struct {
		name, args, asked string
		events            []stored.Event
		code              int
	}{
		{"last", "--last", "/elevenlabs/inbox/events?limit=100", []stored.Event{{Seq: 43}, {Seq: 42, HasBody: true}, {Seq: 41, HasBody: true}}, 0},
		{"last_of_type", "--last --event transcript --inbox sales", "/elevenlabs/inbox/events?inbox=sales&limit=100&type=post_call_transcription&type=post_call_transcription_otel", []stored.Event{{Seq: 42, HasBody: true}}, 0},
		{"last_none", "--last --event audio", "/elevenlabs/inbox/events?limit=100&type=post_call_audio", []stored.Event{{Seq: 43}}, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			for i := range test.events {
				e := &test.events[i]
				e.Inbox, e.EventType, e.EventID, e.ReceivedAt = "sales", "post_call_audio", strings.Repeat("5b1cdaee", 8), clitest.Now.UTC().Add(-time.Minute)
			}
			var asked []string
			env := clitest.Stopped
			env.Now = func() time.Time { return clitest.Now.UTC() }
			env.Admin = clitest.Admin(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				asked = append(asked, r.URL.RequestURI())
				if strings.HasSuffix(r.URL.Path, "/body") {
					w.Header().Set("Content-Type", "application/octet-stream")
					_, _ = w.Write([]byte(body))
					return
				}
				w.Header().Set("Content-Type", "application/json")
				assert.NoError(t, json.NewEncoder(w).Encode(test.events))
			}))
			application := new(receiver)
			target, trust := clitest.Server(t, application)
			outcome := clitest.Run(NewCmdSend, env, "", append(append([]string{"send", target}, strings.Fields(test.args)...), trust...)...)
			assert.Equal(t, test.code, outcome.Code, outcome.Err)
			require.NotEmpty(t, asked)
			assert.Equal(t, test.asked, asked[0])
			if test.code == 0 {
				assert.Equal(t, "/elevenlabs/inbox/events/42/body?inbox=sales", asked[1])
				require.Len(t, application.bodies, 1)
				assert.Equal(t, body, string(application.bodies[0]))
			}
			clitest.Golden(t, "testdata/send/"+test.name+".txtar", clitest.Case{
				Command: "send https://hooks.example.com/webhooks/elevenlabs " + test.args, Code: outcome.Code,
				Parts: []clitest.Part{{Name: "standard error", Text: outcome.Stderr}, {Name: "output", Text: outcome.Text()}},
			})
		})
	}
}
