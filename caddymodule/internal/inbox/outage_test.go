package inbox

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/internal/postgrestest"
)

func isUnreachable(err error) bool { return errors.Is(err, ErrUnreachable) }

// interrupting is a body during whose read something happens to the server.
type interrupting struct {
	memory
	at     int64 // the offset of the read
	happen func()
}

func (i *interrupting) ReadAt(p []byte, offset int64) (int, error) {
	if offset == i.at && i.happen != nil {
		i.happen()
		i.happen = nil
	}
	return i.memory.ReadAt(p, offset)
}

func TestAServerThatFailsInTheMiddleOfAnAcceptLosesNothing(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		fail    func(*postgrestest.Server, *testing.T)
		recover func(*postgrestest.Server, *testing.T)
	}{
		{"stopped", func(s *postgrestest.Server, t *testing.T) { s.Stop(t) }, func(s *postgrestest.Server, t *testing.T) { s.Restart(t) }},
		{"frozen", func(s *postgrestest.Server, t *testing.T) { s.Freeze(t) }, func(s *postgrestest.Server, t *testing.T) { s.Thaw(t) }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server := postgrestest.Start(t, "fsync=off")
			location := server.Database(t)
			s := open(t, location)
			before := store(t, s, event("before"), content(1))
			for name, body := range map[string]*interrupting{
				"small": {content(100), 0, nil},
				"large": {content(3*chunkSize + 1), chunkSize, nil},
			} {
				failed := time.Time{}
				body.happen = func() {
					test.fail(server, t)
					failed = time.Now()
				}
				ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
				_, err := s.Accept(ctx, event(name), body, noLimit)
				cancel()
				require.Error(t, err, name)
				assert.Less(t, time.Since(failed), 10*time.Second)
				ctx, cancel = context.WithTimeout(t.Context(), time.Second)
				_, err = Open(ctx, location)
				cancel()
				assert.ErrorIs(t, err, ErrUnreachable)

				test.recover(server, t)
				repeat, err := s.Accept(t.Context(), event(name), body, noLimit)
				require.NoError(t, err, "it stores again by itself")
				assert.False(t, repeat, "what was not answered was not there")
				assert.NoError(t, s.Check(t.Context()))
			}
			assert.Equal(t, Waiting, get(t, s, before).State)
			counts, err := s.Counts(t.Context())
			require.NoError(t, err)
			assert.EqualValues(t, 3, counts[testQueue].States[Waiting])
			// what was left of the upload goes
			alter(t, s, `UPDATE elevenlabs_inbox_event SET received_at = 0 WHERE state = 'receiving'`)
			s.work.Wait()
			sweep(t, s, keep)
			assert.EqualValues(t, 3, rows(t, s, "event"))
			assert.EqualValues(t, 6, rows(t, s, "chunk"))
		})
	}
}
