//go:build unix

package sqlite_test

import (
	"path/filepath"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/sqlite"
)

// listed returns the ids that all pages of a listing have, and the number of pages.
func listed(t *testing.T, e *sqlite.Engine, q engine.Query) (ids []uuid.UUID, pages int) {
	t.Helper()
	for {
		entries, next, err := e.List(t.Context(), q)
		require.NoError(t, err)
		for _, en := range entries {
			ids = append(ids, en.ID)
		}
		pages++
		if q.Cursor = next; next == "" {
			return ids, pages
		}
	}
}

// TestList_PageLooksAtSoManyTasks: what one page costs does not grow with the
// tasks, and all pages find everything.
func TestList_PageLooksAtSoManyTasks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tasks.db")
	e := open(t, path)
	ms := make([]*engine.Message, 23_000)
	for i := range ms {
		ms[i] = message("file.task")
	}
	rare := ms[21_500]
	rare.Name, rare.Meta.Tags = "file.rare", map[string]string{"a": "b"}
	insertAll(t, e, ms)
	steps := countSteps(t)
	for name, q := range map[string]engine.Query{
		"name": {Name: "file.rare"}, "tag": {Tag: "a"}, "tag and value": {Tag: "a", TagValue: "b", Brief: true},
		"name and state": {Name: "file.rare", States: []engine.State{engine.StatePending}},
	} {
		ids, pages := listed(t, e, q)
		assert.Equal(t, []uuid.UUID{rare.Meta.ID}, ids, name)
		assert.Equal(t, 5, pages, name)
	}
	// States that indexes have take no page for what is between.
	require.NoError(t, e.Cancel(t.Context(), rare.Meta.ID, ""))
	require.NoError(t, e.Cancel(t.Context(), ms[7].Meta.ID, ""))
	bad := []engine.State{engine.StateFailed, engine.StateCancelled, engine.StateRunning, engine.StateWaiting}
	for name, c := range map[string]struct {
		q    engine.Query
		want []uuid.UUID
	}{
		"oldest":  {engine.Query{States: bad}, []uuid.UUID{ms[7].Meta.ID, rare.Meta.ID}},
		"newest":  {engine.Query{States: bad, Newest: true, Brief: true}, []uuid.UUID{rare.Meta.ID, ms[7].Meta.ID}},
		"further": {engine.Query{States: bad, Name: "file.rare"}, []uuid.UUID{rare.Meta.ID}},
		"none":    {engine.Query{States: bad[:1]}, nil},
	} {
		ids, pages := listed(t, e, c.q)
		assert.Equal(t, c.want, ids, name)
		assert.Equal(t, 1, pages, name)
	}
	for name, code := range map[string]string{"ready": "3, 1", "parked": "5, 1", "later": "7, 1", "limited": "13, 1"} {
		change(t, path, "UPDATE tasks SET (state, attempt) = ("+code+") WHERE seq = (SELECT max(seq) - 1 FROM tasks)")
		ids, pages := listed(t, e, engine.Query{States: []engine.State{engine.StateRetrying}})
		assert.Len(t, ids, 1, name)
		assert.Equal(t, 1, pages, name)
	}
	ids, pages := listed(t, e, engine.Query{States: bad, Limit: 1})
	assert.Equal(t, []uuid.UUID{ms[7].Meta.ID, rare.Meta.ID}, ids)
	assert.Equal(t, 2, pages)
	assert.Less(t, steps.Load(), int64(100), "rows that were read into this process")
}

// TestList_RowsOfAnyShape: a row that cannot be read as a whole is listed, and so
// is what comes after it; in SQLite's view too.
func TestList_RowsOfAnyShape(t *testing.T) {
	path := madeFile(t, 1)
	rows := []string{
		`INSERT INTO tasks(name, args, extra) VALUES ('row', '{', '{')`,
		`INSERT INTO tasks(name, args, extra) VALUES ('row', x'00ff', x'00ff')`,
		`INSERT INTO tasks(name, extra) VALUES ('row', '{"tags":[1],"key_hold":900}')`,
		`INSERT INTO tasks(seq, name, due, enqueued_at) VALUES (-7, 'row', 'soon', 9e300)`,
		`INSERT INTO tasks(name, state, attempt, keep, keep_failed) VALUES ('row', 9, -1, 'long', x'00')`,
		`INSERT INTO tasks(name, state, ended_at, keep) VALUES ('row', 8, 9223372036854775807, 9223372036854775807)`,
		`INSERT INTO tasks(name, state) VALUES ('row', 'pending')`,
		`INSERT INTO tasks(name, state) VALUES ('row', 99)`,
		`INSERT INTO tasks(name, id) VALUES ('row', 'text')`,
	}
	for _, r := range rows {
		change(t, path, r)
	}
	e := open(t, path)
	ids, _ := listed(t, e, engine.Query{Name: "row"})
	assert.Len(t, ids, len(rows))
	ids, _ = listed(t, e, engine.Query{Name: "row", Limit: 1})
	assert.Len(t, ids, len(rows))
	ids, _ = listed(t, e, engine.Query{Tag: "a"})
	assert.Empty(t, ids)
	_, err := e.Counts(t.Context())
	assert.NoError(t, err)
	assert.Equal(t, len(rows), query[int](t, path, "SELECT count(*) FROM task WHERE name = 'row' AND (tags IS NULL OR tags <> '')"))
}
