package tasktest

import (
	"context"
	"log/slog"
	"testing"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/glue"
)

// Option changes the surroundings in which [Run], [Context] and [NewRecorder]
// work.
type Option func(*settings)

type settings struct {
	ctx     context.Context
	cfg     runtime.Config
	name    string
	attempt int
	call    []runtime.Option
	setup   []func(*runtime.App)
	rec     *Recorder

	engine   engine.Engine // instead of the recorder's
	answers  []func(*Recorder)
	sends    []sending
	children bool
	dying    bool
}

func newSettings(t testing.TB, opts []Option) *settings {
	t.Helper()
	s := &settings{ctx: context.Background(), name: "tasktest.Task"}
	s.apply(opts)
	if s.attempt < 0 {
		t.Fatalf("tasktest: WithAttempt(%d): it must not be negative", s.attempt)
	}
	if s.rec == nil {
		s.rec = newRecorder(s)
	}
	return s
}

func (s *settings) apply(opts []Option) {
	for _, o := range opts {
		if o != nil {
			o(s)
		}
	}
}

// app returns an app with everything but its tasks. It logs to the test.
func (s *settings) app(t testing.TB, register func(*runtime.App)) *runtime.App {
	cfg := s.cfg
	cfg.Workers = 1
	if cfg.Logger == nil {
		level := &slog.HandlerOptions{Level: slog.LevelDebug}
		cfg.Logger = slog.New(slog.NewTextHandler(t.Output(), level))
	}
	var on engine.Engine = s.rec.engine
	if s.engine != nil {
		on = s.engine
	}
	app := runtime.New(on, cfg)
	if register != nil {
		register(app)
	}
	for _, f := range s.setup {
		f(app)
	}
	return app
}

// WithAttempt makes the run the given attempt, counted from zero, as if all
// earlier ones had failed.
func WithAttempt(n int) Option { return func(s *settings) { s.attempt = n } }

// WithTag gives the task a tag.
func WithTag(key, value string) Option { return With(runtime.WithTag(key, value)) }

// With enqueues the task with the options: a queue, a timeout, a deadline.
func With(opts ...runtime.Option) Option {
	return func(s *settings) { s.call = append(s.call, opts...) }
}

// WithName sets the name of the task that [Context] seems to run, by default
// "tasktest.Task".
func WithName(name string) Option { return func(s *settings) { s.name = name } }

// WithContext runs the task with a context made from ctx, so that it ends when
// ctx does and has its values. When ctx is a task's, that task is the parent.
func WithContext(ctx context.Context) Option { return func(s *settings) { s.ctx = ctx } }

// WithConfig runs the task by an app of this configuration, with its
// middleware, codec, propagators, observers and hooks. Its Logger is by default
// one that writes to the test's output, and its Workers is always 1.
func WithConfig(cfg runtime.Config) Option { return func(s *settings) { s.cfg = cfg } }

// WithRecorder keeps the calls that the task itself enqueues on its app.
func WithRecorder(r *Recorder) Option { return func(s *settings) { s.rec = r } }

// Supply gives the app a value, as [runtime.Supply] does. It comes after the
// registration, so that it wins.
func Supply[T any](v T) Option { return Setup(func(app *runtime.App) { runtime.Supply(app, v) }) }

// Build replaces the function that builds the context type C, as
// [glue.RegisterContext] does after the registration.
func Build[C any](build func(*runtime.Context) (C, error), needs ...glue.Need) Option {
	return Setup(func(app *runtime.App) { glue.RegisterContext(app, build, needs...) })
}

// Setup calls f with the app after the registration.
func Setup(f func(*runtime.App)) Option {
	return func(s *settings) { s.setup = append(s.setup, f) }
}
