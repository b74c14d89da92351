package inbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
)

// postgresConnections is how many connections a process opens at most, if the URL does
// not set pool_max_conns.
const postgresConnections = 16

// postgresTime is Unix milliseconds. It is the same in a whole statement, so that an
// index can be used with it.
const postgresTime = `(extract(epoch FROM statement_timestamp()) * 1000)::bigint`

var postgresWords = strings.NewReplacer("{now}", postgresTime, "{skip locked}", "FOR UPDATE SKIP LOCKED", "{for update}", "FOR UPDATE", "{+}", "")

// IsPostgres reports whether a location is the URL of a Postgres database. Otherwise it
// is the path of a SQLite file.
func IsPostgres(location string) bool {
	return strings.HasPrefix(location, "postgres://") || strings.HasPrefix(location, "postgresql://")
}

// Shown returns a location as it may be shown: without user, password and parameters.
func Shown(location string) string {
	if !IsPostgres(location) {
		return location
	}
	u, err := url.Parse(location)
	if err != nil {
		return "postgres://…"
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}

// HasPassword reports whether the URL of a Postgres database has a password.
func HasPassword(location string) bool {
	u, err := url.Parse(location)
	if err != nil || !IsPostgres(location) {
		return false
	}
	_, has := u.User.Password()
	return has || u.Query().Has("password")
}

// CheckLocation returns what is wrong with a location. It opens nothing.
func CheckLocation(location string) error {
	if !IsPostgres(location) {
		return nil
	}
	_, err := postgresConfig(location)
	return err
}

func postgresConfig(location string) (*pgxpool.Config, error) {
	config, err := pgxpool.ParseConfig(location)
	if err != nil { // its text may repeat the URL
		return nil, fmt.Errorf("the URL of the database %s cannot be read: write postgres://user:password@host:5432/database, with special characters as %%20 and the like", Shown(location))
	}
	if u, err := url.Parse(location); err == nil && !u.Query().Has("pool_max_conns") {
		config.MaxConns = postgresConnections
	}
	config.ConnConfig.RuntimeParams["synchronous_commit"] = "on"
	// a process that is frozen in a transaction must not hold its locks for ever
	config.ConnConfig.RuntimeParams["idle_in_transaction_session_timeout"] = strconv.FormatInt(renewWithin.Milliseconds(), 10)
	return config, nil
}

type postgresDB struct {
	pool *pgxpool.Pool
	db   *sql.DB
}

// openPostgres opens a Postgres database. Other processes may have it open too.
func openPostgres(ctx context.Context, location string) (_ dialect, err error) {
	config, err := postgresConfig(location)
	if err != nil {
		return nil, err
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("opening the database %s: %w", Shown(location), err)
	}
	p := &postgresDB{pool: pool, db: stdlib.OpenDBFromPool(pool)}
	if err := migrate(ctx, p.write, schemaPostgres{}); err != nil {
		_ = p.close()
		return nil, postgresProblem(location, err)
	}
	return p, nil
}

// write runs do in a transaction, and once more if another transaction was in its way.
func (p *postgresDB) write(ctx context.Context, _ int64, do func(context.Context, statements) error) error {
	err := p.transact(ctx, do)
	switch postgresCode(err) {
	case "40001", "40P01", "23505": // serialization failure, deadlock, unique violation
		err = p.transact(ctx, do)
	}
	return err
}

func (p *postgresDB) transact(ctx context.Context, do func(context.Context, statements) error) error {
	tx, err := p.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := do(ctx, expanded{tx, postgresWords.Replace}); err != nil {
		_ = tx.Rollback()
		return err
	}
	return tx.Commit()
}

func (p *postgresDB) read() statements { return expanded{p.db, postgresWords.Replace} }

func (p *postgresDB) snapshot(ctx context.Context, do func(statements) error) error {
	return inSnapshot(ctx, p.db, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true}, postgresWords.Replace, do)
}

// recover knows the server's disk as full when it says so.
func (p *postgresDB) recover(err error) error {
	if postgresCode(err) == "53100" {
		return fmt.Errorf("%w: %w", ErrDiskFull, err)
	}
	return err
}

func (p *postgresDB) accepts() error               { return nil }
func (p *postgresDB) intact() error                { return nil } // its server's matter
func (p *postgresDB) idle(context.Context) error   { return nil } // autovacuum does it
func (p *postgresDB) forget(context.Context) error { return nil } // likewise

// risk knows the setting that only the server's administrator can make.
func (p *postgresDB) risk(ctx context.Context) (string, error) {
	var fsync string
	if err := p.db.QueryRowContext(ctx, `SHOW fsync`).Scan(&fsync); err != nil || fsync == "on" {
		return "", err
	}
	return "the server has fsync = off: a power cut loses events that were stored, or the whole database", nil
}

func (p *postgresDB) close() error {
	err := p.db.Close()
	p.pool.Close()
	return err
}

// schemaPostgres keeps the version in a table with one row.
type schemaPostgres struct{}

func (schemaPostgres) name() string { return "postgres" }

// migrationLock is the number of the lock that changes of the tables take.
const migrationLock int64 = 0x656c6576656e // "eleven"

func (schemaPostgres) lock(ctx context.Context, tx statements) error {
	_, err := tx.ExecContext(ctx, `SELECT pg_advisory_xact_lock($1)`, migrationLock)
	return err
}

func (schemaPostgres) version(ctx context.Context, tx statements) (version int, err error) {
	var exists bool
	if err := tx.QueryRowContext(ctx, `SELECT to_regclass('elevenlabs_inbox_version') IS NOT NULL`).Scan(&exists); err != nil || !exists {
		return 0, err
	}
	err = tx.QueryRowContext(ctx, `SELECT version FROM elevenlabs_inbox_version`).Scan(&version)
	return version, err
}

func (schemaPostgres) setVersion(ctx context.Context, tx statements, version int) error {
	_, err := tx.ExecContext(ctx, `UPDATE elevenlabs_inbox_version SET version = $1`, version)
	return err
}

// postgresCode returns the SQLSTATE of an error, or nothing.
func postgresCode(err error) string {
	if its, ok := errors.AsType[*pgconn.PgError](err); ok {
		return its.Code
	}
	return ""
}

// postgresProblem says what is wrong with a database, and what to do. No error has the
// password.
func postgresProblem(location string, err error) error {
	code, shown := postgresCode(err), Shown(location)
	_, network := errors.AsType[net.Error](err)
	connect, connecting := errors.AsType[*pgconn.ConnectError](err)
	if connecting {
		err = connect.Unwrap() // its own text has the user
	}
	switch {
	case strings.HasPrefix(code, "28"):
		return fmt.Errorf("the database %s does not let this user in: correct user and password in the URL, or pg_hba.conf (SQLSTATE %s)", shown, code)
	case code == "3D000":
		return fmt.Errorf("the server of %s has no such database: create it, or correct its name in the URL", shown)
	case code == "42501":
		return fmt.Errorf("the user may not make tables in %s: let it, or let an administrator run what caddy elevenlabs inbox schema postgres prints", shown)
	case network, connecting, strings.HasPrefix(code, "57P"), strings.HasPrefix(code, "53"), strings.HasPrefix(code, "08"):
		return fmt.Errorf("%w: %s: start the server, or correct host and port in the URL: %w", ErrUnreachable, shown, err)
	}
	return fmt.Errorf("opening the database %s: %w", shown, err)
}
