package operate

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// maxReconnects is how many times in a row tail reconnects to Caddy.
const maxReconnects = 15

// follower prints deliveries as they come, also after Caddy restarts.
type follower struct {
	*tailOptions
	pause time.Duration // before tail reconnects

	connected bool   // at least once, so that only later deliveries are asked for
	lastID    string // of the delivery that was printed last
}

func (f *follower) run(cmd *cobra.Command) error {
	ctx := cmd.Context()
	for failed := 0; ; {
		header := http.Header{"Accept": {"text/event-stream"}}
		if f.lastID != "" {
			header.Set("Last-Event-ID", f.lastID)
		}
		stream, err := f.endpoint.Get(cmd, f.uri(!f.connected), header)
		switch {
		case ctx.Err() != nil:
			return nil // an interrupt is the usual end
		case err != nil:
			if failed++; !f.connected || failed > maxReconnects {
				return err
			}
			if failed == 1 {
				note(cmd, "Caddy is gone, and tail waits %s for it: %s", maxReconnects*f.pause, err)
			}
		default:
			if failed > 0 {
				note(cmd, "Caddy is back")
			}
			f.connected, failed = true, 0
			err = f.print(cmd, stream)
			_ = stream.Close()
			if err != nil {
				return err
			}
		}
		// Caddy reloads, or is being restarted
		select {
		case <-time.After(f.pause):
		case <-ctx.Done():
			return nil
		}
	}
}

// print prints the deliveries of a stream of server-sent events, until it ends.
func (f *follower) print(cmd *cobra.Command, stream io.Reader) error {
	lines := bufio.NewScanner(stream)
	for lines.Scan() {
		field, value, _ := strings.Cut(lines.Text(), ": ")
		switch field {
		case "id":
			f.lastID = value
		case "data":
			if err := printDelivery(cmd, f.zone(), []byte(value)); err != nil {
				return err
			}
		}
	}
	return nil // the next connection shows why the stream ended
}
