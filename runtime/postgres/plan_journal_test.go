package postgres_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/internal/servertest"
	"github.com/taskctx/taskctx/runtime/postgres"
)

// fewEntries are states of the table of entries in which plans are made that stay when
// it is large.
var fewEntries = map[string]string{
	"new":           "",
	"few of one":    journalEntries("0", "20") + "ANALYZE taskctx_journal",
	"few of each":   journalEntries("n / 30", "300") + "ANALYZE taskctx_journal",
	"emptied":       journalEntries("0", "20000") + "DELETE FROM taskctx_journal; VACUUM (ANALYZE, TRUNCATE false) taskctx_journal",
	"emptied small": journalEntries("0", "20") + "DELETE FROM taskctx_journal; VACUUM ANALYZE taskctx_journal",
}

func journalEntries(job, n string) string {
	return `INSERT INTO taskctx_journal (job_id, kind, name, attempt, child)
		SELECT ` + job + `, 'c', 'entry ' || n, 0, n FROM generate_series(1, ` + n + `) n; `
}

// TestPlans_OfJournals: however few entries there are when a statement is planned, it
// finds those of its jobs by the jobs, and does not read everybody's in their order. It
// would where an index has that order: so no index has, and the second half says that
// this test would see it.
func TestPlans_OfJournals(t *testing.T) {
	for name, prepare := range fewEntries {
		t.Run(name, func(t *testing.T) {
			for statement, conds := range journalPlans(t, prepare) {
				require.NotEmpty(t, conds, statement)
				for _, cond := range conds {
					assert.Contains(t, cond, "job_id", "%s reads the entries of all jobs", statement)
				}
			}
		})
	}
	t.Run("with an index in their order", func(t *testing.T) {
		astray := make(map[string]bool)
		for statement, conds := range journalPlans(t, "CREATE INDEX by_order ON taskctx_journal (seq); "+fewEntries["few of one"]) {
			for _, cond := range conds {
				astray[statement] = astray[statement] || !strings.Contains(cond, "job_id")
			}
		}
		for _, statement := range []string{"unseen", "bereftChildren", "redo"} {
			assert.True(t, astray[statement], "%s is planned well with the index, too", statement)
		}
	})
}

// journalPlans returns by which conditions of an index each statement finds entries, in
// a plan for any arguments.
func journalPlans(t *testing.T, prepare string) map[string][]string {
	t.Helper()
	ctx, url := t.Context(), servertest.Postgres(t)
	cfg := postgres.Config{Schema: newSchema(t, url)}
	e := open(t, url, cfg)
	c, err := pgx.Connect(ctx, url)
	require.NoError(t, err)
	defer c.Close(context.Background())
	for sql := range strings.SplitSeq("SET search_path = "+cfg.Schema+"; ALTER TABLE taskctx_journal SET (autovacuum_enabled = false); "+
		prepare, "; ") {
		_, err := c.Exec(ctx, sql)
		require.NoError(t, err, sql)
	}
	conds := make(map[string][]string)
	for name, s := range postgres.JournalSQL(e) {
		tx, err := c.Begin(ctx)
		require.NoError(t, err)
		_, err = tx.Exec(ctx, postgres.Steer)
		require.NoError(t, err)
		_, err = tx.Exec(ctx, "PREPARE s AS "+s[0])
		require.NoError(t, err, name)
		var text string
		require.NoError(t, tx.QueryRow(ctx, "EXPLAIN (FORMAT JSON) EXECUTE s"+s[1], pgx.QueryExecModeSimpleProtocol).Scan(&text), name)
		var plan []map[string]any
		require.NoError(t, json.Unmarshal([]byte(text), &plan))
		conds[name] = entryScans(plan[0]["Plan"].(map[string]any), nil)
		_, err = tx.Exec(ctx, "DEALLOCATE s")
		require.NoError(t, err)
		require.NoError(t, tx.Rollback(ctx))
	}
	return conds
}

// entryScans adds the condition of each scan of entries in a plan, "" for one that has none.
func entryScans(node map[string]any, conds []string) []string {
	if node["Relation Name"] == "taskctx_journal" && strings.Contains(node["Node Type"].(string), "Scan") {
		cond, _ := node["Index Cond"].(string)
		conds = append(conds, cond)
	}
	parts, _ := node["Plans"].([]any)
	for _, p := range parts {
		conds = entryScans(p.(map[string]any), conds)
	}
	return conds
}
