package inbox

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/internal/postgrestest"
)

// with returns a location with some of it changed.
func with(t *testing.T, location string, change func(*url.URL)) string {
	t.Helper()
	u, err := url.Parse(location)
	require.NoError(t, err)
	change(u)
	return u.String()
}

func TestADatabaseThatCannotBeOpenedSaysWhy(t *testing.T) {
	t.Parallel()
	location := postgrestest.Shared(t).Database(t)
	tests := []struct {
		name        string
		change      func(*url.URL)
		want        string
		unreachable bool
	}{
		{"wrong password", func(u *url.URL) { u.User = url.UserPassword(postgrestest.User, "wrong"+secretPart) }, "does not let this user in", false},
		{"no such user", func(u *url.URL) { u.User = url.UserPassword("who"+secretPart, secretPart) }, "does not let this user in", false},
		{"no such database", func(u *url.URL) { u.Path = "/missing" }, "has no such database: create it", false},
		{"nobody listens", func(u *url.URL) { u.Host = "127.0.0.1:1" }, "start the server, or correct host and port", true},
		{"no such host", func(u *url.URL) { u.Host = "missing.invalid:5432" }, "start the server, or correct host and port", true},
		{"no TLS there", func(u *url.URL) { u.RawQuery = "sslmode=require" }, "", true},
		{"a parameter that is wrong", func(u *url.URL) { u.RawQuery = "pool_max_conns=many" }, "cannot be read", false},
		{"a port that is none", func(u *url.URL) { u.Host = "127.0.0.1:x" }, "cannot be read", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			changed := with(t, location, test.change)
			_, err := Open(t.Context(), changed)
			require.ErrorContains(t, err, test.want)
			assert.Equal(t, test.unreachable, isUnreachable(err), err)
			for _, secret := range []string{postgrestest.Password, url.QueryEscape(postgrestest.Password), url.PathEscape(postgrestest.Password), "p4ss", secretPart, postgrestest.User} {
				assert.NotContains(t, err.Error(), secret)
			}
			assert.Equal(t, strings.Contains(err.Error(), "cannot be read"), CheckLocation(changed) != nil)
		})
	}
}

// secretPart is in no error.
const secretPart = "hunter2"

func TestAURLThatCannotBeParsedIsNotShown(t *testing.T) {
	t.Parallel()
	location := "postgres://u:hunter2@ho st:5432/%zz"
	err := CheckLocation(location)
	require.Error(t, err)
	assert.NotContains(t, err.Error(), "hunter2")
	assert.NotContains(t, Shown(location), "hunter2")
}

func TestTheLocationIsShownWithoutCredentials(t *testing.T) {
	t.Parallel()
	for location, want := range map[string]string{
		"/var/lib/inbox.db": "/var/lib/inbox.db",
		"postgres://user:hunter2@db.example.com:5432/inbox?sslmode=disable&password=hunter2": "postgres://db.example.com:5432/inbox",
		"postgresql:///inbox?host=/run/postgresql&user=user":                                 "postgresql:///inbox",
	} {
		assert.Equal(t, want, Shown(location))
		assert.NoError(t, CheckLocation(location))
	}
}

func TestADatabaseWithANewerSchemaIsNotOpened(t *testing.T) {
	t.Parallel()
	location := postgrestest.Shared(t).Database(t)
	s := open(t, location)
	alter(t, s, `UPDATE elevenlabs_inbox_version SET version = 2`)
	_, err := Open(t.Context(), location)
	assert.EqualError(t, err, "opening the database "+Shown(location)+": its tables have version 2, and this program knows only up to 1: run the newer program, or name another database")
}

func TestTheTablesAreMadeOnceByManyOpenersAtTheSameTime(t *testing.T) {
	t.Parallel()
	location := postgrestest.Shared(t).Database(t)
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			s, err := Open(context.Background(), location)
			if assert.NoError(t, err) {
				assert.NoError(t, s.Close())
			}
		})
	}
	wait.Wait()
	assert.EqualValues(t, 1, number(t, open(t, location), `SELECT COUNT(*) FROM elevenlabs_inbox_version`))
}

func TestAUserWhoMayNotMakeTablesUsesThoseOfAnAdministrator(t *testing.T) {
	t.Parallel()
	server := postgrestest.Shared(t)
	location := server.Database(t)
	u, err := url.Parse(location)
	require.NoError(t, err)
	database := u.Path[1:]
	limited := "limited_" + database
	server.Exec(t, database, "CREATE ROLE "+limited+" LOGIN PASSWORD '"+secretPart+"'", "REVOKE CREATE ON SCHEMA public FROM PUBLIC")
	location = with(t, location, func(u *url.URL) { u.User = url.UserPassword(limited, secretPart) })
	_, err = Open(t.Context(), location)
	assert.EqualError(t, err, "the user may not make tables in "+Shown(location)+": let it, or let an administrator run what caddy elevenlabs inbox schema postgres prints")

	schema, err := Schema("postgres", Version)
	require.NoError(t, err)
	for statement := range strings.SplitSeq(strings.TrimSpace(schema), ";\n") {
		server.Exec(t, database, statement)
	}
	server.Exec(t, database, "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO "+limited)
	s := open(t, location)
	store(t, s, event("a"), content(chunkSize+1))
	deliver(t, s)
	sweep(t, s, Retention{})
	assert.Zero(t, rows(t, s, "event"))
}

func TestTheUnixSocketOfAServerCanBeUsed(t *testing.T) {
	t.Parallel()
	server := postgrestest.Shared(t)
	u, err := url.Parse(server.Database(t))
	require.NoError(t, err)
	s := open(t, server.SocketURL(u.Path[1:]))
	store(t, s, event("a"), content(1))
}

func TestCommitsWaitForTheDiskOfPostgres(t *testing.T) {
	t.Parallel()
	server := postgrestest.Shared(t)
	location := server.Database(t)
	u, err := url.Parse(location)
	require.NoError(t, err)
	server.Exec(t, "postgres", "ALTER DATABASE "+u.Path[1:]+" SET synchronous_commit = off")
	s := open(t, location)
	var setting string
	require.NoError(t, s.read().QueryRowContext(t.Context(), "SHOW synchronous_commit").Scan(&setting))
	assert.Equal(t, "on", setting)
}

func TestAnEventIsFoundByTheBeginningOfItsIDInAnyLanguage(t *testing.T) {
	t.Parallel()
	s := open(t, postgrestest.Shared(t).Database(t, "TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en-US'"))
	store(t, s, event("abc0"), content(1))
	store(t, s, event("abd0"), content(1))
	assert.Equal(t, "abc0", find(t, s, "abc").ID)
}

func TestTwoProcessesShareOneLimitAndMakeRoomOnce(t *testing.T) {
	t.Parallel()
	location := postgrestest.Shared(t).Database(t)
	one, two := open(t, location), open(t, location)
	for i := range 10 {
		done(t, one, fmt.Sprint(i), 10, deliver, time.Hour)
	}
	require.NoError(t, two.refreshUsed(t.Context()))
	full := keep
	full.Limit = 100
	sweep(t, one, full)
	sweep(t, two, full) // its own count is from before
	assert.EqualValues(t, 8, rows(t, one, "chunk"))
	_, err := two.Accept(t.Context(), event("a"), content(21), 100)
	assert.ErrorIs(t, err, ErrFull)
}
