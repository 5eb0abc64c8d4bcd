package runtime_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/glue"
	"github.com/taskctx/taskctx/runtime/hook"
	"github.com/taskctx/taskctx/runtime/inspect"
	"github.com/taskctx/taskctx/runtime/local"
	"github.com/taskctx/taskctx/runtime/wire"
)

// The marked values of parameters to redact, in every shape of a parameter.
const (
	canaryText   = "canary-text-7301"
	canaryQuoted = "canary \"quoted\" <zebra-word>\n\\tail"
	canaryBytes  = "canary-bytes-7303"
	canaryField  = "canary-field-7304"
	canaryItem   = "canary-item-7305"
	canaryNumber = 7306730673067306
)

type card struct {
	Number string `json:"number"`
	Codes  []string
	Limits map[string]int64
}

type secretArgs struct {
	text, quoted string
	bytes        []byte
	card         card
	number       int64
	public       string
}

func (a *secretArgs) fields(f *wire.Fields) {
	f.String("text", &a.text)
	f.String("quoted", &a.quoted)
	f.JSON("bytes", &a.bytes)
	f.JSON("card", &a.card)
	f.Int64("number", &a.number)
	f.String("public", &a.public)
}

// all is every secret in one value, to print in some way.
func (a *secretArgs) all() any {
	return []any{a.text, a.quoted, string(a.bytes), a.card, a.number, a.public}
}

func secretTask(redact bool) *glue.Task[secretArgs, runtime.Void] {
	return glue.NewTask[secretArgs, runtime.Void](wire.Spec{Name: "test.Secret", Func: "Secret", Retries: 1, Delay: wire.NoDelay,
		Params: []wire.Param{
			{Name: "text", Sig: "string", Redact: redact}, {Name: "quoted", Sig: "string", Redact: redact},
			{Name: "bytes", Sig: "[]byte", Redact: redact}, {Name: "card", Sig: "card", Redact: redact},
			{Name: "number", Sig: "int64", Redact: redact}, {Name: "public", Sig: "string"},
		}}, (*secretArgs).fields)
}

func secretCall(t *glue.Task[secretArgs, runtime.Void], opts ...runtime.Option) runtime.Call[runtime.Void] {
	a := secretArgs{
		canaryText, canaryQuoted, []byte(canaryBytes),
		card{canaryField, []string{canaryItem}, map[string]int64{"day": canaryNumber}}, canaryNumber, "public-value",
	}
	return t.Call(a.fields, opts)
}

// leaks returns the canaries that the text shows, in any form.
func leaks(text string) []string {
	var found []string
	for _, c := range []string{
		canaryText, canaryBytes, canaryField, canaryItem, strconv.FormatInt(canaryNumber, 10), "zebra-word", "canary",
	} {
		if strings.Contains(text, c) {
			found = append(found, c)
		}
	}
	return found
}

// secretErrors are ways in which a task lets its parameters out.
func secretErrors() map[string]func(ctx *runtime.Context, a *secretArgs) error {
	tx := runtime.NewKey[int]("tx", runtime.PerTask, nil)
	cleanup := func(ctx *runtime.Context, f func() error) error {
		_, err := tx.Provide(ctx, func(context.Context) (int, func(error) error, error) {
			return 1, func(error) error { return f() }, nil
		})
		return err
	}
	return map[string]func(ctx *runtime.Context, a *secretArgs) error{
		"error":         func(_ *runtime.Context, a *secretArgs) error { return fmt.Errorf("charge %v", a.all()) },
		"error, quoted": func(_ *runtime.Context, a *secretArgs) error { return fmt.Errorf("charge %q %+v", a.all(), a.card) },
		"error, JSON": func(_ *runtime.Context, a *secretArgs) error {
			b, err := json.Marshal(a.all())
			return errors.Join(err, errors.New(string(b)))
		},
		"permanent": func(_ *runtime.Context, a *secretArgs) error {
			return runtime.Permanent(fmt.Errorf("charge %v", a.all()))
		},
		"cancel": func(_ *runtime.Context, a *secretArgs) error { return runtime.Cancelled(fmt.Sprint("no ", a.all())) },
		"panic":  func(_ *runtime.Context, a *secretArgs) error { panic(a.all()) },
		"panic with an error": func(_ *runtime.Context, a *secretArgs) error {
			panic(fmt.Errorf("charge %v", a.all()))
		},
		"trigger": func(_ *runtime.Context, a *secretArgs) error { return runtime.Trigger(slog.Any("args", a.all())) },
		"cleanup": func(ctx *runtime.Context, a *secretArgs) error {
			return cleanup(ctx, func() error { return fmt.Errorf("commit %v", a.all()) })
		},
		"cleanup that panics": func(ctx *runtime.Context, a *secretArgs) error {
			return cleanup(ctx, func() error { panic(fmt.Sprint(a.all())) })
		},
		"child": func(ctx *runtime.Context, a *secretArgs) error {
			local.Go(ctx, local.Copy, func(context.Context) error { return fmt.Errorf("child %v", a.all()) })
			return nil
		},
		"child that panics": func(ctx *runtime.Context, a *secretArgs) error {
			local.Go(ctx, local.Copy, func(context.Context) error { panic(fmt.Sprint(a.all())) })
			return nil
		},
		"storage": func(ctx *runtime.Context, a *secretArgs) error {
			_, err := runtime.Stored(ctx, runtime.NewKey[int]("db", runtime.PerWorker, nil), func(context.Context) (int, error) {
				return 0, fmt.Errorf("open %v", a.all())
			})
			return err
		},
		"storage closed after a panic": func(ctx *runtime.Context, a *secretArgs) error {
			key := runtime.NewKey("db", runtime.PerWorker, func(int) error { return fmt.Errorf("close %v", a.all()) })
			if _, err := runtime.Stored(ctx, key, func(context.Context) (int, error) { return 1, nil }); err != nil {
				return err
			}
			panic("x")
		},
		"log": func(ctx *runtime.Context, a *secretArgs) error {
			ctx.Logger().Info(fmt.Sprint(a.all()), "args", a.all(), "card", a.card, slog.Any("bytes", string(a.bytes)))
			ctx.Progress(1, 2, fmt.Sprint(a.all()))
			return errFlaky
		},
		"child task": func(ctx *runtime.Context, a *secretArgs) error {
			_, err := secretTask(true).Call(a.fields, []runtime.Option{runtime.WithDelay(-1)}).Enqueue(ctx, ctx.App())
			return err
		},
	}
}

// Proves: FEATURES 80, RELIABILITY 21
func TestRedact_ParametersAreNeverShown(t *testing.T) {
	ways := 0
	for name, way := range secretErrors() {
		t.Run(name, func(t *testing.T) {
			ways++
			var log safeBuffer
			var mu sync.Mutex
			var events strings.Builder
			app := newUnitApp(t, runtime.Config{
				Workers: 1, KeepLogs: 100,
				Logger: slog.New(slog.NewJSONHandler(&log, nil)),
				Observers: []hook.Observer{hook.ObserverFunc(func(e hook.Event) {
					mu.Lock()
					defer mu.Unlock()
					fmt.Fprintf(&events, "%+v\n", e)
				})},
				RetryIf: func(_ inspect.Metadata, err error) bool { panic(err) },
			})
			task := secretTask(true)
			glue.Register(app, task, func(ctx *runtime.Context, a *secretArgs) (runtime.Void, error) {
				return runtime.Void{}, way(ctx, a)
			})
			start(t, app)
			h, err := secretCall(task).Enqueue(context.Background(), app)
			if err != nil {
				t.Fatal(err)
			}
			_, err = h.Wait(context.Background())
			if err == nil {
				t.Fatal("the task succeeded: nothing is tested")
			}
			rec, rerr := h.Record(context.Background())
			if rerr != nil {
				t.Fatal(rerr)
			}
			kept, jerr := json.Marshal(rec)
			if jerr != nil {
				t.Fatal(jerr)
			}
			if serr := app.Stop(context.Background()); serr != nil && len(leaks(serr.Error())) > 0 {
				t.Errorf("Stop shows %v", leaks(serr.Error()))
			}
			mu.Lock()
			defer mu.Unlock()
			for where, text := range map[string]string{
				"error": err.Error(), "log": log.String(), "record": string(kept), "events": events.String(),
				"call": fmt.Sprintf("%v %+v %#v %s", secretCall(task), secretCall(task), secretCall(task), secretCall(task).AnyCall),
			} {
				if found := leaks(text); len(found) > 0 {
					t.Errorf("the %s shows %v:\n%s", where, found, text)
				}
			}
			if !strings.Contains(string(kept), "public-value") {
				t.Errorf("the record does not show the other parameters: %s", kept)
			}
		})
	}
	t.Logf("%d ways out of a task tried: no redacted parameter was shown", ways)
}

// A task of a foreign producer does not say what to redact: its registration
// does. And what a newer version redacts is not shown of older tasks.
//
// Proves: FEATURES 80, RELIABILITY 21
func TestRedact_ByTheRegistration(t *testing.T) {
	eng := newMemory(t)
	app := runtime.New(eng, runtime.Config{Logger: silent})
	task := secretTask(true)
	glue.Register(app, task, func(_ *runtime.Context, a *secretArgs) (runtime.Void, error) {
		return runtime.Void{}, fmt.Errorf("charge %v", a.all())
	})
	ctx := context.Background()
	old, err := app.Prepare(ctx, secretCall(secretTask(false)))
	if err != nil {
		t.Fatal(err)
	}
	foreign := &engine.Message{Name: old.Name, Queue: old.Queue, Args: old.Args}
	ins, err := eng.Insert(ctx, []*engine.Message{old, foreign})
	if err != nil {
		t.Fatal(err)
	}
	start(t, app)
	for _, in := range ins {
		h := runtime.HandleOf[runtime.Void](app, in.ID)
		_, err := h.Wait(ctx)
		rec, rerr := h.Record(ctx)
		if err == nil || rerr != nil {
			t.Fatal(err, rerr)
		}
		kept, jerr := json.Marshal(rec)
		if jerr != nil {
			t.Fatal(jerr)
		}
		if found := leaks(err.Error() + string(kept)); len(found) > 0 {
			t.Errorf("shows %v: %s", found, kept)
		}
	}
	if err := app.Stop(ctx); err != nil {
		t.Fatal(err)
	}
}

// Proves: RELIABILITY 21
func TestRedact_ErrorsOfEnqueue(t *testing.T) {
	task := secretTask(true)
	for name, test := range map[string]struct {
		cfg  runtime.Config
		call runtime.Call[runtime.Void]
	}{
		"too large": {runtime.Config{MaxPayload: 1}, secretCall(task)},
		"codec": {runtime.Config{Codec: codecFuncs{encode: func(args json.RawMessage) (json.RawMessage, error) {
			return nil, fmt.Errorf("encrypt %s", args)
		}}}, secretCall(task)},
		"codec that panics": {runtime.Config{Codec: codecFuncs{encode: func(args json.RawMessage) (json.RawMessage, error) {
			panic(string(args))
		}}}, secretCall(task)},
		"not UTF-8": {runtime.Config{}, task.Call((&secretArgs{text: canaryText + "\xff"}).fields, nil)},
		"option":    {runtime.Config{}, secretCall(task, runtime.WithDelay(-1))},
	} {
		_, err := test.call.Enqueue(context.Background(), runtime.New(newMemory(t), test.cfg))
		if err == nil || len(leaks(err.Error())) > 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Many short secrets must not make a text explode.
func TestRedact_ManyShortValues(t *testing.T) {
	app := newUnitApp(t, runtime.Config{})
	u := newUnit[[]string, string]("test.Short", func(s *wire.Spec) { s.Params[0].Redact = true })
	u.handle(app, func(ctx *runtime.Context, _ []string) (string, error) {
		return ctx.Redact(strings.Repeat("redacted ", 100)), nil
	})
	start(t, app)
	got, err := await(t, app, u.call(strings.Split("r e d a c t [ ]", " ")))
	if err != nil || len(got) > 10*900 {
		t.Errorf("%d bytes of 900, %v", len(got), err)
	}
}

// What a task keeps in its worker's storage, its locals and its metadata, no
// other task sees.
//
// Proves: RELIABILITY 20
func TestRedact_MarkedValuesStayWithTheirTask(t *testing.T) {
	const tasks = 2000
	loc := local.New[string]("mark")
	scoped := runtime.NewKey[string]("mark", runtime.PerTask, nil)
	app := newUnitApp(t, runtime.Config{Workers: 4, KeepLogs: 2, Logger: silent})
	u := newUnit[int, runtime.Void]("test.Marked", retries(1))
	u.handle(app, func(ctx *runtime.Context, i int) (runtime.Void, error) {
		mark := fmt.Sprint("mark-", i, "-", ctx.Metadata().Attempt)
		if _, err := loc.Get(ctx); !errors.Is(err, local.ErrUnset) {
			return runtime.Void{}, runtime.Permanent(fmt.Errorf("a local of another task: %w", err))
		}
		if err := loc.Set(ctx, mark); err != nil {
			return runtime.Void{}, err
		}
		got, err := scoped.Provide(ctx, func(context.Context) (string, func(error) error, error) {
			return mark, nil, nil
		})
		if err != nil || got != mark {
			return runtime.Void{}, runtime.Permanent(fmt.Errorf("value of task scope is %q: %w", got, err))
		}
		ctx.Logger().Info(mark)
		ctx.Progress(int64(i), tasks, mark)
		if tag := ctx.Metadata().Tags.Get("mark"); tag != fmt.Sprint(i) {
			return runtime.Void{}, runtime.Permanent(fmt.Errorf("tag %q in task %d", tag, i))
		}
		if again := loc.GetOr(ctx, ""); again != mark {
			return runtime.Void{}, runtime.Permanent(fmt.Errorf("local became %q", again))
		}
		switch {
		case i%5 == 0 && ctx.Metadata().Attempt == 0:
			panic(mark)
		case i%3 == 0:
			return runtime.Void{}, errors.New(mark)
		}
		return runtime.Void{}, nil
	})
	start(t, app)
	ctx := context.Background()
	handles := make([]*runtime.Handle[runtime.Void], tasks)
	for i := range handles {
		h, err := u.call(i, runtime.WithTag("mark", fmt.Sprint(i))).Enqueue(ctx, app)
		if err != nil {
			t.Fatal(err)
		}
		handles[i] = h
	}
	seen := 0
	for i, h := range handles {
		_, _ = h.Wait(ctx)
		rec, err := h.Record(ctx)
		if err != nil {
			t.Fatal(err)
		}
		b, err := json.Marshal(rec)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range strings.Split(string(b), "mark-")[1:] {
			seen++
			if !strings.HasPrefix(text, fmt.Sprint(i, "-")) {
				t.Fatalf("the record of task %d shows mark-%.20s", i, text)
			}
		}
	}
	if seen < tasks {
		t.Errorf("only %d marks in the records: the test sees nothing", seen)
	}
	t.Logf("%d tasks, %d marks in their records, each its own task's", tasks, seen)
}
