package operate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/clitest"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/deliveries"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/envelope"
)

func someDeliveries() []deliveries.Delivery {
	at := func(ago int64) time.Time { return time.Unix(noon.Unix()-ago, 0).UTC() }
	return []deliveries.Delivery{ // newest first
		{Sequence: 9, Time: at(3), Handler: "staging", Result: deliveries.Rejected, Reason: "method_not_allowed", ClientIP: "34.67.146.145", Size: -1},
		{Sequence: 8, Time: at(4), Handler: "staging", Result: deliveries.Rejected, Reason: "signature_missing", ClientIP: "34.67.146.145", Size: -1},
		{Sequence: 7, Time: at(5), Handler: "staging", Result: deliveries.Rejected, Reason: "signature_missing", Test: true, ClientIP: "203.0.113.9", Size: -1},
		{Sequence: 6, Time: at(6), Handler: "staging", Result: deliveries.Accepted, Proven: true, Test: true, Fields: envelope.Fields{EventType: "post_call_audio", ConversationID: "conv_test_1"}, ClientIP: "203.0.113.9", Size: 18_300, UpstreamStatus: 200, UpstreamSeconds: .021},
		{Sequence: 5, Time: at(9), Handler: "ELEVENLABS_WEBHOOK_SECRET", Result: deliveries.Rejected, Reason: "body_too_large", ClientIP: "34.67.146.145", Size: -1},
		{Sequence: 4, Time: at(37), Handler: "staging", Result: deliveries.Rejected, Reason: "signature_mismatch", ClientIP: "203.0.113.7", Size: 120, ReceiveSeconds: .001},
		{Sequence: 3, Time: at(61), Handler: "ELEVENLABS_WEBHOOK_SECRET", Result: deliveries.Failed, Reason: "backend_answer", Fields: envelope.Fields{EventType: "post_call_audio", ConversationID: "conv_3701kb2s"}, ClientIP: "34.67.146.145", Size: 5 << 20, UpstreamStatus: 500, ReceiveSeconds: 1.25, UpstreamSeconds: .1},
		{Sequence: 2, Time: at(62), Handler: "ELEVENLABS_WEBHOOK_SECRET", Result: deliveries.Accepted, Fields: envelope.Fields{EventType: "post_call_transcription", ConversationID: "conv_3701kb2s"}, ClientIP: "34.67.146.145", Size: 18_300, UpstreamStatus: 204, ReceiveSeconds: .003, UpstreamSeconds: .021},
		{Sequence: 1, Time: at(3600), Handler: "staging", Result: deliveries.Accepted, WouldReject: "timestamp_stale", Fields: envelope.Fields{EventType: "speech_to_text_transcription", RequestID: "req_7b1"}, ClientIP: "34.59.11.47", Size: 2048, UpstreamStatus: 200, UpstreamSeconds: .012},
	}
}

func TestTailOncePrintsTheLastDeliveriesOldestFirst(t *testing.T) {
	var asked string
	env := adminEnv(t, func(w http.ResponseWriter, r *http.Request) {
		asked = r.URL.RawQuery
		showing(t, someDeliveries())(w, r)
	})
	outcome := clitest.Run(NewCmdTail, env, "", "tail", "--once", "--lines", "4", "--result", "failed", "--type", "transcript")
	require.NoError(t, outcome.Err)
	assert.Equal(t, "limit=4&result=failed&type=post_call_transcription&type=post_call_transcription_otel", asked)
	assert.Empty(t, outcome.Stderr)
	text := clitest.Run(NewCmdTail, env, "", "tail", "--once")
	lines := clitest.Run(NewCmdTail, env, "", "tail", "--once", "--json")
	clitest.Golden(t, "testdata/tail/once.txtar", clitest.Case{Command: "tail --once", Code: text.Code, Parts: []clitest.Part{
		{Name: "admin endpoint", Text: indented(t, someDeliveries())}, {Name: "output", Text: text.Stdout}, {Name: "json", Text: lines.Stdout},
	}})
}

// lockstep is an output that reports each write.
type lockstep struct {
	bytes.Buffer
	written chan string
}

func (l *lockstep) Write(p []byte) (int, error) {
	l.written <- string(p)
	return l.Buffer.Write(p)
}

// following returns a follower that hardly waits before it reconnects.
func following(env cmdutil.Env, result string) *follower {
	options := &tailOptions{env: env, endpoint: cmdutil.EndpointFlags(&cobra.Command{}, env), lines: 10, result: result}
	return &follower{tailOptions: options, pause: time.Millisecond}
}

func TestTailFollowsAndGoesOnAfterAReload(t *testing.T) {
	asked := make(chan *http.Request, 10)
	streams := make(chan chan string, 10)
	env := adminEnv(t, func(w http.ResponseWriter, r *http.Request) {
		asked <- r
		for event := range <-streams {
			fmt.Fprint(w, event)
			assert.NoError(t, http.NewResponseController(w).Flush())
		}
	})
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	cmd := NewCmdTail(env)
	cmd.Flags().Bool("json", true, "")
	out := &lockstep{written: make(chan string)}
	cmd.SetOut(out)
	cmd.SetArgs([]string{})
	ended := make(chan error)
	tailing := following(env, "")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return tailing.run(cmd) }
	go func() { ended <- cmd.ExecuteContext(ctx) }()

	first := make(chan string)
	streams <- first
	r := <-asked
	assert.Equal(t, "text/event-stream", r.Header.Get("Accept"))
	assert.Equal(t, "limit=10", r.URL.RawQuery)
	assert.Empty(t, r.Header.Get("Last-Event-ID"))
	first <- "id: 7\ndata: {\"sequence\":7}\n\n"
	assert.Equal(t, "{\"sequence\":7}\n", <-out.written)
	close(first) // a reload

	second := make(chan string)
	streams <- second
	r = <-asked
	assert.Equal(t, "7", r.Header.Get("Last-Event-ID"))
	assert.Empty(t, r.URL.RawQuery, "all that came meanwhile")
	second <- "id: 8\ndata: {\"sequence\":8}\n\n"
	assert.Equal(t, "{\"sequence\":8}\n", <-out.written)
	interrupt()
	assert.NoError(t, <-ended, "an interrupt is how it ends")
	close(second)
}

func TestTailAsksForAllThatCameInAReloadThoughThereWasNothingBefore(t *testing.T) {
	asked := make(chan string)
	env := cmdutil.Env{Now: clitest.Stopped.Now, Admin: func(_ context.Context, ask cmdutil.AdminRequest) (*http.Response, error) {
		asked <- ask.URI
		return &http.Response{Body: http.NoBody}, nil
	}}
	ctx, interrupt := context.WithCancel(t.Context())
	cmd := NewCmdTail(env)
	tailing := following(env, "failed")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return tailing.run(cmd) }
	cmd.SetArgs([]string{})
	ended := make(chan error)
	go func() { ended <- cmd.ExecuteContext(ctx) }()
	assert.Equal(t, "/elevenlabs/deliveries?limit=10&result=failed", <-asked)
	assert.Equal(t, "/elevenlabs/deliveries?result=failed", <-asked)
	interrupt()
	for open := true; open; {
		select {
		case <-asked:
		case err := <-ended:
			assert.NoError(t, err)
			open = false
		}
	}
}

func TestTailEndsWhenCaddyDoesNotComeBack(t *testing.T) {
	tries := 0
	env := cmdutil.Env{Now: clitest.Stopped.Now, Admin: func(context.Context, cmdutil.AdminRequest) (*http.Response, error) {
		if tries++; tries > 1 {
			return nil, errors.New("connection refused")
		}
		return &http.Response{Body: http.NoBody}, nil
	}}
	cmd := NewCmdTail(env)
	tailing := following(env, "")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return tailing.run(cmd) }
	cmd.SetArgs([]string{})
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	assert.ErrorContains(t, cmd.Execute(), "connection refused")
	assert.Equal(t, 1+maxReconnects+1, tries)

	outcome := clitest.Run(NewCmdTail, cmdutil.Env{Admin: func(context.Context, cmdutil.AdminRequest) (*http.Response, error) {
		return nil, errors.New("connection refused")
	}}, "", "tail")
	assert.Equal(t, 1, outcome.Code, "at first it does not wait")
	assert.Equal(t, 1, clitest.Run(NewCmdTail, env, "", "tail", "--lines", "0").Code)
}

func TestTailTakesOnlyTypesAndResultsThatThereAre(t *testing.T) {
	env := adminEnv(t, func(_ http.ResponseWriter, r *http.Request) { t.Errorf("%s was asked", r.URL) })
	for _, test := range []struct {
		args []string
		says string
	}{
		{[]string{"--type", "post_call_audo"}, `there is no type "post_call_audo" (did you mean post_call_audio?): give --type one of post_call_transcription, `},
		{[]string{"--type", "audoi"}, `there is no type "audoi" (did you mean audio?): give --type one of post_call_transcription, `},
		{[]string{"--type", "agent_qa"}, `there is no type "agent_qa": give --type one of post_call_transcription, `},
		{[]string{"--type", "typo"}, `there is no type "typo": give --type one of post_call_transcription, `},
		{[]string{"--type", ""}, "--type is empty"},
		{[]string{"--result", "fialed"}, `there is no result "fialed" (did you mean failed?): give --result one of accepted, stored, rejected, ignored, failed`},
		{[]string{"--result", ""}, "--result is empty"},
		{[]string{"--address", ""}, "--address is empty"},
		{[]string{"--config", ""}, "--config is empty"},
		{[]string{"--adapter", "json"}, "--adapter needs --config"},
		{[]string{"--lines", "0"}, "--lines must be above 0, not 0"},
	} {
		for _, once := range []string{"--once=false", "--once"} {
			outcome := clitest.Run(NewCmdTail, env, "", append([]string{"tail", once}, test.args...)...)
			assert.ErrorContains(t, outcome.Err, test.says)
			assert.Equal(t, 1, outcome.Code)
			assert.Empty(t, outcome.Stdout+outcome.Stderr)
		}
	}
}

func TestTailSaysWhatItWaitsForWhileThereIsNothing(t *testing.T) {
	staging := map[string]any{"handler": "staging"}
	for _, test := range []struct {
		handlers []any
		args     []string
		says     string
	}{
		{[]any{healthy(), staging}, nil, "waiting for deliveries to ELEVENLABS_WEBHOOK_SECRET; staging; Ctrl-C ends\n"},
		{[]any{staging}, []string{"--result", "failed"}, "waiting for deliveries with the result failed to staging; Ctrl-C ends\n"},
		{[]any{staging}, []string{"--result", "failed", "--type", "flows"}, "waiting for deliveries with the result failed and of the type flows_generation or flows_template_run to staging; Ctrl-C ends\n"},
		{[]any{}, nil, "this Caddy has no elevenlabs_webhook handler in its configuration: waiting until it has one; Ctrl-C ends\n"},
		{nil, []string{"--once"}, "no deliveries since Caddy started\n"},
		{nil, []string{"--once", "--type", "audio"}, "no deliveries of the type post_call_audio since Caddy started\n"},
	} {
		ctx, interrupt := context.WithCancel(t.Context())
		env := adminEnv(t, func(w http.ResponseWriter, r *http.Request) {
			switch {
			case r.URL.Path == "/elevenlabs/status":
				showing(t, test.handlers)(w, r)
			case r.Header.Get("Accept") == "application/json":
				showing(t, []any{})(w, r)
			default:
				interrupt()
			}
		})
		var stdout bytes.Buffer
		outcome := clitest.RunWith(ctx, NewCmdTail, env, nil, &stdout, append([]string{"tail"}, test.args...)...)
		require.NoError(t, outcome.Err)
		assert.Equal(t, test.says, outcome.Stderr)
		assert.Empty(t, stdout.String(), "scripts read only deliveries there")
		interrupt()
	}
}

func TestTailSaysOnceThatCaddyIsGoneAndThatItIsBack(t *testing.T) {
	answers := []error{nil, errors.New("connection refused"), errors.New("connection refused"), nil}
	ctx, interrupt := context.WithCancel(t.Context())
	env := cmdutil.Env{Now: clitest.Stopped.Now, Admin: func(context.Context, cmdutil.AdminRequest) (*http.Response, error) {
		if len(answers) == 0 {
			interrupt()
			return nil, ctx.Err()
		}
		err := answers[0]
		answers = answers[1:]
		return &http.Response{Body: http.NoBody}, err
	}}
	cmd := NewCmdTail(env)
	var stderr bytes.Buffer
	cmd.SetErr(&stderr)
	tailing := following(env, "")
	tailing.pause = 10 * time.Millisecond
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return tailing.run(cmd) }
	cmd.SetArgs([]string{})
	require.NoError(t, cmd.ExecuteContext(ctx))
	assert.Equal(t, "Caddy is gone, and tail waits 150ms for it: connection refused\nCaddy is back\n", stderr.String())
}
