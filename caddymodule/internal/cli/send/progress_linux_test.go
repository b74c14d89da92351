package send

import (
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/clitest"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
)

func TestSendShowsThatItWaitsForASlowAnswer(t *testing.T) {
	answer := make(chan struct{})
	target, trust := clitest.Server(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-answer
	}))
	after := clitest.Drawn(t, NewCmdSend, cmdutil.Env{Now: time.Now}, answer, "sending", append([]string{"send", target}, trust...)...)
	assert.GreaterOrEqual(t, after, time.Second)
}
