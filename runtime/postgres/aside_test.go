package postgres_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/internal/servertest"
	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/postgres"
)

// refusals makes a server refuse changes of some jobs, by what their argument says.
const refusals = `
CREATE FUNCTION {s}.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	CASE OLD.args ->> 'v'
	WHEN 'never' THEN RAISE 'this job is not to be changed';
	WHEN 'claim' THEN IF NEW.state = 'running' THEN RAISE 'this job is not to be claimed'; END IF;
	WHEN 'divide' THEN IF NEW.state = 'running' THEN NEW.attempt := 1 / (NEW.priority - 1); END IF;
	WHEN 'complete' THEN IF NEW.state = 'completed' THEN RAISE 'this job is not to be completed'; END IF;
	WHEN 'end' THEN IF OLD.state = 'running' THEN RAISE 'this job is not to be ended'; END IF;
	WHEN 'due' THEN IF OLD.state = 'scheduled' THEN RAISE 'this job is not to become due'; END IF;
	WHEN 'delete' THEN IF TG_OP = 'DELETE' THEN RAISE 'this job is not to be forgotten'; END IF;
	ELSE
	END CASE;
	RETURN CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
END $$;
CREATE TRIGGER refuse BEFORE UPDATE OR DELETE ON {s}.river_job FOR EACH ROW EXECUTE FUNCTION {s}.refuse();
ALTER TABLE {s}.river_job ADD CONSTRAINT refuse CHECK (args ->> 'v' IS DISTINCT FROM 'check' OR state <> 'running') NOT VALID`

// TestRefusedRows_LeaveOthersAlone: where the server refuses to change a job, the
// statement for many is done for all others, whatever it is for. The log tells of
// the job.
//
// Proves: RELIABILITY 24
func TestRefusedRows_LeaveOthersAlone(t *testing.T) {
	slow(t)
	t.Cleanup(postgres.SetCleanEvery(100 * time.Millisecond)) // after the app has stopped
	log := new(servertest.Lines)
	app, pool, schema := newApp(t, runtime.Config{Workers: 8, ParkFor: time.Second, Logger: quiet},
		postgres.Config{Lease: 500 * time.Millisecond, PollInterval: 20 * time.Millisecond, Logger: slog.New(slog.NewTextHandler(log, nil))})
	_, err := pool.Exec(t.Context(), strings.ReplaceAll(refusals, "{s}", schema))
	require.NoError(t, err)
	ids := insertRows(t, pool, schema, map[string]string{
		"never":                    `args => '{"v": "never"}'`,
		"claim":                    `args => '{"v": "claim"}'`,
		"divide":                   `args => '{"v": "divide"}'`,
		"check":                    `args => '{"v": "check"}'`,
		"complete":                 `args => '{"v": "complete"}'`,
		"end":                      `args => '{"v": "end"}'`,
		"due":                      `args => '{"v": "due"}', state => 'scheduled', scheduled_at => now() - interval '1 minute'`,
		"unique":                   `args => '{"v": "due"}', state => 'scheduled', scheduled_at => now() - interval '1 minute', unique_key => 'k'`,
		"unknown":                  `args => '{"v": "never"}', kind => 'app.nobody', metadata => '{"taskctx": {"v": 1}}', scheduled_at => now() - interval '1 minute'`,
		"unknown for long":         `args => '{"v": "never"}', kind => 'app.nobody', metadata => '{"taskctx": {"v": 1, "parked": 1}}', state => 'scheduled', scheduled_at => now() + interval '1 minute'`,
		"of a lost worker":         `args => '{"v": "never"}', state => 'running', attempt => 1, attempted_by => '{taskctx:ghost}'`,
		"beside it":                `state => 'running', attempt => 1, attempted_by => '{taskctx:ghost}'`,
		"forgotten":                `args => '{"v": "delete"}', metadata => '{"taskctx": {"v": 1, "keep": 1}}', state => 'completed', finalized_at => now(), created_at => now() - interval '1 day'`,
		"forgotten beside it":      `metadata => '{"taskctx": {"v": 1, "keep": 1}}', state => 'completed', finalized_at => now() + interval '1 second', created_at => now() - interval '1 day'`,
		"unknown beside them":      `kind => 'app.other', metadata => '{"taskctx": {"v": 1}}', scheduled_at => now() - interval '1 minute'`,
		"due beside it":            `state => 'scheduled', scheduled_at => now() - interval '30 seconds'`,
		"due with a key beside it": `state => 'scheduled', scheduled_at => now() - interval '30 seconds', unique_key => 'l'`,
	})
	start(t, app)
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	var hs []*runtime.Handle[jsonText]
	for i := range 200 {
		h, err := echoCall(`1`, runtime.WithDelay(time.Duration(i)*5*time.Millisecond)).Enqueue(ctx, app)
		require.NoError(t, err)
		hs = append(hs, h)
	}
	for _, h := range hs {
		_, err := h.Wait(ctx)
		require.NoError(t, err)
	}
	for name, want := range map[string]string{
		"never": "available", "claim": "available", "divide": "available", "check": "available", "complete": "discarded",
		"end": "running", "due": "scheduled", "unique": "scheduled", "unknown": "available", "unknown for long": "scheduled",
		"of a lost worker": "running", "beside it": "completed", "forgotten": "completed", "forgotten beside it": "",
		"unknown beside them": "discarded", "due beside it": "completed", "due with a key beside it": "completed",
	} {
		state := ""
		assert.Eventually(t, func() bool {
			if err := pool.QueryRow(ctx, "SELECT coalesce((SELECT state::text FROM "+schema+".river_job WHERE id = $1), '')", ids[name]).
				Scan(&state); err != nil {
				return false
			}
			return state == want
		}, 20*time.Second, 20*time.Millisecond, name)
		assert.Equal(t, want, state, name)
	}
	claim, _, err := app.List(ctx, engine.Query{States: []engine.State{engine.StatePending}})
	require.NoError(t, err)
	assert.True(t, slices.ContainsFunc(claim, func(r *runtime.Record) bool { return strings.Contains(r.Reason, "not to be claimed") }))
	for _, text := range []string{
		"this job is not to be changed", "not to be ended", "not to become due", "not to be forgotten", "division by zero",
	} {
		assert.Positive(t, log.Count(text), text)
	}
}

// TestRefusedInserts_ReachTheirCallers: a task that the server refuses to store is
// its own caller's error, whatever was stored with it; of a batch it is named, and
// nothing of that is stored.
//
// Proves: RELIABILITY 24
func TestRefusedInserts_ReachTheirCallers(t *testing.T) {
	app, pool, schema := newApp(t, runtime.Config{}, postgres.Config{})
	_, err := pool.Exec(t.Context(), strings.ReplaceAll(`
		CREATE FUNCTION {s}.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not wanted here'; END $$;
		CREATE TRIGGER refuse BEFORE INSERT ON {s}.river_job FOR EACH ROW WHEN (NEW.args ->> 'v' = 'bad')
			EXECUTE FUNCTION {s}.refuse()`, "{s}", schema))
	require.NoError(t, err)
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			v := `1`
			if i%40 == 7 {
				v = `"bad"`
			}
			_, err := echoCall(v).Enqueue(t.Context(), app)
			if v == `1` {
				assert.NoError(t, err)
				return
			}
			assert.ErrorContains(t, err, "not wanted here")
		})
	}
	wg.Wait()
	assert.Equal(t, 195, countJobs(t, pool, schema))
	for _, keyed := range []bool{false, true} {
		var b runtime.Batch
		for i := range 100 {
			v := `1`
			if i == 61 {
				v = `"bad"`
			}
			var opts []runtime.Option
			if keyed {
				opts = append(opts, runtime.WithKey(fmt.Sprint("key", i), time.Hour))
			}
			runtime.AddTo(&b, echoCall(v, opts...))
		}
		assert.ErrorContains(t, b.Enqueue(t.Context(), app), "task app.echo (62 of 100): ")
	}
	assert.Equal(t, 195, countJobs(t, pool, schema))
}
