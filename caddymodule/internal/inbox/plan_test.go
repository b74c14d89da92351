package inbox

import (
	"context"
	"database/sql"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// manyEvents is so many that a statement that reads them all would be felt.
const manyEvents = 100_000

// fill stores many events, a third of which is done since long.
func fill(t testing.TB, s *Store, count int) {
	t.Helper()
	numbers := `WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < $1)`
	alter(t, s, numbers+`
INSERT INTO elevenlabs_inbox_event (inbox, event_id, type, conversation_id, agent_id, fields, request, size, stored, state, armed_at, received_at, next_at, done_at, lease_until)
SELECT 'default', 'id' || n, 'post_call_transcription', 'conv_' || n / 3, 'agent_1', '{}', '`+strings.Repeat("x", 500)+`', 1, n % 2,
	CASE WHEN n % 1000 = 1 THEN 'delivering' WHEN n % 20 = 2 THEN 'dead' WHEN n % 3 = 0 THEN 'waiting' ELSE 'delivered' END,
	{now} - n, {now} - n, {now} + n * 1000 - 10000, {now} - n * 1000, {now} + 30000
FROM numbers`, count)
	alter(t, s, `INSERT INTO elevenlabs_inbox_chunk (seq, n, data) SELECT seq, 0, $1 FROM elevenlabs_inbox_event WHERE stored = 1`, []byte{1})
	alter(t, s, `INSERT INTO elevenlabs_inbox_attempt (seq, n, ended_at, milliseconds, status, reason, answer)
SELECT seq, 0, 0, 0, 200, '', '' FROM elevenlabs_inbox_event`)
	if !isSQLite(s) { // as autovacuum does
		_, err := s.read().ExecContext(t.Context(), `VACUUM ANALYZE elevenlabs_inbox_event, elevenlabs_inbox_chunk, elevenlabs_inbox_attempt`)
		require.NoError(t, err)
	}
}

// explained is a database that asks for the plan of each statement before it runs.
type explained struct {
	dialect
	explain string

	mu    sync.Mutex
	plans map[string]string // by statement
}

func (e *explained) write(ctx context.Context, size int64, do func(context.Context, statements) error) error {
	return e.dialect.write(ctx, size, func(ctx context.Context, tx statements) error { return do(ctx, explainer{tx, e}) })
}

func (e *explained) read() statements { return explainer{e.dialect.read(), e} }

type explainer struct {
	statements
	to *explained
}

func (e explainer) plan(ctx context.Context, query string, args []any) {
	rows, err := e.statements.QueryContext(ctx, e.to.explain+query, args...)
	if err != nil {
		return // the statement itself fails likewise
	}
	defer rows.Close()
	columns, _ := rows.Columns()
	var plan []string
	for rows.Next() {
		var skipped any
		var line string
		values := make([]any, len(columns))
		for i := range values {
			values[i] = &skipped
		}
		values[len(values)-1] = &line
		if rows.Scan(values...) == nil {
			plan = append(plan, line)
		}
	}
	e.to.mu.Lock()
	defer e.to.mu.Unlock()
	e.to.plans[query] = strings.Join(plan, "\n")
}

func (e explainer) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	e.plan(ctx, query, args)
	return e.statements.ExecContext(ctx, query, args...)
}

func (e explainer) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	e.plan(ctx, query, args)
	return e.statements.QueryContext(ctx, query, args...)
}

func (e explainer) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	e.plan(ctx, query, args)
	return e.statements.QueryRowContext(ctx, query, args...)
}

// readsAll finds the plan of a statement that reads a whole table.
var readsAll = regexp.MustCompile(`(?m)Seq Scan on elevenlabs|SCAN elevenlabs\w+$`)

func TestNoStatementReadsAWholeTable(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		count := manyEvents
		if isSQLite(s) {
			count = 1000 // its plans do not depend on what is in the tables
		}
		fill(t, s, count)
		e := &explained{dialect: s.dialect, explain: "EXPLAIN (COSTS OFF) ", plans: map[string]string{}}
		if isSQLite(s) {
			e.explain = "EXPLAIN QUERY PLAN "
		}
		s.dialect = e
		ctx := t.Context()
		due, err := s.due(ctx, testInbox)
		require.NoError(t, err)
		assert.True(t, due)
		claims, err := s.claim(ctx, testInbox, 2)
		require.NoError(t, err)
		require.Len(t, claims, 2)
		renewed(t, s, claims...)
		settle(t, s, claims[0], refused, patience)
		settle(t, s, claims[1], taken, patience)
		require.NoError(t, s.release(ctx, claims[0]))
		seq := store(t, s, event("small"), content(1))
		store(t, s, event("large"), content(chunkSize+1))
		_, err = s.Redeliver(ctx, Selection{Events: []int64{seq}})
		require.NoError(t, err)
		_, err = s.Redeliver(ctx, Selection{ConversationID: "conv_77"})
		require.NoError(t, err)
		_, err = s.Forget(ctx, Selection{ConversationID: "conv_78"})
		require.NoError(t, err)
		_, err = s.Forget(ctx, Selection{Events: []int64{seq}})
		require.NoError(t, err)
		get(t, s, seq-1)
		_, err = s.Attempts(ctx, claims[0].Seq)
		require.NoError(t, err)
		_, err = s.List(ctx, Selection{}, 50)
		require.NoError(t, err)
		require.NoError(t, s.Check(ctx))
		ago := func(events int) time.Duration { return time.Duration(count-events) * time.Second }
		sweep(t, s, Retention{Delivered: ago(20), Remember: ago(40), Dead: ago(60), Limit: s.usedBy(testInbox).get() * 5 / 4})

		assert.Greater(t, len(e.plans), 25)
		for query, plan := range e.plans {
			if isSQLite(s) && strings.HasPrefix(query, "PRAGMA") {
				continue
			}
			assert.False(t, readsAll.MatchString(plan), "%s\n\n%s", query, plan)
		}
	})
}
