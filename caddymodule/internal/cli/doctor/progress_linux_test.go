package doctor

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/clitest"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
)

func TestDoctorShowsWhichCheckIsSlow(t *testing.T) {
	p := newPatient(t)
	t.Setenv("ELEVENLABS_WEBHOOK_SECRET", clitest.Secret)
	answer := make(chan struct{})
	target, trust := clitest.Server(t, clitest.Protected(clitest.Secret, p.now, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-answer })))
	t.Chdir(t.TempDir())
	after := clitest.Drawn(t, NewCmdDoctor, cmdutil.Env{Now: time.Now}, answer, "signed", append([]string{"doctor", "--url", target}, trust...)...)
	assert.GreaterOrEqual(t, after, time.Second)
}
