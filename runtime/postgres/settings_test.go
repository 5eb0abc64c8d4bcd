package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/internal/servertest"
	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/glue"
	"github.com/taskctx/taskctx/runtime/postgres"
)

// workout does a bit of everything on an engine, with texts in the given writing.
func workout(t *testing.T, e *postgres.Engine, writing string) {
	t.Helper()
	app := runtime.New(e, runtime.Config{Workers: 4, KeepLogs: 5, Logger: testLog(t), ShutdownGrace: time.Second})
	glue.Register(app, echoTask, func(ctx *runtime.Context, a *echoArgs) (jsonText, error) {
		ctx.Logger().Info("line " + writing)
		switch v := string(a.v); {
		case v == `"fail"`:
			return nil, runtime.Permanent(errors.New("no " + writing))
		case v == `"once"` && ctx.Metadata().Attempt == 0:
			return nil, errors.New("not yet " + writing)
		case v == `"snooze"` && time.Since(ctx.Metadata().EnqueuedAt) < 200*time.Millisecond:
			return nil, runtime.Snooze(300 * time.Millisecond)
		case v == `"wait"`:
			return nil, ctx.Sleep(time.Minute)
		}
		return a.v, nil
	})
	start(t, app)
	defer func() { assert.NoError(t, app.Stop(context.Background())) }()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	began := time.Now()
	enqueue := func(v string, opts ...runtime.Option) *runtime.Handle[jsonText] {
		h, err := echoCall(v, opts...).Enqueue(ctx, app)
		require.NoError(t, err, v)
		return h
	}
	text := `"` + writing + `"`
	handles := map[string]*runtime.Handle[jsonText]{
		"plain": enqueue(text, runtime.WithTag("k", writing)), "delayed": enqueue(text, runtime.WithDelay(500*time.Millisecond)),
		"once": enqueue(`"once"`), "snooze": enqueue(`"snooze"`), "fail": enqueue(`"fail"`), "wait": enqueue(`"wait"`),
		"far": enqueue(`1`, runtime.WithDelay(10*24*time.Hour)), "keyed": enqueue(`1`, runtime.WithKey("key "+writing, time.Hour)),
		"expired": enqueue(`1`, runtime.WithDelay(500*time.Millisecond), runtime.WithDeadline(began.Add(250*time.Millisecond))),
	}
	again := enqueue(`1`, runtime.WithKey("key "+writing, time.Hour))
	assert.Equal(t, handles["keyed"].ID(), again.ID())
	for name, want := range map[string]string{"plain": text, "delayed": text, "once": `"once"`, "snooze": `"snooze"`, "keyed": `1`} {
		got, err := handles[name].Wait(ctx)
		require.NoError(t, err, name)
		assert.Equal(t, want, string(got), name)
	}
	_, err := handles["fail"].Wait(ctx)
	assert.ErrorContains(t, err, "no "+writing)
	_, err = handles["expired"].Wait(ctx)
	assert.Error(t, err)
	require.NoError(t, app.Cancel(ctx, handles["wait"].ID(), "enough "+writing))
	require.NoError(t, app.Cancel(ctx, handles["far"].ID(), ""))
	for _, name := range []string{"wait", "far"} {
		_, err = handles[name].Wait(ctx)
		assert.ErrorIs(t, err, runtime.ErrCancelled, name)
	}
	r, err := app.Lookup(ctx, handles["delayed"].ID())
	require.NoError(t, err)
	assert.WithinDuration(t, began, r.EnqueuedAt, 10*time.Second)
	assert.WithinDuration(t, began.Add(500*time.Millisecond), r.StartedAt, 10*time.Second)
	assert.WithinDuration(t, began.Add(500*time.Millisecond), r.EndedAt, 10*time.Second)
	require.NotEmpty(t, r.Logs)
	assert.Equal(t, "line "+writing, r.Logs[0].Message)
	r, err = app.Lookup(ctx, handles["far"].ID())
	require.NoError(t, err)
	assert.WithinDuration(t, began.Add(10*24*time.Hour), r.Due, 10*time.Second)
	require.NoError(t, app.Retry(ctx, handles["far"].ID()))
	_, err = handles["far"].Wait(ctx)
	require.NoError(t, err)
	var b runtime.Batch
	var last *runtime.Handle[jsonText]
	for range 300 {
		last = runtime.AddTo(&b, echoCall(text))
	}
	require.NoError(t, b.Enqueue(ctx, app))
	_, err = last.Wait(ctx)
	require.NoError(t, err)
	listed, _, err := app.List(ctx, engine.Query{Tag: "k", TagValue: writing})
	require.NoError(t, err)
	assert.Len(t, listed, 1)
	counts, err := app.Counts(ctx)
	require.NoError(t, err)
	assert.Contains(t, counts, engine.Count{Queue: "default", State: engine.StateFailed, Tasks: 2})
	require.NoError(t, app.Delete(ctx, handles["plain"].ID()))
}

// newDatabase makes a database of the test's own on the shared server, and returns its
// URL. {db} in the statements is its name.
func newDatabase(t *testing.T, options string, statements ...string) string {
	t.Helper()
	raw := servertest.Postgres(t)
	name := newSchema(t, raw) + "_db"
	exec := func(text string) error {
		c, err := pgx.Connect(context.Background(), raw)
		if err != nil {
			return err
		}
		defer c.Close(context.Background())
		_, err = c.Exec(context.Background(), strings.ReplaceAll(text, "{db}", name))
		return err
	}
	require.NoError(t, exec("CREATE DATABASE {db} TEMPLATE template0 "+options))
	t.Cleanup(func() { assert.NoError(t, exec("DROP DATABASE {db} WITH (FORCE)")) })
	for _, text := range statements {
		require.NoError(t, exec(text))
	}
	u, err := url.Parse(raw)
	require.NoError(t, err)
	u.Path = "/" + name
	return u.String()
}

const anyWriting, latin = "äß€😀\u2028\u00a0<&>", "äß\u00a0<&>"

// TestDatabases_OfAnySettings: whatever a database has by default, and however pgx
// is to send statements.
//
// Proves: RELIABILITY 34
func TestDatabases_OfAnySettings(t *testing.T) {
	slow(t)
	for name, d := range map[string]struct{ options, set, url, writing string }{
		"repeatable read": {set: "default_transaction_isolation = 'repeatable read'", writing: anyWriting},
		"serializable":    {set: "default_transaction_isolation = 'serializable'", writing: anyWriting},
		"Kathmandu":       {set: "timezone = 'Asia/Kathmandu'", url: "&default_query_exec_mode=simple_protocol", writing: anyWriting},
		"DateStyle":       {set: "datestyle = 'SQL, DMY'", url: "&default_query_exec_mode=exec", writing: anyWriting},
		"German dates":    {set: "datestyle = 'German'", url: "&default_query_exec_mode=simple_protocol", writing: anyWriting},
		"bytea as escape": {set: "bytea_output = 'escape'", url: "&default_query_exec_mode=exec", writing: anyWriting},
		"cache_describe":  {set: "jit = off", url: "&default_query_exec_mode=cache_describe", writing: anyWriting},
		"describe_exec":   {set: "jit = off", url: "&default_query_exec_mode=describe_exec", writing: anyWriting},
		"no cache":        {set: "jit = off", url: "&statement_cache_capacity=0", writing: anyWriting},
		"SQL_ASCII":       {options: "ENCODING 'SQL_ASCII' LOCALE 'C'", set: "jit = off", writing: anyWriting},
		"LATIN1":          {options: "ENCODING 'LATIN1' LOCALE 'C'", set: "jit = off", writing: latin},
		"no seqscan":      {set: "enable_indexscan = off", writing: anyWriting},
	} {
		t.Run(name, func(t *testing.T) {
			raw := newDatabase(t, d.options, "ALTER DATABASE {db} SET "+d.set)
			workout(t, open(t, raw+d.url, postgres.Config{PollInterval: 100 * time.Millisecond}), d.writing)
		})
	}
}

// TestDatabase_LacksCharacters: a text that the database's encoding cannot hold is
// an error from Enqueue; as a result or an error the task fails, and says so.
//
// Proves: RELIABILITY 34
func TestDatabase_LacksCharacters(t *testing.T) {
	raw := newDatabase(t, "ENCODING 'LATIN1' LOCALE 'C'")
	app := runtime.New(open(t, raw, postgres.Config{}), runtime.Config{Logger: testLog(t)})
	glue.Register(app, echoTask, func(ctx *runtime.Context, a *echoArgs) (jsonText, error) {
		if string(a.v) == `"fail"` {
			return nil, runtime.Permanent(errors.New("😀"))
		}
		return jsonText(`"😀"`), nil
	})
	start(t, app)
	defer app.Stop(context.Background())
	_, err := echoCall(`"😀"`).Enqueue(t.Context(), app)
	require.Error(t, err)
	for _, v := range []string{`"fail"`, `"result"`} {
		h, err := echoCall(v).Enqueue(t.Context(), app)
		require.NoError(t, err)
		_, err = h.Wait(t.Context())
		require.ErrorContains(t, err, "cannot be stored", v)
	}
}

// TestPooler_OfEachMode: a pooler of sessions or of transactions serves, however
// pgx is to send statements and from the first start of several processes on; one
// of statements is refused.
//
// Proves: RELIABILITY 34
func TestPooler_OfEachMode(t *testing.T) {
	slow(t)
	t.Parallel()
	for mode, sends := range map[string][]string{
		"session":     {"cache_statement"},
		"transaction": {"cache_statement", "cache_describe", "describe_exec", "exec", "simple_protocol"},
	} {
		pooled := servertest.NewPgBouncer(t, servertest.Postgres(t), mode)
		for _, sent := range sends {
			t.Run(mode+","+sent, func(t *testing.T) {
				direct, err := url.Parse(newDatabase(t, ""))
				require.NoError(t, err)
				through, err := url.Parse(pooled)
				require.NoError(t, err)
				through.Path = direct.Path
				through.RawQuery += "&default_query_exec_mode=" + sent
				cfg := postgres.Config{PollInterval: 100 * time.Millisecond, Logger: quiet}
				opened := make(chan *postgres.Engine)
				for range 3 {
					go func() {
						e, err := postgres.Open(t.Context(), through.String(), cfg)
						assert.NoError(t, err)
						opened <- e
					}()
				}
				for range 3 {
					if e := <-opened; e != nil {
						assert.NoError(t, e.Close())
					}
				}
				log := new(servertest.Lines)
				cfg.Logger = slog.New(slog.NewTextHandler(log, nil))
				workout(t, open(t, through.String(), cfg), anyWriting)
				for _, text := range []string{"prepared statement", "claim tasks and write outcomes", "upkeep"} {
					assert.Zero(t, log.Count(text), text)
				}
			})
		}
	}
	_, err := postgres.Open(t.Context(), servertest.NewPgBouncer(t, servertest.Postgres(t), "statement"), postgres.Config{Logger: quiet})
	require.ErrorIs(t, err, engine.ErrUnsupported)
}

// TestFailover_BetweenTwoServers: the primary becomes a standby of its standby, which
// was promoted; at first the name still leads to it. What was acknowledged runs, and
// nothing needs a restart.
//
// Proves: RELIABILITY 25, 34
func TestFailover_BetweenTwoServers(t *testing.T) {
	slow(t)
	t.Parallel()
	first := servertest.NewPostgres(t)
	second := servertest.NewStandby(t, first)
	proxy := servertest.NewProxy(t, first.URL)
	e := open(t, proxy.URL, postgres.Config{Lease: 2 * time.Second})
	app := runtime.New(e, runtime.Config{Workers: 2, Logger: testLog(t), ShutdownGrace: time.Second})
	glue.Register(app, echoTask, func(_ context.Context, a *echoArgs) (jsonText, error) { return a.v, nil })
	start(t, app)
	defer app.Stop(context.Background())
	var acknowledged []*runtime.Handle[jsonText]
	enqueue := func(opts ...runtime.Option) error {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		h, err := echoCall(`1`, opts...).Enqueue(ctx, app)
		if err == nil {
			acknowledged = append(acknowledged, h)
		}
		return err
	}
	for i := range 20 {
		require.NoError(t, enqueue(runtime.WithDelay(time.Duration(i)*200*time.Millisecond)))
	}
	waitFor := func(what, raw, query string) {
		t.Helper()
		require.Eventually(t, func() bool {
			c, err := pgx.Connect(t.Context(), raw)
			if err != nil {
				return false
			}
			defer c.Close(context.Background())
			var ok bool
			return c.QueryRow(t.Context(), query).Scan(&ok) == nil && ok
		}, 30*time.Second, 50*time.Millisecond, what)
	}
	first.Stop(t) // its standby has all then
	waitFor("promoted", second.URL, "SELECT pg_promote()")
	waitFor("a primary", second.URL, "SELECT NOT pg_is_in_recovery()")
	first.Follow(t, second)
	first.Start(t)
	waitFor("a standby", first.URL, "SELECT pg_is_in_recovery()")
	require.Eventually(t, func() bool { return enqueue() != nil }, time.Minute, 50*time.Millisecond, "the old primary writes")
	proxy.LeadTo(t, second.URL)
	began := time.Now()
	require.Eventually(t, func() bool { return enqueue() == nil }, time.Minute, 20*time.Millisecond)
	t.Logf("the first enqueue %v after the name leads to the new primary", time.Since(began).Round(time.Millisecond))
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	for i, h := range acknowledged {
		_, err := h.Wait(ctx)
		require.NoError(t, err, fmt.Sprint(i))
	}
}
