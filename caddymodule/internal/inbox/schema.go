package inbox

import (
	"context"
	"embed"
	"fmt"
	"strings"
)

//go:embed schema
var schemas embed.FS

// Version is the version of the tables that this program needs.
const Version = 1

// Schema returns the statements that make the tables of a version, for "sqlite" or
// "postgres".
func Schema(dialect string, version int) (string, error) {
	text, err := schemas.ReadFile(fmt.Sprintf("schema/%s/%d.sql", dialect, version))
	if err != nil {
		return "", fmt.Errorf("there are no tables for %q: choose sqlite or postgres", dialect)
	}
	return string(text), nil
}

// versioned is how a database keeps the version of its tables.
type versioned interface {
	name() string
	// lock keeps other processes from changing the tables until the transaction ends.
	lock(ctx context.Context, tx statements) error
	// version returns 0 if there are no tables.
	version(ctx context.Context, tx statements) (int, error)
	setVersion(ctx context.Context, tx statements, version int) error
}

// migrate brings the tables to Version, all steps in one transaction.
func migrate(ctx context.Context, write func(context.Context, int64, func(context.Context, statements) error) error, v versioned) error {
	return write(ctx, 0, func(ctx context.Context, tx statements) error {
		if err := v.lock(ctx, tx); err != nil {
			return err
		}
		version, err := v.version(ctx, tx)
		switch {
		case err != nil:
			return fmt.Errorf("reading the version of the tables: %w", err)
		case version > Version:
			return fmt.Errorf("its tables have version %d, and this program knows only up to %d: run the newer program, or name another database", version, Version)
		case version == Version:
			return nil
		}
		for next := version + 1; next <= Version; next++ {
			text, err := Schema(v.name(), next)
			for statement := range strings.SplitSeq(strings.TrimSpace(text), ";\n") {
				if err == nil {
					_, err = tx.ExecContext(ctx, statement)
				}
			}
			if err != nil {
				return fmt.Errorf("making tables of version %d: %w", next, err)
			}
		}
		return v.setVersion(ctx, tx, Version)
	})
}

// schemaSQLite keeps the version where SQLite has a place for it.
type schemaSQLite struct{}

func (schemaSQLite) name() string { return "sqlite" }

func (schemaSQLite) lock(context.Context, statements) error { return nil } // nobody else has the file

func (schemaSQLite) version(ctx context.Context, tx statements) (version int, err error) {
	err = tx.QueryRowContext(ctx, `PRAGMA user_version`).Scan(&version)
	return version, err
}

func (schemaSQLite) setVersion(ctx context.Context, tx statements, version int) error {
	_, err := tx.ExecContext(ctx, fmt.Sprintf(`PRAGMA user_version = %d`, version))
	return err
}
