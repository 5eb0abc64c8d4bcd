//go:build unix

package postgres_test

import (
	"context"
	"net/url"
	"testing"
	"time"

	"github.com/taskctx/taskctx/internal/servertest"
	"github.com/taskctx/taskctx/internal/servertest/process"
	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/glue"
	"github.com/taskctx/taskctx/runtime/postgres"
)

// TestServe_ServerClockSteps steps the server's clock by an hour, both ways, while a
// worker runs a task and another serves too: the task stays with its worker,
// due ones run, and a later one runs when the server's clock says so, which
// shows that it is this clock that the engine reads.
//
// The clock is a function now of the test's own, which stands before the
// server's in the search path of the workers' sessions.
//
// Proves: RELIABILITY 11
func TestServe_ServerClockSteps(t *testing.T) {
	slow(t)
	server := servertest.Postgres(t)
	c := newCrew(t, server) // makes the tables, by the right clock
	clock := newSchema(t, server)
	c.exec("CREATE SCHEMA " + clock)
	c.exec("CREATE TABLE " + clock + ".step AS SELECT interval '0' AS by")
	c.exec("CREATE FUNCTION " + clock + ".now() RETURNS timestamptz STABLE LANGUAGE sql AS " +
		"'SELECT pg_catalog.now() + by FROM " + clock + ".step'")
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set("search_path", clock+",pg_catalog")
	u.RawQuery = q.Encode()
	ctx := t.Context()
	hold := make(chan struct{})
	held := make(chan int, 10)
	const lease = time.Second // that a busy machine keeps
	serve := func() *runtime.App {
		e := open(t, u.String(), postgres.Config{Schema: c.schema, Lease: lease, Migrations: postgres.MigrationsCheck})
		app := runtime.New(e, runtime.Config{Workers: 2, Logger: testLog(t)})
		glue.Register(app, process.Step, func(_ *runtime.Context, a *process.StepArgs) (int, error) {
			if a.N == 0 {
				held <- a.N
				<-hold
			}
			return a.N, nil
		})
		if err := app.Start(ctx); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := app.Stop(context.Background()); err != nil {
				t.Error(err)
			}
		})
		return app
	}
	app := serve()
	t.Cleanup(func() { // before the stop, if the test fails
		select {
		case <-hold:
		default:
			close(hold)
		}
	})
	long, err := process.StepCall(0, 0).Enqueue(ctx, app)
	if err != nil {
		t.Fatal(err)
	}
	<-held
	serve()
	step := func(by string) { c.exec("UPDATE " + clock + ".step SET by = '" + by + "'") }
	for n, by := range []string{"1 hour", "-1 hour", "0"} {
		step(by)
		for end := time.Now().Add(2 * lease); time.Now().Before(end); { // due ones run, whatever the clock was before
			h, err := process.StepCall(n+1, 0).Enqueue(ctx, app)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := h.Wait(ctx); err != nil {
				t.Fatal(err)
			}
			time.Sleep(lease / 10)
		}
		record, err := app.Lookup(ctx, long.ID())
		if err != nil || record.State != engine.StateRunning || record.Attempt != 0 {
			t.Fatalf("after a step to %s: %+v, %v", by, record, err)
		}
	}
	later, err := process.StepCall(9, 0, runtime.WithDelay(30*time.Minute)).Enqueue(ctx, app)
	if err != nil {
		t.Fatal(err)
	}
	step("1 hour")
	if _, err := later.Wait(ctx); err != nil {
		t.Fatal(err)
	}
	close(hold)
	if _, err := long.Wait(ctx); err != nil {
		t.Fatal(err)
	}
	if len(held) > 0 {
		t.Error("the long task ran twice")
	}
}
