package inbox

import (
	"context"
	"database/sql"
)

// expanded runs statements on a database or in a transaction. It replaces the words in
// braces.
type expanded struct {
	statements
	expand func(string) string
}

func (e expanded) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	return e.statements.ExecContext(ctx, e.expand(query), args...)
}

func (e expanded) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	return e.statements.QueryContext(ctx, e.expand(query), args...)
}

func (e expanded) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	return e.statements.QueryRowContext(ctx, e.expand(query), args...)
}

// inSnapshot runs statements that change nothing in a transaction.
func inSnapshot(ctx context.Context, db *sql.DB, options *sql.TxOptions, expand func(string) string, do func(statements) error) error {
	tx, err := db.BeginTx(ctx, options)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	return do(expanded{tx, expand})
}
