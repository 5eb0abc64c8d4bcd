package runtime_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/hook"
	"github.com/taskctx/taskctx/runtime/wire"
)

// plainOrDetailed shows more with %+v than otherwise.
type plainOrDetailed struct{ secret string }

func (plainOrDetailed) Error() string { return "declined" }

func (e plainOrDetailed) Format(f fmt.State, _ rune) {
	text := "declined"
	if f.Flag('+') {
		text += " " + e.secret
	}
	_, _ = f.Write([]byte(text))
}

// wordy shows more by its Error method than fmt does.
type wordy struct{ secret string }

func (e wordy) Error() string { return "declined " + e.secret }

func (wordy) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("declined")) }

// textual shows more to a handler that asks for text than to others.
type textual struct{ secret string }

func (v textual) MarshalText() ([]byte, error) { return []byte(v.secret), nil }

func (textual) String() string { return "hidden" }

func (textual) MarshalJSON() ([]byte, error) { return []byte(`"hidden"`), nil }

// hostile panics when it is to be shown.
type hostile struct{}

func (hostile) MarshalJSON() ([]byte, error) { panic("hostile") }

// everywhere runs a task with a redacted parameter v and returns all texts that
// taskctx makes of what it does.
func everywhere[T any](
	t *testing.T, handler func(*safeBuffer) slog.Handler, sig string, v T, task func(ctx *runtime.Context, v T) error,
) (texts map[string]string) {
	t.Helper()
	var log, events safeBuffer
	app := newUnitApp(t, runtime.Config{
		Logger: slog.New(handler(&log)), KeepLogs: 10,
		Observers: []hook.Observer{hook.ObserverFunc(func(e hook.Event) {
			_, _ = fmt.Fprintf(&events, "%+v\n", e)
		})},
	})
	u := newUnit[T, runtime.Void]("test.Shown", func(s *wire.Spec) {
		s.Params[0].Redact, s.Params[0].Sig = true, sig
	})
	u.handle(app, func(ctx *runtime.Context, v T) (runtime.Void, error) {
		return runtime.Void{}, errors.Join(task(ctx, v), errFlaky)
	})
	start(t, app)
	h, err := u.call(v).Enqueue(context.Background(), app)
	if err != nil {
		t.Fatal(err)
	}
	_, err = h.Wait(context.Background())
	rec, rerr := h.Record(context.Background())
	if rerr != nil {
		t.Fatal(rerr)
	}
	kept, jerr := json.Marshal(rec)
	if jerr != nil {
		t.Fatal(jerr)
	}
	if err := app.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
	return map[string]string{
		"error": fmt.Sprintf("%v %+v %#v", err, err, err), "log": log.String(),
		"record": string(kept), "events": events.String(),
	}
}

// neverShown fails the test when one of the forms is in a text of taskctx, with
// slog's handlers of text and of JSON.
func neverShown[T any](t *testing.T, sig string, v T, task func(ctx *runtime.Context, v T) error, secrets ...string) {
	t.Helper()
	for name, handler := range map[string]func(*safeBuffer) slog.Handler{
		"text": func(b *safeBuffer) slog.Handler { return slog.NewTextHandler(b, nil) },
		"JSON": func(b *safeBuffer) slog.Handler { return slog.NewJSONHandler(b, nil) },
	} {
		for where, text := range everywhere(t, handler, sig, v, task) {
			if !strings.Contains(text, "flaky") {
				t.Errorf("%s handler: the %s does not show the task's error: nothing is tested", name, where)
			}
			for _, s := range secrets {
				if strings.Contains(text, s) {
					t.Errorf("%s handler: the %s shows %q:\n%s", name, where, s, text)
				}
			}
		}
	}
}

// logs is a task that logs a value in every way there is.
func logs[T any](make func(v T) any) func(ctx *runtime.Context, v T) error {
	return func(ctx *runtime.Context, v T) error {
		ctx.Logger().Info("m", "k", make(v))
		ctx.Logger().With("k", make(v)).WithGroup("g").Info("m", slog.Group("h", "k", make(v)))
		return nil
	}
}

// declined panics while its arguments are still needed: a stack would show them.
//
//go:noinline
func declined(card int64, pin [4]byte) error {
	defer func(n int64, p [4]byte) { _, _ = n, p }(card, pin)
	if time.Now().IsZero() {
		return fmt.Errorf("%d %d", card, pin)
	}
	panic("flaky: declined")
}

// What a redacted parameter holds is not shown in the forms that errors and
// handlers of logs give it.
//
// Proves: FEATURES 80, RELIABILITY 21
func TestRedact_InEveryForm(t *testing.T) {
	const secret = "canary/ x&7ü"
	b64 := base64.StdEncoding.EncodeToString([]byte(secret))
	tests := map[string]func(t *testing.T){
		"an error that says more with %+v": func(t *testing.T) {
			neverShown(t, "string", secret, logs(func(s string) any { return plainOrDetailed{s} }), secret)
		},
		"an error that says more by Error": func(t *testing.T) {
			neverShown(t, "string", secret, logs(func(s string) any { return wordy{s} }), secret)
		},
		"text": func(t *testing.T) {
			neverShown(t, "string", secret, logs(func(s string) any { return textual{s} }), secret)
		},
		"bytes": func(t *testing.T) {
			neverShown(t, "string", secret, logs(func(s string) any { return []byte(s) }), secret, b64)
		},
		"the name of a logger": func(t *testing.T) {
			neverShown(t, "string", secret, func(ctx *runtime.Context, s string) error {
				ctx.Logger(s).Info("m")
				return nil
			}, secret)
		},
		"a URL": func(t *testing.T) {
			neverShown(t, "string", secret, func(_ *runtime.Context, s string) error {
				u := "https://bank.example/" + url.PathEscape(s) + "?card=" + url.QueryEscape(s)
				return &url.Error{Op: "Get", URL: u, Err: errFlaky}
			}, url.PathEscape(secret), url.QueryEscape(secret))
		},
		"verbs": func(t *testing.T) {
			neverShown(t, "string", secret, func(_ *runtime.Context, s string) error {
				return fmt.Errorf("%s %q %+q %x %X %v %#v", s, s, s, s, s, []byte(s), struct{ S string }{s})
			}, secret, fmt.Sprintf("%x", secret), fmt.Sprintf("%X", secret), fmt.Sprintf("%d", []byte(secret)), `canary/ x&7\u00fc`)
		},
		"bytes that are not text": func(t *testing.T) {
			raw := []byte("\xff\xfecanary")
			neverShown(t, "[]byte", raw, func(ctx *runtime.Context, b []byte) error {
				ctx.Logger().Info("m", "k", b)
				return fmt.Errorf("%x %v %q", b, b, b)
			}, fmt.Sprintf("%x", raw), fmt.Sprintf("%d", raw), "canary")
		},
		"a float": func(t *testing.T) {
			neverShown(t, "float64", 1500000.5e3, func(ctx *runtime.Context, f float64) error {
				ctx.Logger().Info("m", "k", f)
				return fmt.Errorf("%v %f %.1f", f, f, f)
			}, "1.5000005e+09", "1500000500")
		},
		"a duration": func(t *testing.T) {
			d := 90 * time.Minute
			neverShown(t, "time.Duration", d, func(ctx *runtime.Context, d time.Duration) error {
				ctx.Logger().Info("m", "k", d)
				return fmt.Errorf("%v %d", d, d)
			}, d.String(), fmt.Sprint(int64(d)))
		},
		"a time": func(t *testing.T) {
			born := time.Date(1971, 2, 3, 0, 0, 0, 0, time.UTC)
			neverShown(t, "time.Time", born, func(ctx *runtime.Context, b time.Time) error {
				ctx.Logger().Info("m", "k", b)
				return fmt.Errorf("%v %s", b, b.Format(time.DateOnly))
			}, "1971-02-03")
		},
		"an argument in the stack of a panic": func(t *testing.T) {
			neverShown(t, "int64", canaryNumber, func(_ *runtime.Context, n int64) error {
				return declined(n, [4]byte{0xca, 0xfe, 0xba, 0xbe})
			}, fmt.Sprintf("%x", int64(canaryNumber)), "0xca, 0xfe")
		},
		"the keys of a map": func(t *testing.T) {
			neverShown(t, "map[string]bool", map[string]bool{secret: true}, func(_ *runtime.Context, m map[string]bool) error {
				return fmt.Errorf("%v", m)
			}, secret)
		},
		"a value that cannot be shown": func(t *testing.T) {
			neverShown(t, "string", secret, logs(func(string) any { return hostile{} }), secret, "panic: hostile")
		},
	}
	for name, test := range tests {
		t.Run(name, test)
	}
}

// suspicious is a parameter whose Validate says too much, by an error that is
// its value.
type suspicious string

func (s suspicious) Validate() error { return suspicion(s) }

type suspicion string

func (s suspicion) Error() string { return "suspicious: " + string(s) }

// Proves: RELIABILITY 21
func TestRedact_HidesTheTextOfValidate(t *testing.T) {
	u := newUnit[suspicious, runtime.Void]("test.Suspicious", func(s *wire.Spec) { s.Params[0].Redact = true })
	_, err := u.call("canary").Enqueue(context.Background(), runtime.New(newMemory(t), runtime.Config{}))
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		if text := fmt.Sprintf(verb, err); err == nil || strings.Contains(text, "canary") {
			t.Errorf("%s: %s", verb, text)
		}
	}
	var invalid *wire.InvalidError
	if !errors.As(err, &invalid) || strings.Contains(fmt.Sprintf("%#v", invalid), "canary") {
		t.Errorf("%#v", invalid)
	}
}
