package runtime_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/slogtest"
	"testing/synctest"
	"time"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/inspect"
	"github.com/taskctx/taskctx/runtime/local"
	"github.com/taskctx/taskctx/runtime/wire"
)

// logBuffer collects lines of JSON.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// lines returns the lines with the message.
func (l *logBuffer) lines(t testing.TB, msg string) []map[string]any {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	var lines []map[string]any
	for line := range bytes.Lines(l.b.Bytes()) {
		var m map[string]any
		if err := json.Unmarshal(line, &m); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if m["msg"] == msg {
			lines = append(lines, m)
		}
	}
	return lines
}

func (l *logBuffer) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newLog() (*slog.Logger, *logBuffer) {
	b := new(logBuffer)
	return slog.New(slog.NewJSONHandler(b, nil)), b
}

func TestNewLogHandler_PassesSlogtest(t *testing.T) {
	var b bytes.Buffer
	slogtest.Run(t, func(t *testing.T) slog.Handler {
		b.Reset()
		return runtime.NewLogHandler(slog.NewJSONHandler(&b, nil))
	}, func(t *testing.T) (m map[string]any) {
		if err := json.Unmarshal(b.Bytes(), &m); err != nil {
			t.Fatal(err)
		}
		return m
	})
}

// The suite logs with context.Background(): a task's logger adds its attributes
// all the same, and NewLogHandler adds those of a scope of locals.
func TestLogger_PassesSlogtest(t *testing.T) {
	for name, secret := range map[string]bool{"plain": false, "redacting": true} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			app := newUnitApp(t, runtime.Config{Logger: slog.New(slog.NewJSONHandler(&b, nil)), KeepLogs: 10})
			u := newUnit[string, int]("test.Unit", func(s *wire.Spec) { s.Params[0].Redact = secret })
			u.handle(app, func(ctx *runtime.Context, _ string) (int, error) {
				slogtest.Run(t, func(*testing.T) slog.Handler {
					b.Reset()
					return ctx.Logger().Handler()
				}, func(t *testing.T) (m map[string]any) {
					if err := json.Unmarshal(b.Bytes(), &m); err != nil {
						t.Fatal(err)
					}
					for _, key := range []string{"task_id", "task", "attempt", "logger"} {
						if _, ok := m[key]; !ok {
							t.Errorf("%s is missing: %v", key, m)
						}
					}
					return m
				})
				return 0, nil
			})
			start(t, app)
			if _, err := await(t, app, u.call("a secret that nobody logs")); err != nil {
				t.Error(err)
			}
		})
	}
}

// Proves: FEATURES 30, 46
func TestLogger_HasTheTasksAttributes(t *testing.T) {
	logger, out := newLog()
	var id string
	_, err := runUnit(t, runtime.Config{Logger: logger.With("svc", "pay")}, func(ctx *runtime.Context) (int, error) {
		id = ctx.Metadata().TaskID.String()
		ctx.Logger().Info("plain", "n", 1)
		ctx.Logger("first").Debug("too low")
		ctx.Logger("second").WithGroup("g").With("a", 1).Warn("named", "b", 2)
		ctx.Logger().Info("plain again")
		return 0, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	plain, named := out.lines(t, "plain"), out.lines(t, "named")
	if len(plain) != 1 || len(named) != 1 {
		t.Fatalf("logged:\n%s", out.text())
	}
	for _, line := range []map[string]any{plain[0], named[0]} {
		if line["task"] != "test.Unit" || line["attempt"] != 0.0 || line["task_id"] != id || line["svc"] != "pay" {
			t.Errorf("the task's attributes are %v", line)
		}
	}
	if plain[0]["logger"] != "test.Unit" || plain[0]["n"] != 1.0 || plain[0]["level"] != "INFO" {
		t.Errorf("the plain line is %v", plain[0])
	}
	if again := out.lines(t, "plain again"); len(again) != 1 || again[0]["logger"] != "test.Unit" {
		t.Errorf("a name stays with the task: %v", again)
	}
	for line := range strings.Lines(out.text()) { // a key that is there twice is lost in a map
		if strings.Contains(line, `"worker started"`) {
			continue // the app's
		}
		if n := strings.Count(line, `"logger":`); n != 1 {
			t.Errorf("%d names in %s", n, line)
		}
	}
	g, _ := named[0]["g"].(map[string]any)
	if named[0]["logger"] != "second" || named[0]["level"] != "WARN" || g["a"] != 1.0 || g["b"] != 2.0 {
		t.Errorf("the named line is %v", named[0])
	}
	if strings.Contains(out.text(), "too low") {
		t.Error("a line below the level was logged")
	}
}

// Proves: FEATURES 30, 31
func TestNewLogHandler_AddsTheTaskOnlyInATask(t *testing.T) {
	b := new(logBuffer)
	logger := slog.New(runtime.NewLogHandler(slog.NewJSONHandler(b, nil)))
	log := func(ctx context.Context) { logger.With("a", 1).WithGroup("g").WarnContext(ctx, "line", "b", 2) }
	app := newUnitApp(t, runtime.Config{})
	u := newUnit[int, string]("test.Unit", retries(1))
	u.handle(app, func(ctx *runtime.Context, _ int) (string, error) {
		deep, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		log(deep)
		if ctx.Metadata().Attempt == 0 {
			return "", errFlaky
		}
		return ctx.Metadata().TaskID.String(), nil
	})
	start(t, app)
	id, err := await(t, app, u.call(0))
	if err != nil {
		t.Fatal(err)
	}
	log(context.Background())
	lines := b.lines(t, "line")
	if len(lines) != 3 {
		t.Fatalf("logged:\n%s", b.text())
	}
	for i, line := range lines {
		g, _ := line["g"].(map[string]any)
		if line["a"] != 1.0 || g["b"] != 2.0 || line["level"] != "WARN" {
			t.Errorf("line %d has lost attributes: %v", i, line)
		}
		want := map[string]any{"task_id": id, "task": "test.Unit", "attempt": float64(i)}
		for key, v := range want {
			if got, ok := line[key]; i < 2 && got != v || i == 2 && ok {
				t.Errorf("line %d: %s is %v", i, key, got)
			}
		}
	}
}

// Handlers one behind the other complete a line once.
func TestNewLogHandler_TwoInARow(t *testing.T) {
	b := new(logBuffer)
	inner := slog.New(runtime.NewLogHandler(slog.NewJSONHandler(b, nil))).With("svc", "pay")
	outer := runtime.NewLogHandler(forward{inner.Handler()})
	app := newUnitApp(t, runtime.Config{Logger: slog.New(outer), KeepLogs: 10})
	u := newUnit[int, int]("test.Unit")
	u.handle(app, func(ctx *runtime.Context, _ int) (int, error) {
		ctx.Logger().InfoContext(ctx, "line")
		return 0, nil
	})
	start(t, app)
	h, err := u.call(0).Enqueue(t.Context(), app)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(b.text(), "task_id"); n != 1 || !strings.Contains(b.text(), `"svc":"pay"`) {
		t.Errorf("logged:\n%s", b.text())
	}
	if rec, err := h.Record(t.Context()); err != nil || len(rec.Logs) != 1 {
		t.Errorf("kept %v, %v; want one line", rec.Logs, err)
	}
}

// forward is another's handler in between.
type forward struct{ slog.Handler }

func (f forward) WithAttrs(a []slog.Attr) slog.Handler { return forward{f.Handler.WithAttrs(a)} }
func (f forward) WithGroup(n string) slog.Handler      { return forward{f.Handler.WithGroup(n)} }

// Proves: FEATURES 31
func TestLogger_OutsideATask(t *testing.T) {
	b := new(logBuffer)
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewJSONHandler(b, nil)))
	defer slog.SetDefault(before)
	var none *runtime.Context
	none.Logger().Info("plain", "a", 1)
	none.Logger("mine").Info("named", "a", 1)
	plain, named := b.lines(t, "plain"), b.lines(t, "named")
	if len(plain) != 1 || plain[0]["a"] != 1.0 || plain[0]["logger"] != nil {
		t.Errorf("plain: %v", plain)
	}
	if len(named) != 1 || named[0]["a"] != 1.0 || named[0]["logger"] != "mine" {
		t.Errorf("named: %v", named)
	}
}

// Proves: FEATURES 70
func TestInLogs_ShowsLocals(t *testing.T) {
	id := local.New[string]("request_id", local.InLogs(), local.Travels())
	user := local.New[int]("user", local.InLogs())
	quiet := local.New[string]("quiet", local.Travels())
	b := new(logBuffer)
	logger := slog.New(runtime.NewLogHandler(slog.NewJSONHandler(b, nil)))
	app := newUnitApp(t, runtime.Config{Logger: logger, KeepLogs: 10})
	u := newUnit[int, int]("test.Unit")
	u.handle(app, func(ctx *runtime.Context, depth int) (int, error) {
		ctx.Logger().Info(fmt.Sprint("logger ", depth)) // without a context
		logger.With("a", 1).WithGroup("g").InfoContext(ctx, fmt.Sprint("handler ", depth))
		if err := user.Set(ctx, depth); err != nil {
			return 0, err
		}
		local.Go(ctx, local.Copy, func(ctx context.Context) error {
			if err := user.Set(ctx, 100+depth); err != nil {
				return err
			}
			logger.InfoContext(ctx, fmt.Sprint("child ", depth))
			return nil
		})
		if depth == 0 {
			return 0, nil
		}
		h, err := u.call(depth-1).Enqueue(ctx, app)
		if err != nil {
			return 0, err
		}
		return h.Wait(context.Background()) // workers remain for it
	})
	start(t, app)
	ctx := local.With(t.Context())
	if err := errors.Join(id.Set(ctx, "r-1"), quiet.Set(ctx, "nobody logs this")); err != nil {
		t.Fatal(err)
	}
	logger.InfoContext(ctx, "outside")
	h, err := u.call(2).Enqueue(ctx, app)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.Wait(ctx); err != nil {
		t.Fatal(err)
	}
	want := []string{"outside"}
	for depth := range 3 {
		want = append(want, fmt.Sprint("logger ", depth), fmt.Sprint("handler ", depth), fmt.Sprint("child ", depth))
	}
	for _, msg := range want {
		lines := b.lines(t, msg)
		if len(lines) != 1 || lines[0]["request_id"] != "r-1" {
			t.Errorf("%q has no request_id: %v", msg, lines)
		}
	}
	if child := b.lines(t, "child 2"); child[0]["user"] != 102.0 {
		t.Errorf("the child's line is %v", child)
	}
	if strings.Contains(b.text(), "nobody logs this") {
		t.Error("a local that is not marked for logs is in them")
	}
	rec, err := h.Record(t.Context())
	if err != nil || !slices.ContainsFunc(rec.Logs, func(l inspect.LogLine) bool {
		return l.Message == "child 2" && strings.Contains(l.Attrs, "request_id=r-1") && strings.Contains(l.Attrs, "user=102")
	}) {
		t.Errorf("kept %+v, %v", rec.Logs, err)
	}
}

// Proves: FEATURES 32, 33
func TestKeepLogs_OnTheRecord(t *testing.T) {
	app := newUnitApp(t, runtime.Config{KeepLogs: 6})
	u := newUnit[int, int]("test.Unit", retries(2))
	var snoozed bool
	u.handle(app, func(ctx *runtime.Context, _ int) (int, error) {
		attempt := ctx.Metadata().Attempt
		ctx.Logger("mine").Warn(fmt.Sprint("attempt ", attempt), "level", 3, slog.Group("g", "b", "x y"))
		if attempt == 1 && !snoozed {
			snoozed = true
			return 0, runtime.Snooze(0)
		}
		if attempt < 2 {
			return 0, errors.New("again")
		}
		return 0, nil
	})
	start(t, app)
	h, err := u.call(0).Enqueue(t.Context(), app)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	rec, err := h.Record(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, l := range rec.Logs {
		got = append(got, fmt.Sprintf("%d %t %s", l.Attempt, l.Retry, l.Message))
		if !l.Retry && (l.Attrs != `level=3 g.b="x y"` || l.Level != slog.LevelWarn || l.Logger != "mine" || l.Time.IsZero()) {
			t.Errorf("kept %+v", l)
		}
	}
	want := []string{
		"0 false attempt 0", "1 true retry 1 of 2", "1 false attempt 1", "1 false attempt 1", "2 true retry 2 of 2", "2 false attempt 2",
	}
	if !slices.Equal(got, want) {
		t.Errorf("kept %q, want %q", got, want)
	}
}

// Proves: FEATURES 32
func TestKeepLogs_KeepsTheLast(t *testing.T) {
	for keep, want := range map[int]int{0: 0, 1: 1, 7: 7, 1000: 100} {
		app := newUnitApp(t, runtime.Config{KeepLogs: keep})
		u := newUnit[int, int]("test.Unit")
		u.handle(app, func(ctx *runtime.Context, _ int) (int, error) {
			for i := range 100 {
				ctx.Logger().Info(fmt.Sprint(i))
			}
			return 0, nil
		})
		start(t, app)
		h, err := u.call(0).Enqueue(t.Context(), app)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := h.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		rec, err := h.Record(t.Context())
		if err != nil || len(rec.Logs) != want ||
			want > 0 && (rec.Logs[0].Message != fmt.Sprint(100-want) || rec.Logs[want-1].Message != "99") {
			t.Errorf("KeepLogs %d: kept %d lines, %v; want the last %d", keep, len(rec.Logs), err, want)
		}
	}
}

// Proves: FEATURES 32, 48
func TestKeepLogs_WhileRunning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app := newUnitApp(t, runtime.Config{KeepLogs: 10})
		u := newUnit[int, int]("test.Unit")
		seen := func(rec *runtime.Record, err error) string {
			if err != nil {
				return err.Error()
			}
			s := fmt.Sprint(len(rec.Logs))
			if rec.Progress != nil {
				s += fmt.Sprint(" ", rec.Progress.Done)
			}
			return s
		}
		var own, others []string
		u.handle(app, func(ctx *runtime.Context, _ int) (int, error) {
			look := func() {
				own = append(own, seen(ctx.Reload()))
				synctest.Wait() // notes are written beside the task
				others = append(others, seen(app.Lookup(ctx, ctx.Metadata().TaskID)))
			}
			ctx.Logger().Info("a")
			look()
			_ = ctx.Sleep(2 * time.Second) // nothing else is logged
			look()
			ctx.Progress(1, 2, "")
			synctest.Wait() // it is written at once, and the next one after a pause
			ctx.Progress(2, 2, "")
			look()
			_ = ctx.Sleep(2 * time.Second)
			look()
			return 0, nil
		})
		start(t, app)
		if _, err := await(t, app, u.call(0)); err != nil {
			t.Fatal(err)
		}
		if want := []string{"1", "1", "1 2", "1 2"}; !slices.Equal(own, want) {
			t.Errorf("the task itself sees %q, want %q", own, want)
		}
		if want := []string{"0", "1", "1 1", "1 2"}; !slices.Equal(others, want) {
			t.Errorf("others see %q, want %q", others, want)
		}
	})
}

// Proves: FEATURES 80
func TestLogger_HidesRedactedParameters(t *testing.T) {
	const canary = "canary-4711"
	type order struct{ Card *string }
	b := new(logBuffer)
	logger := slog.New(runtime.NewLogHandler(slog.NewJSONHandler(b, nil)))
	local := local.New[string]("card", local.InLogs())
	app := newUnitApp(t, runtime.Config{Logger: logger, KeepLogs: 100})
	u := newUnit[string, int]("test.Unit", func(s *wire.Spec) { s.Params[0].Redact = true })
	u.handle(app, func(ctx *runtime.Context, secret string) (int, error) {
		if err := local.Set(ctx, secret); err != nil {
			return 0, err
		}
		ctx.Progress(1, 2, "at "+secret)
		for _, l := range []*slog.Logger{ctx.Logger(), logger} {
			l.InfoContext(ctx, "charge "+secret)
			l.With("card", secret).WithGroup("g"+secret).InfoContext(ctx, "with", secret, 1)
			l.InfoContext(ctx, "values", "err", errors.New(secret), "order", order{&secret}, "list", []any{secret},
				slog.Group("in", "deep", slog.GroupValue(slog.String("er", secret))), "lazy", lazy(secret))
		}
		return 0, fmt.Errorf("cannot charge %s", secret)
	})
	start(t, app)
	h, err := u.call(canary).Enqueue(t.Context(), app)
	if err != nil {
		t.Fatal(err)
	}
	_, err = h.Wait(t.Context())
	rec, rerr := h.Record(t.Context())
	if err == nil || rerr != nil || len(rec.Logs) == 0 {
		t.Fatalf("the task ends with %v, its record %v, %v", err, rec, rerr)
	}
	kept, jerr := json.Marshal(rec)
	if jerr != nil {
		t.Fatal(jerr)
	}
	for what, text := range map[string]string{"log": b.text(), "record": string(kept), "error": err.Error()} {
		if strings.Contains(text, canary) || !strings.Contains(text, "[redacted]") {
			t.Errorf("the %s shows the parameter, or nothing:\n%s", what, text)
		}
	}
}

type lazy string

func (l lazy) LogValue() slog.Value { return slog.StringValue("lazy " + string(l)) }
