//go:build unix

package postgrestest_test

import (
	"context"
	"database/sql"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/internal/postgrestest"
)

func TestAServerStopsFreezesAndComesBackOnItsPort(t *testing.T) {
	t.Parallel()
	server := postgrestest.Start(t, "fsync=off")
	location := server.Database(t)
	answers := func(wait time.Duration) error {
		ctx, cancel := context.WithTimeout(t.Context(), wait)
		defer cancel()
		db, err := sql.Open("pgx", location)
		require.NoError(t, err)
		defer db.Close()
		return db.PingContext(ctx)
	}
	require.NoError(t, answers(10*time.Second))

	server.Freeze(t)
	assert.ErrorIs(t, answers(100*time.Millisecond), context.DeadlineExceeded)
	server.Thaw(t)
	assert.NoError(t, answers(10*time.Second))

	server.Stop(t)
	assert.ErrorContains(t, answers(10*time.Second), "connection refused")
	server.Restart(t)
	assert.NoError(t, answers(10*time.Second))
}
