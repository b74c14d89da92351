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

// fill stores many events, one for each second until now. Most are delivered, a few dead,
// and some values are rare. Only the first 100,000 have attempts and bodies.
func fill(t testing.TB, s *Store, count int) {
	t.Helper()
	id := `lpad(to_hex(n * 2654435761 % 4294967296), 8, '0')`
	if isSQLite(s) {
		id = `printf('%08x', n * 2654435761 % 4294967296)`
	}
	numbers := `WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < $1)`
	alter(t, s, numbers+`
INSERT INTO elevenlabs_inbox_event (inbox, destination, event_id, type, conversation_id, agent_id, request_id, webhook, fields, request, size, stored, state, attempts, armed_at, received_at, next_at, done_at, lease_until)
SELECT CASE WHEN n % ($1 / 5) = 11 THEN 'sales' ELSE 'default' END, '', `+id+` || '`+strings.Repeat("0", 56)+`',
	CASE WHEN n % ($1 / 3) = 5 THEN 'call_initiation_failure' WHEN n % 2 = 0 THEN 'post_call_audio' ELSE 'post_call_transcription' END,
	'conv_' || (n / 3), CASE WHEN n % ($1 / 4) = 9 THEN 'agent_rare' ELSE 'agent_' || (n % 3) END,
	CASE WHEN n % 10 = 3 THEN 'req_' || n ELSE '' END, CASE WHEN n % ($1 / 4) = 10 THEN 'rare' ELSE 'prod' END, '{}', '`+strings.Repeat("x", 500)+`', 1, n % 2,
	CASE WHEN n % ($1 / 3) = 21 THEN 'dead' WHEN n % 100 = 1 THEN 'waiting' WHEN n % 500 = 2 THEN 'discarded' WHEN n % ($1 / 3) = 33 THEN 'delivering' ELSE 'delivered' END, 1,
	{now} - ($1 - n) * 1000, {now} - ($1 - n) * 1000, {now} + (n - 200) * 1000, {now} - ($1 - n) * 1000 + n % 7000, {now} + 30000
FROM numbers`, count)
	alter(t, s, `INSERT INTO elevenlabs_inbox_chunk (seq, n, data) SELECT seq, 0, $1 FROM elevenlabs_inbox_event WHERE stored = 1 AND seq <= $2`, []byte{1}, manyEvents)
	alter(t, s, `INSERT INTO elevenlabs_inbox_attempt (seq, n, ended_at, milliseconds, status, reason, answer)
SELECT seq, 1, 0, 0, 200, '', '' FROM elevenlabs_inbox_event WHERE seq <= $1`, manyEvents)
	if !isSQLite(s) { // as autovacuum does
		_, err := s.read().ExecContext(t.Context(), `VACUUM ANALYZE elevenlabs_inbox_event, elevenlabs_inbox_chunk, elevenlabs_inbox_attempt`)
		require.NoError(t, err)
	}
}

// selections are the questions that an operator asks of an inbox that fill made.
var selections = []struct {
	name string
	Selection
	want int // events on a page of 50, if there are a million
}{
	{"all", Selection{}, 50},
	{"an inbox", Selection{Inbox: "default"}, 50},
	{"a rare inbox", Selection{Inbox: "sales"}, 5},
	{"dead", Selection{State: Dead}, 3},
	{"waiting", Selection{State: Waiting}, 50},
	{"delivered", Selection{State: Delivered}, 50},
	{"a common type", Selection{Types: []string{"post_call_audio"}}, 50},
	{"a rare type", Selection{Types: []string{"call_initiation_failure"}}, 3},
	{"types", Selection{Types: []string{"call_initiation_failure", "post_call_audio", "none"}}, 50},
	{"a common agent", Selection{AgentID: "agent_1"}, 50},
	{"a rare agent", Selection{AgentID: "agent_rare"}, 4},
	{"an agent and a state", Selection{AgentID: "agent_1", State: Dead}, -1},
	{"an agent and a type", Selection{AgentID: "agent_1", Types: []string{"post_call_audio"}}, 50},
	{"an agent and a rare type", Selection{AgentID: "agent_1", Types: []string{"call_initiation_failure"}}, -1},
	{"a conversation", Selection{ConversationID: "conv_2000"}, 3},
	{"a conversation and all else", Selection{Inbox: "default", ConversationID: "conv_2000", State: Delivered, Types: []string{"post_call_audio"}, Since: time.UnixMilli(1)}, -1},
	{"one digit of an id", Selection{EventID: "5"}, 50},
	{"two digits of an id", Selection{EventID: "5b"}, 50},
	{"three digits of an id", Selection{EventID: "5b1"}, 50},
	{"eight digits of an id", Selection{EventID: "9e3779b1"}, 1},
	{"a webhook", Selection{Webhook: "prod"}, 50},
	{"a rare webhook", Selection{Webhook: "rare"}, 4},
	{"what a rare webhook delivered", Selection{Webhook: "rare", State: Delivered}, -1},
	{"a webhook and a state", Selection{Inbox: "default", Webhook: "prod", State: Dead}, 3},
	{"a request", Selection{RequestID: "req_1003"}, 1},
	{"a search for an agent", Selection{Search: "agent_1"}, 50},
	{"a search for a request", Selection{Search: "req_1003"}, 1},
	{"a search for an id", Selection{Search: "9e3779b1"}, 1},
	{"a search for nothing", Selection{Search: "none"}, 0},
	{"the last hour", Selection{Since: ago(time.Hour)}, 50},
	{"until long ago", Selection{Until: ago(11 * 24 * time.Hour)}, 50},
	{"a short span long ago", Selection{Since: ago(11*24*time.Hour + time.Minute), Until: ago(11 * 24 * time.Hour)}, 50},
	{"a state and a type", Selection{State: Waiting, Types: []string{"post_call_transcription"}}, 50},
	{"a state and a type that have nothing in common", Selection{State: Waiting, Types: []string{"post_call_audio"}}, 0},
	{"a state in the last hour", Selection{State: Waiting, Since: ago(time.Hour)}, 36},
	{"a page deep in the list", Selection{Before: 10_000}, 50},
	{"a state, deep in the list", Selection{State: Delivered, Before: 10_000}, 50},
	{"numbers", Selection{Events: []int64{1, 500, 1000}}, 3},
}

func ago(d time.Duration) time.Time { return time.Now().Add(-d) }

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

func (e *explained) snapshot(ctx context.Context, do func(statements) error) error {
	return e.dialect.snapshot(ctx, func(tx statements) error { return do(explainer{tx, e}) })
}

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

// readsAll finds the plan of a statement that reads a whole table or index.
var readsAll = regexp.MustCompile(`Seq Scan on elevenlabs|SCAN elevenlabs`)

// few finds the plans that read all of an index that has few events.
var few = regexp.MustCompile(`SCAN elevenlabs_inbox_event USING INDEX elevenlabs_inbox_receiving`)

// counting is the statement that reads all of the index elevenlabs_inbox_list.
var counting = regexp.MustCompile(`SELECT inbox, destination, state, COUNT`)

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
		due, err := s.due(ctx, testQueue)
		require.NoError(t, err)
		assert.True(t, due)
		claims, err := s.claim(ctx, testQueue, 2)
		require.NoError(t, err)
		require.Len(t, claims, 2)
		renewed(t, s, claims...)
		settle(t, s, claims[0], refused, patience)
		settle(t, s, claims[1], taken, patience)
		require.NoError(t, s.release(ctx, claims[0]))
		seq := store(t, s, event("small"), content(1))
		store(t, s, event("large"), content(chunkSize+1))
		_, err = s.Redeliver(ctx, Selection{Events: []int64{seq}}, 0)
		require.NoError(t, err)
		_, err = s.Redeliver(ctx, Selection{ConversationID: "conv_77"}, 0)
		require.NoError(t, err)
		fan(t, s, "small", content(1), "crm", "archive")
		fan(t, s, "large", content(chunkSize+1), "crm", "archive")
		_, err = s.DeliverTo(ctx, Selection{ConversationID: "conv_77"}, "archive", []string{"crm", "archive"}, 0)
		require.NoError(t, err)
		_, err = s.giveUpOrphans(ctx, testInbox, []string{"crm", "archive"}, time.Minute)
		require.NoError(t, err)
		_, err = s.Forget(ctx, Selection{ConversationID: "conv_78"}, 0)
		require.NoError(t, err)
		_, err = s.Forget(ctx, Selection{Events: []int64{seq}}, 0)
		require.NoError(t, err)
		get(t, s, seq-1)
		_, err = s.Attempts(ctx, claims[0].Seq)
		require.NoError(t, err)
		for _, selection := range selections {
			_, err = s.List(ctx, selection.Selection, 50)
			require.NoError(t, err)
		}
		_, err = s.Follow(Selection{}, int64(count)-10).Next(ctx)
		require.NoError(t, err)
		require.NoError(t, s.Check(ctx))
		age := func(events int) time.Duration { return time.Duration(count-events) * time.Second }
		sweep(t, s, Retention{Delivered: age(20), Remember: age(40), Dead: age(60), Limit: s.usedBy(testInbox).get() * 5 / 4})

		assert.Greater(t, len(e.plans), 50)
		for query, plan := range e.plans {
			if isSQLite(s) && strings.HasPrefix(query, "PRAGMA") || counting.MatchString(query) {
				continue
			}
			assert.False(t, readsAll.MatchString(few.ReplaceAllString(plan, "")), "%s\n\n%s", query, plan)
		}
	})
}
