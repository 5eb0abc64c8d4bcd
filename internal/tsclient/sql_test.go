package tsclient_test

import (
	"context"
	"log/slog"
	"math"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/internal/servertest"
	"github.com/taskctx/taskctx/internal/tsclient"
	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/postgres"
)

const sqlSchema = "sql_functions"

const orderJSON = `{"id": "6ba7b810-9dad-11d1-80b4-00c04fd430c8", "items": [{"currency": "EUR", "cents": 9223372036854775807}],
	"by": null, "note": "it''s", "photo": "AP+A", "seq": "18446744073709551615", "grid": [1, 255], "total": null, "tree": [[]]}`

// charge calls the function that taskgen made, with an order, an interval and a
// time.
func charge(order, after, at string) string {
	return `SELECT ` + sqlSchema + `.enqueue_tsclient_charge('` + order + `', '4242', ` + after + `, ` + at +
		`, 7, 2147483647, 0.1, '{"any": [1, null]}', '["a", "b"]')`
}

// TestSQL: the functions that taskgen makes for Postgres enqueue tasks from SQL and
// from a trigger, within the caller's transaction, and refuse what a worker would
// not read.
//
// Proves: FEATURES 116
func TestSQL(t *testing.T) {
	ctx := t.Context()
	url := servertest.Postgres(t)
	conn, err := pgx.Connect(ctx, url)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, conn.Close(context.Background())) })
	eng, err := postgres.Open(ctx, url, postgres.Config{Schema: sqlSchema})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, eng.Close()) })
	functions, err := exec.CommandContext(ctx, "go", "tool", "taskgen", "schema", "-format", "sql", "-dbschema", sqlSchema).Output()
	require.NoError(t, err)
	for range 2 { // again, after a change
		_, err = conn.Exec(ctx, string(functions))
		require.NoError(t, err)
	}
	got := make(chan tsclient.Charged, 8)
	app := runtime.New(eng, runtime.Config{Logger: slog.New(slog.DiscardHandler)})
	tsclient.RegisterTasks(app)
	runtime.Supply[chan<- tsclient.Charged](app, got)
	require.NoError(t, app.Start(ctx))
	t.Cleanup(func() { assert.NoError(t, app.Stop(context.Background())) })

	refused := map[string]string{
		"a key too many":  charge(strings.Replace(orderJSON, `"by"`, `"colour": 1, "by"`, 1), "'1.5 s'", "now()"),
		"a key is gone":   charge(strings.Replace(orderJSON, `"by": null,`, ``, 1), "'1.5 s'", "now()"),
		"deep within":     charge(strings.Replace(orderJSON, `9223372036854775807`, `9223372036854775808`, 1), "'1.5 s'", "now()"),
		"a long list":     charge(strings.Replace(orderJSON, `[1, 255]`, `[1, 255, 2]`, 1), "'1.5 s'", "now()"),
		"no whole number": charge(strings.Replace(orderJSON, `[1, 255]`, `[1, 2.5]`, 1), "'1.5 s'", "now()"),
		"no order":        charge(`null`, "'1.5 s'", "now()"),
		"a month":         charge(orderJSON, "'1 month'", "now()"),
		"no time":         charge(orderJSON, "'1.5 s'", "NULL"),
		"for ever":        charge(orderJSON, "'1.5 s'", "'infinity'"),
		"before Christ":   charge(orderJSON, "'1.5 s'", "'0044-03-15 12:00:00 BC'"),
	}
	for name, query := range refused {
		_, err = conn.Exec(ctx, query)
		require.ErrorContains(t, err, "the value of", name)
		assert.NotContains(t, err.Error(), "EUR", name)
	}

	// A transaction that rolls back enqueues nothing.
	tx, err := conn.Begin(ctx)
	require.NoError(t, err)
	_, err = tx.Exec(ctx, charge(orderJSON, "'1.5 s'", "now()"))
	require.NoError(t, err)
	require.NoError(t, tx.Rollback(ctx))

	// A trigger enqueues for each row.
	_, err = conn.Exec(ctx, `
		CREATE TABLE `+sqlSchema+`.orders (doc jsonb);
		CREATE FUNCTION `+sqlSchema+`.ordered() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			PERFORM `+sqlSchema+`.enqueue_tsclient_charge(NEW.doc, '4242', '1.5 s', '2024-02-29T23:59:58.123456+01:00',
				7, 2147483647, 0.1, '{"any": [1, null]}', '["a", "b"]');
			RETURN NEW;
		END $$;
		CREATE TRIGGER ordered AFTER INSERT ON `+sqlSchema+`.orders FOR EACH ROW EXECUTE FUNCTION `+sqlSchema+`.ordered();
		INSERT INTO `+sqlSchema+`.orders VALUES ('`+orderJSON+`')`)
	require.NoError(t, err)
	select {
	case c := <-got:
		note := "it's"
		assert.Equal(t, tsclient.Order{
			ID: uuid.MustParse("6ba7b810-9dad-11d1-80b4-00c04fd430c8"), Items: []tsclient.Money{{Currency: "EUR", Cents: math.MaxInt64}},
			Note: &note, Photo: []byte{0, 255, 128}, Seq: math.MaxUint64, Grid: [2]uint8{1, 255}, Tree: tsclient.Tree{{}},
		}, c.Order)
		at, err := time.Parse(time.RFC3339Nano, "2024-02-29T23:59:58.123456+01:00")
		require.NoError(t, err)
		assert.True(t, at.Equal(c.At), c.At)
		assert.Equal(t, 1500*time.Millisecond, c.After)
		assert.Equal(t, []any{"4242", 0.1, []string{"a", "b"}}, []any{c.Card, c.Ratio, c.Places})
		assert.JSONEq(t, `{"any": [1, null]}`, string(c.Free))
	case <-time.After(time.Minute):
		t.Fatal("the task did not run")
	}

	// A parameter that is optional, and a task for later.
	_, err = conn.Exec(ctx, `SELECT `+sqlSchema+`.enqueue_tsclient_tidy_up(due => now() + interval '1 hour')`)
	require.NoError(t, err)
	list, _, err := app.List(ctx, engine.Query{Name: tsclient.TidyTask})
	require.NoError(t, err)
	require.Len(t, list, 1)
	assert.Equal(t, engine.StateScheduled, list[0].State)
	list, _, err = app.List(ctx, engine.Query{Name: tsclient.ChargeTask})
	require.NoError(t, err)
	require.Len(t, list, 1, "what was rolled back or refused is not there")
	assert.NotContains(t, string(list[0].Args), "4242")
}
