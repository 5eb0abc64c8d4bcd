package comingfrom

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	_ "modernc.org/sqlite"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/memory"
	"github.com/taskctx/taskctx/runtime/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newApp returns a started app, which ends with the test.
func newApp(t *testing.T, cfg runtime.Config, supply ...func(*runtime.App)) *runtime.App {
	t.Helper()
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	engine := memory.New(memory.Config{})
	app := runtime.New(engine, cfg)
	RegisterTasks(app)
	runtime.Supply(app, DSN("file:"+filepath.Join(t.TempDir(), "none.db")))
	for _, f := range supply {
		f(app)
	}
	if err := app.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(app.Stop(context.Background()), engine.Close()); err != nil {
			t.Error(err)
		}
	})
	return app
}

func TestFluxQueue(t *testing.T) {
	dsn := "file:" + filepath.Join(t.TempDir(), "users.db") + "?_pragma=busy_timeout(10000)"
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("CREATE TABLE users (email TEXT UNIQUE, name TEXT)"); err != nil {
		t.Fatal(err)
	}
	app := newApp(t, runtime.Config{}, func(app *runtime.App) { runtime.Supply(app, DSN(dsn)) })
	if err := signUp(t.Context(), app); err != nil {
		t.Fatal(err)
	}
	for {
		var n int
		if err := db.QueryRow("SELECT count(*) FROM users").Scan(&n); err != nil {
			t.Fatal(err)
		}
		if n == 1 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	h, err := EnqueueCreateUser(t.Context(), app, "ada@example.com", "Ada", runtime.WithRetries(0))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.Wait(t.Context()); err == nil {
		t.Error("a user is created twice")
	}
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }))
	defer site.Close()
	p, err := EnqueuePing(t.Context(), app, site.URL)
	if err != nil {
		t.Fatal(err)
	}
	if code, err := p.Wait(t.Context()); code != http.StatusTeapot || err != nil {
		t.Errorf("Ping: %d, %v", code, err)
	}
}

func TestTaskflow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app := newApp(t, runtime.Config{KeepLogs: 100})
		id, err := queueEmail(context.Background(), app, "ada@example.com")
		if err != nil {
			t.Fatal(err)
		}
		if again, err := queueEmail(context.Background(), app, "ada@example.com"); again != id || err != nil {
			t.Errorf("the second call is task %s, %v; want %s", again, err, id)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		var out strings.Builder
		if err := showTask(context.Background(), &out, app, id); err != nil {
			t.Fatal(err)
		}
		want := `comingfrom.SendEmail succeeded
INFO connecting to=ada@example.com plan=pro
--- retry 1 of 3 ---
INFO connecting to=ada@example.com plan=pro
attempt 0 server is busy
`
		if out.String() != want {
			t.Errorf("got:\n%s\nwant:\n%s", out.String(), want)
		}
		if err := connect(context.Background(), "ada@example.com"); err != nil {
			t.Errorf("outside a task: %v", err)
		}
	})
}

func TestQTasks(t *testing.T) {
	cfg := runtime.Config{OnTrigger: []runtime.TriggerHook{skipUnknown}}
	app := newApp(t, cfg, func(app *runtime.App) { runtime.Supply(app, ImportConfig{Pause: time.Millisecond}) })
	for file, want := range map[string]int{"rows": 4, "unknown": -1, "": 0} {
		h, err := EnqueueImport(t.Context(), app, file)
		if err != nil {
			t.Fatal(err)
		}
		rows, err := h.Wait(t.Context())
		if rows != want || errors.Is(err, engine.ErrCancelled) != (file == "") {
			t.Errorf("Import(%q): %d, %v", file, rows, err)
		}
	}
	if got, err := countFromFive(t.Context(), app); err != nil || !slices.Equal(got, []int{8, 9, 10, 11, 12}) {
		t.Errorf("CountUp: %v, %v", got, err)
	}
	for want := 1; want <= 2; want++ {
		h, err := EnqueueCountImport(t.Context(), app)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := h.Wait(t.Context()); n != want || err != nil {
			t.Errorf("CountImport: %d, %v; want %d", n, err, want)
		}
	}
}

func TestLocals(t *testing.T) {
	var out bytes.Buffer
	logger := newLogger(slog.NewTextHandler(&out, nil))
	app := newApp(t, runtime.Config{Logger: logger})
	err := handleRequest(t.Context(), "r-17", func(ctx context.Context) error {
		logger.InfoContext(ctx, "received")
		h, err := EnqueueAudit(ctx, app)
		if err != nil {
			return err
		}
		if id, err := h.Wait(ctx); id != "r-17" || err != nil {
			t.Errorf("Audit: %q, %v", id, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(out.String(), "request_id=r-17"); n != 2 {
		t.Errorf("logged:\n%s", out.String())
	}
	h, err := EnqueueCrawl(t.Context(), app)
	if err != nil {
		t.Fatal(err)
	}
	if seen, err := h.Wait(t.Context()); err != nil || !slices.Equal(seen, []string{"RUNNING", "DONE", "RUNNING"}) {
		t.Errorf("Crawl: %q, %v", seen, err)
	}
}

func TestAsynq(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app := newApp(t, runtime.Config{Middleware: []runtime.Middleware{logging}}, schedule)
		for range 2 { // the second is the first
			if n, err := deliverLater(context.Background(), app, Delivery{7, "welcome"}); n != 1007 || err != nil {
				t.Errorf("Deliver: %d, %v", n, err)
			}
		}
		var invalid *wire.InvalidError
		if _, err := deliverLater(context.Background(), app, Delivery{}); !errors.As(err, &invalid) {
			t.Errorf("without a user: %v", err)
		}
		if _, err := deliverLater(context.Background(), app, Delivery{UserID: 1}); err == nil {
			t.Error("without a template the task succeeds")
		}
		var out strings.Builder
		if err := inspect(context.Background(), &out, app); err != nil {
			t.Fatal(err)
		}
		if want := `email:deliver {"user_id":1,"template":""} no template` + "\n"; out.String() != want {
			t.Errorf("inspect: %q, want %q", out.String(), want)
		}
		time.Sleep(12 * time.Minute)
		all, _, err := app.List(context.Background(), engine.Query{Name: "comingfrom.Cleanup"})
		if len(all) != 2 || err != nil {
			t.Errorf("Cleanup ran %d times, %v", len(all), err)
		}
	})
}

func TestRiver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		app := newApp(t, runtime.Config{}, reports)
		first, second, err := sortAll(ctx, app)
		if err != nil || !slices.Equal(first, []string{"a", "b"}) || !slices.Equal(second, []string{"c", "d"}) {
			t.Errorf("sortAll: %q, %q, %v", first, second, err)
		}
		h, err := EnqueueExport(ctx, app, "gone")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := h.Wait(ctx); !errors.Is(err, engine.ErrCancelled) {
			t.Errorf("Export of a file that is gone: %v", err)
		}
		if h, err = EnqueueExport(ctx, app, "not there yet"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Minute)
		if rec, err := h.Record(ctx); err != nil || rec.Attempt != 0 || rec.State.Final() {
			t.Errorf("a snoozed task is %+v, %v", rec, err)
		}
		all, _, err := app.List(ctx, engine.Query{Name: "export", Tag: runtime.TagEvery, TagValue: "export"})
		if len(all) != 2 || err != nil {
			t.Errorf("the report ran %d times, %v", len(all), err)
		}
	})
	// placeOrder needs Postgres: without, it says so and writes nothing.
	db, err := sql.Open("sqlite", "file:"+filepath.Join(t.TempDir(), "orders.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("CREATE TABLE orders (items INTEGER)"); err != nil {
		t.Fatal(err)
	}
	if err := placeOrder(t.Context(), newApp(t, runtime.Config{}), db, []string{"a"}); err == nil {
		t.Error("an app on another engine enqueues in a transaction")
	}
	var n int
	if err := db.QueryRow("SELECT count(*) FROM orders").Scan(&n); n != 0 || err != nil {
		t.Errorf("%d orders without their task, %v", n, err)
	}
}
