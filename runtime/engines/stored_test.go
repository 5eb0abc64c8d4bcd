package engines_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/internal/servertest"
	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/engines"
	"github.com/taskctx/taskctx/runtime/glue"
	"github.com/taskctx/taskctx/runtime/local"
	"github.com/taskctx/taskctx/runtime/wire"
)

// store writes what TestEngines_RunTasksStoredBefore runs: it was set once, on the commit of
// 2026-11-29 before the contract of engines became a package of its own.
var store = flag.Bool("store", false, "write testdata/stored-*: what this version stores")

// oldArgs are the arguments of a task that was stored by an older version.
type oldArgs struct {
	name   string
	count  int64
	secret string
	at     time.Time
	tags   map[string][]int
}

var oldTask = glue.NewTask[oldArgs, string](wire.Spec{
	Name: "old.Task", Func: "Task", Retries: 3, Delay: time.Millisecond, Priority: 0,
	Tags: map[string]string{"team": "press"},
	Params: []wire.Param{
		{Name: "name", Sig: "string"}, {Name: "count", Sig: "int64"}, {Name: "secret", Sig: "string", Redact: true},
		{Name: "at", Sig: "time.Time"}, {Name: "tags", Sig: "map[string][]int"},
	},
}, (*oldArgs).fields)

func (a *oldArgs) fields(f *wire.Fields) {
	f.String("name", &a.name)
	f.Int64("count", &a.count)
	f.String("secret", &a.secret)
	f.Time("at", &a.at)
	f.JSON("tags", &a.tags)
}

func oldCall(name string, opts ...runtime.Option) runtime.Call[string] {
	return oldTask.Call(argsOf(name).fields, opts)
}

func argsOf(name string) *oldArgs {
	return &oldArgs{
		name, 1 << 53, "canary-🔑", time.Date(2026, 11, 29, 12, 0, 0, 5000, time.FixedZone("", 3600)),
		map[string][]int{"a<b": {1, 2}, "": nil},
	}
}

var oldLocal = local.New[string]("old-request", local.Travels())

// TestEngines_RunTasksStoredBefore: tasks that an older version stored run, with all that came
// with them, and what had ended can be looked up.
func TestEngines_RunTasksStoredBefore(t *testing.T) {
	for name, s := range map[string]oldStore{"sqlite": sqliteStore{}, "postgres": postgresStore{}, "redis": redisStore{}} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join("testdata", "stored-"+name+".gz")
			if *store {
				writeStored(t, s, file)
				return
			}
			at := s.url(t)
			s.restore(t, at, unzip(t, file))
			runStored(t, at)
		})
	}
}

func runStored(t *testing.T, at string) {
	e, err := engines.Open(t.Context(), at)
	require.NoError(t, err)
	defer e.Close()
	var mu sync.Mutex
	var ran []string // guarded by mu
	all := make(chan struct{}, 16)
	app := runtime.New(e, runtime.Config{Workers: 2, Queues: []string{"default", "other"}, Logger: slog.New(slog.DiscardHandler)})
	glue.Register(app, oldTask, func(ctx *runtime.Context, a *oldArgs) (string, error) {
		want := argsOf(a.name)
		assert.True(t, want.at.Equal(a.at))
		want.at, a.at = time.Time{}, time.Time{}
		assert.Equal(t, want, a)
		m := ctx.Metadata()
		assert.Equal(t, "press", m.Tags.Get("team"))
		switch a.name {
		case "retried":
			assert.Equal(t, 1, m.Attempt)
			rec, err := ctx.Record()
			if assert.NoError(t, err) && assert.Len(t, rec.Errors, 1) {
				assert.Equal(t, "not yet, [redacted]", rec.Errors[0].Error)
				assert.Equal(t, "half", rec.Progress.Note)
			}
		case "child":
			assert.NotEqual(t, m.TaskID, m.RootID)
			v, err := oldLocal.Get(ctx)
			assert.NoError(t, err)
			assert.Equal(t, "r-1", v)
		case "options":
			assert.Equal(t, "other", m.Queue)
			assert.Equal(t, 7, m.MaxRetries)
			assert.Equal(t, "v", m.Tags.Get("k"))
		}
		mu.Lock()
		ran = append(ran, a.name)
		mu.Unlock()
		all <- struct{}{}
		return "ran " + a.name, nil
	})
	require.NoError(t, app.Start(t.Context()))
	for range 6 {
		select {
		case <-all:
		case <-time.After(time.Minute):
			t.Error("a stored task did not run")
		}
	}
	require.NoError(t, app.Stop(context.Background()))
	slices.Sort(ran)
	assert.Equal(t, []string{"child", "held", "later", "options", "plain", "retried"}, ran)
	list, _, err := app.List(t.Context(), engine.Query{})
	require.NoError(t, err)
	states := map[engine.State]int{}
	for _, r := range list {
		states[r.State]++
	}
	// The task that enqueued the child succeeded before, one failed and one was
	// cancelled; those asynq's layout forgets after 90 days, whatever the date.
	assert.Equal(t, 7, states[engine.StateSucceeded])
	if !strings.HasPrefix(at, "redis") {
		assert.Equal(t, 1, states[engine.StateFailed])
		assert.Equal(t, 1, states[engine.StateCancelled])
	}
}

// writeStored makes one task of each kind and keeps what the engine stored.
func writeStored(t *testing.T, s oldStore, file string) {
	at := s.url(t)
	e, err := engines.Open(t.Context(), at)
	require.NoError(t, err)
	app := runtime.New(e, runtime.Config{Workers: 2, Logger: slog.New(slog.DiscardHandler), Keep: years, KeepFailed: s.keepFailed()})
	done := make(chan struct{}, 8)
	glue.Register(app, oldTask, func(ctx *runtime.Context, a *oldArgs) (string, error) {
		defer func() { done <- struct{}{} }()
		switch a.name {
		case "retried":
			ctx.Progress(1, 2, "half")
			return "", runtime.RetryAfter(2*time.Second, fmt.Errorf("not yet, %s", a.secret))
		case "fails":
			return "", runtime.Permanent(assert.AnError)
		case "cancels":
			return "", runtime.Cancelled("of no use")
		}
		if err := oldLocal.Set(ctx, "r-1"); err != nil {
			return "", err
		}
		_, err := oldCall("child", runtime.WithQueue("other")).Enqueue(ctx, app)
		return "parent", err
	})
	require.NoError(t, app.Start(t.Context()))
	for _, name := range []string{"retried", "fails", "cancels", "parent"} {
		_, err := oldCall(name).Enqueue(t.Context(), app)
		require.NoError(t, err)
		<-done
	}
	require.NoError(t, app.Stop(context.Background()))
	for _, c := range []runtime.Call[string]{
		oldCall("plain"), oldCall("later", runtime.WithDelay(2*time.Second)), oldCall("held", runtime.WithActiveKey("one")),
		oldCall("options", runtime.WithQueue("other"), runtime.WithRetries(7), runtime.WithTag("k", "v"), runtime.WithTimeout(time.Hour)),
	} {
		_, err := c.Enqueue(t.Context(), app)
		require.NoError(t, err)
	}
	require.NoError(t, e.Close())
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err = z.Write(s.dump(t, at))
	require.NoError(t, err)
	require.NoError(t, z.Close())
	require.NoError(t, os.WriteFile(file, b.Bytes(), 0o644))
}

func unzip(t *testing.T, file string) []byte {
	f, err := os.Open(file)
	require.NoError(t, err)
	defer f.Close()
	z, err := gzip.NewReader(f)
	require.NoError(t, err)
	b, err := io.ReadAll(z)
	require.NoError(t, err)
	return b
}

// oldStore is a store whose content can be written down and put back.
type oldStore interface {
	url(t *testing.T) string
	dump(t *testing.T, url string) []byte
	restore(t *testing.T, url string, b []byte)
	keepFailed() time.Duration
}

const years = 50 * 365 * 24 * time.Hour

func (sqliteStore) keepFailed() time.Duration   { return years }
func (postgresStore) keepFailed() time.Duration { return years }
func (redisStore) keepFailed() time.Duration    { return 90 * 24 * time.Hour }

type sqliteStore struct{}

func (sqliteStore) url(t *testing.T) string {
	return "sqlite:" + filepath.Join(t.TempDir(), "tasks.db")
}

func (sqliteStore) dump(t *testing.T, url string) []byte {
	b, err := os.ReadFile(url[len("sqlite:"):])
	require.NoError(t, err)
	return b
}

func (sqliteStore) restore(t *testing.T, url string, b []byte) {
	require.NoError(t, os.WriteFile(url[len("sqlite:"):], b, 0o644))
}

type postgresStore struct{}

func (postgresStore) url(t *testing.T) string {
	u, err := url.Parse(servertest.Postgres(t))
	require.NoError(t, err)
	q := u.Query()
	q.Set("schema", "taskctx")
	if !*store {
		q.Set("schema", "stored_"+strings.ToLower(rand.Text()))
	}
	u.RawQuery = q.Encode()
	return u.String()
}

// connect returns a connection to the database, and the schema of the URL.
func (postgresStore) connect(t *testing.T, at string) (*pgx.Conn, string) {
	u, err := url.Parse(at)
	require.NoError(t, err)
	q := u.Query()
	schema := q.Get("schema")
	q.Del("schema")
	u.RawQuery = q.Encode()
	db, err := pgx.Connect(t.Context(), u.String())
	require.NoError(t, err)
	return db, schema
}

// tables are those of the tasks, with their rows: the engine makes the others.
func (s postgresStore) dump(t *testing.T, url string) []byte {
	db, _ := s.connect(t, url)
	defer db.Close(context.Background())
	rows, err := db.Query(t.Context(), `SELECT table_name FROM information_schema.tables
		WHERE table_schema = 'taskctx' AND table_type = 'BASE TABLE' AND table_name NOT LIKE '%migration%'
		AND table_name NOT LIKE '%version%'`)
	require.NoError(t, err)
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	out := map[string][]json.RawMessage{}
	for _, name := range names {
		rows, err := db.Query(t.Context(), "SELECT row_to_json(r) FROM taskctx."+pgx.Identifier{name}.Sanitize()+" r")
		require.NoError(t, err)
		out[name], err = pgx.CollectRows(rows, pgx.RowTo[json.RawMessage])
		require.NoError(t, err)
	}
	b, err := json.MarshalIndent(out, "", " ")
	require.NoError(t, err)
	return b
}

func (s postgresStore) restore(t *testing.T, url string, b []byte) {
	e, err := engines.Open(t.Context(), url) // makes the tables
	require.NoError(t, err)
	require.NoError(t, e.Close())
	db, schema := s.connect(t, url)
	t.Cleanup(func() {
		_, err := db.Exec(context.Background(), "DROP SCHEMA "+schema+" CASCADE")
		assert.NoError(t, err)
		assert.NoError(t, db.Close(context.Background()))
	})
	var in map[string][]json.RawMessage
	require.NoError(t, json.Unmarshal(b, &in))
	for name, rows := range in {
		table := schema + "." + pgx.Identifier{name}.Sanitize()
		for _, row := range rows {
			_, err := db.Exec(t.Context(), `INSERT INTO `+table+` SELECT (jsonb_populate_record(NULL::`+table+`, $1)).*
				ON CONFLICT DO NOTHING`, row)
			require.NoError(t, err, "%s: %s", name, row)
		}
	}
}

type redisStore struct{}

func (redisStore) url(t *testing.T) string { u, _ := servertest.Redis(t); return u }

// redisKey is one key: one of its values is set.
type redisKey struct {
	Hash   map[string][]byte
	List   [][]byte
	Set    [][]byte
	Sorted map[string]float64
	Text   []byte
}

func redisClient(t *testing.T, raw string) *redis.Client {
	u, err := url.Parse(raw)
	require.NoError(t, err)
	u.RawQuery = ""
	o, err := redis.ParseURL(u.String())
	require.NoError(t, err)
	db := redis.NewClient(o)
	t.Cleanup(func() { db.Close() })
	return db
}

func (redisStore) dump(t *testing.T, url string) []byte {
	db, ctx := redisClient(t, url), t.Context()
	keys, err := db.Keys(ctx, "*").Result()
	require.NoError(t, err)
	out := map[string]redisKey{}
	for _, key := range keys {
		var k redisKey
		switch kind := db.Type(ctx, key).Val(); kind {
		case "hash":
			k.Hash = map[string][]byte{}
			for f, v := range db.HGetAll(ctx, key).Val() {
				k.Hash[f] = []byte(v)
			}
		case "list":
			for _, v := range db.LRange(ctx, key, 0, -1).Val() {
				k.List = append(k.List, []byte(v))
			}
		case "set":
			for _, v := range db.SMembers(ctx, key).Val() {
				k.Set = append(k.Set, []byte(v))
			}
		case "zset":
			k.Sorted = map[string]float64{}
			for _, v := range db.ZRangeWithScores(ctx, key, 0, -1).Val() {
				k.Sorted[v.Member.(string)] = v.Score
			}
		case "string":
			k.Text, err = db.Get(ctx, key).Bytes()
			require.NoError(t, err)
		default:
			t.Fatalf("%s is a %s", key, kind)
		}
		out[key] = k
	}
	b, err := json.MarshalIndent(out, "", " ")
	require.NoError(t, err)
	return b
}

func (redisStore) restore(t *testing.T, url string, b []byte) {
	db, ctx := redisClient(t, url), t.Context()
	var in map[string]redisKey
	require.NoError(t, json.Unmarshal(b, &in))
	for key, k := range in {
		for f, v := range k.Hash {
			require.NoError(t, db.HSet(ctx, key, f, v).Err())
		}
		for _, v := range k.List {
			require.NoError(t, db.RPush(ctx, key, v).Err())
		}
		for _, v := range k.Set {
			require.NoError(t, db.SAdd(ctx, key, v).Err())
		}
		for m, s := range k.Sorted {
			require.NoError(t, db.ZAdd(ctx, key, redis.Z{Score: s, Member: m}).Err())
		}
		if k.Text != nil {
			require.NoError(t, db.Set(ctx, key, k.Text, 0).Err())
		}
	}
}
