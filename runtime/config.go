package runtime

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/taskctx/taskctx/runtime/hook"
	"github.com/taskctx/taskctx/runtime/inspect"
)

// Config sets up an App. Its zero value works.
//
// A failing hook fails only the run or Enqueue it was called for, by an error:
// a panic, runtime.Goexit and a nil result do not harm the process or another
// task. So an app with EnqueueMiddleware, Propagators or Codec enqueues on a
// goroutine of its own; BenchmarkEnqueueHooked measures the cost. Methods of
// the arguments, such as MarshalJSON, run on the caller's goroutine: a Goexit
// there ends it, and nothing is enqueued.
type Config struct {
	// Workers is how many tasks run at a time. Defaults to 10.
	Workers int
	// Queues are the queues that the worker serves. Defaults to the queues of
	// all registered tasks, and "default".
	Queues []string
	// QueueWorkers gives a queue workers of its own in this process, beside
	// Workers, which then run the tasks of the other queues: so many of its tasks
	// run at a time, and no other queue takes their workers. The engine knows them
	// as one more worker for each queue. A queue of QueueWorkers is served whether
	// Queues names it or not.
	QueueWorkers map[string]int
	// QueueWeights is how often a queue goes first when Workers look for a task: one of
	// weight 6 twice as often as one of weight 3. All that no queue before it has
	// tasks for goes to the next, so that no worker is idle and no queue waits for
	// ever. A queue without a weight has 1; one with a weight is served whether Queues
	// names it or not. Defaults to the task that has been due longest on memory and
	// SQLite, and to each queue in turn on Postgres and Redis.
	QueueWeights map[string]int
	// StrictQueues runs no task of a queue while one with a higher weight in
	// QueueWeights has tasks that are due, however long it has waited.
	StrictQueues bool
	// Logger gets the app's messages and those of tasks. Defaults to
	// slog.Default() at the time of New. With slog.DiscardHandler observers
	// and records still get the lines of tasks from level info on.
	Logger *slog.Logger
	// Middleware goes around every task, the first outermost.
	Middleware []Middleware
	// StepMiddleware goes around the function of every [Step] that runs, the first
	// outermost.
	StepMiddleware []StepMiddleware
	// EnqueueMiddleware goes around every enqueueing, the first outermost.
	EnqueueMiddleware []EnqueueMiddleware
	// Observers see the events of tasks.
	Observers []hook.Observer
	// Propagators carry values of the enqueuer's context to the task's.
	Propagators []hook.Propagator
	// OnTrigger are asked, in order, when a task returns [Trigger].
	OnTrigger []TriggerHook
	// Codec transforms the encoded arguments on their way to the engine and
	// back, for example to encrypt them. Defaults to none.
	Codec hook.Codec
	// Sealed are further parts of a task that go through the Codec, beside its
	// arguments. Defaults to none.
	Sealed []hook.Part
	// RetryIf says whether a task that failed with err, and has retries left,
	// is retried. Defaults to always.
	RetryIf func(m inspect.Metadata, err error) bool
	// RetryPolicy says how long to wait before a retry, instead of the task's
	// own delay and backoff.
	RetryPolicy func(m inspect.Metadata, err error) time.Duration
	// ShutdownTimeout is how long Stop lets running tasks go on before it ends
	// their contexts with ErrShutdown. Defaults to 30 s.
	ShutdownTimeout time.Duration
	// ShutdownGrace is how long Stop then waits before it gives running tasks
	// back to the engine. Defaults to 5 s.
	ShutdownGrace time.Duration
	// SkipUnsupported starts the app without the tasks that its engine cannot
	// honour, such as one with a priority on Redis, and logs that. Enqueueing
	// such a task is still [ErrUnsupported]. By default the app does not
	// start.
	SkipUnsupported bool
	// MaxPayload is the largest size of encoded arguments and of a result, in
	// bytes. A task with larger arguments, from a process that allows them, is
	// parked. Defaults to 1 MiB.
	MaxPayload int
	// KeepLogs is how many of a task's log lines are kept on its record: the
	// last ones that pass Logger's level. Each line keeps 4 KiB of its message
	// and of its attributes, and all lines together 64 KiB when compressed;
	// Record.LogsDropped counts the others. Defaults to none.
	KeepLogs int
	// History counts what becomes of this process's tasks, and how long they waited
	// and ran, and hands it to the engine once a minute and at the stop, with one
	// statement: [App.History] and the dashboard show it, also after a restart. What
	// a process has counted since is lost with it if it is killed.
	History bool
	// Keep is how long records stay after their tasks have succeeded.
	// Defaults to 1 h; tasks may differ by [WithKeep].
	Keep time.Duration
	// KeepFailed is how long records stay after their tasks have failed or were
	// cancelled. Defaults to 7 days; tasks may differ by [WithKeepFailed].
	KeepFailed time.Duration
	// ParkFor is how long a task waits that no worker here can run, since its
	// name, arguments or format are of another version. It is tried again
	// until then, and fails afterwards. Defaults to 24 h.
	ParkFor time.Duration
}

// allWorkers is how many tasks run at a time, in all queues.
func (c *Config) allWorkers() int {
	n := c.Workers
	for _, own := range c.QueueWorkers {
		n += own
	}
	return n
}

// Handler runs a task, or one layer of middleware around it.
type Handler func(ctx *Context) error

// Middleware wraps the handler of every task. It may act before and after, see
// or change the error, or not call next: a task that then succeeds has the
// zero value for its result. It must call next at most once. If it returns
// before next does, the task holds its worker slot until next returns.
//
// Middleware has the last word on the task, not on its effects. The cleanups
// of task scope, which commit or roll back, run before next returns, with the
// error of the task function. So a task whose error middleware forgives
// succeeds with its transaction rolled back; a task that middleware fails
// after next returned nil is retried with its transaction committed. To put
// more into the task's context, middleware passes on ctx.With(derived).
type Middleware func(next Handler) Handler

// detach copies the lists, so that the caller may go on changing its own.
func (c *Config) detach() {
	c.Queues = slices.Clone(c.Queues)
	c.QueueWorkers = maps.Clone(c.QueueWorkers)
	c.QueueWeights = maps.Clone(c.QueueWeights)
	c.Sealed = slices.Clone(c.Sealed)
	c.Middleware = slices.Clone(c.Middleware)
	c.StepMiddleware = slices.Clone(c.StepMiddleware)
	c.EnqueueMiddleware = slices.Clone(c.EnqueueMiddleware)
	c.Observers = slices.Clone(c.Observers)
	c.Propagators = slices.Clone(c.Propagators)
	c.OnTrigger = slices.Clone(c.OnTrigger)
}

func (c *Config) setDefaults() {
	if c.Workers == 0 {
		c.Workers = 10
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Logger.Handler() == slog.DiscardHandler && (c.KeepLogs > 0 || len(c.Observers) > 0) {
		c.Logger = slog.New(mute{})
	}
	setDefault(&c.ShutdownTimeout, 30*time.Second)
	setDefault(&c.ShutdownGrace, 5*time.Second)
	setDefault(&c.Keep, time.Hour)
	setDefault(&c.KeepFailed, 7*24*time.Hour)
	setDefault(&c.ParkFor, 24*time.Hour)
	if c.MaxPayload == 0 {
		c.MaxPayload = 1 << 20
	}
}

func setDefault(d *time.Duration, to time.Duration) {
	if *d == 0 {
		*d = to
	}
}

// validate returns all errors in the configuration.
func (c *Config) validate() []error {
	var errs []error
	if c.Workers < 0 {
		errs = append(errs, fmt.Errorf("Config.Workers is %d: it must be positive", c.Workers))
	}
	if c.MaxPayload < 0 {
		errs = append(errs, fmt.Errorf("Config.MaxPayload is %d: it must be positive", c.MaxPayload))
	}
	if c.KeepLogs < 0 {
		errs = append(errs, fmt.Errorf("Config.KeepLogs is %d: it must not be negative", c.KeepLogs))
	}
	for _, d := range []struct {
		name  string
		value time.Duration
	}{
		{"ShutdownTimeout", c.ShutdownTimeout}, {"ShutdownGrace", c.ShutdownGrace},
		{"Keep", c.Keep}, {"KeepFailed", c.KeepFailed}, {"ParkFor", c.ParkFor},
	} {
		if d.value < 0 {
			errs = append(errs, fmt.Errorf("Config.%s is %s: it must be positive", d.name, d.value))
		}
	}
	if len(c.Sealed) > 0 && c.Codec == nil {
		errs = append(errs, errors.New("Config.Sealed names parts of a task, but Config.Codec is nil"))
	}
	return slices.Concat(errs, c.wrongQueues(),
		wrongIn("Sealed", "is no part that can be sealed", c.Sealed, func(p hook.Part) bool { return !slices.Contains(sealable, p) }),
		wrongIn("Middleware", "is nil", c.Middleware, func(m Middleware) bool { return m == nil }),
		wrongIn("StepMiddleware", "is nil", c.StepMiddleware, func(m StepMiddleware) bool { return m == nil }),
		wrongIn("EnqueueMiddleware", "is nil", c.EnqueueMiddleware, func(m EnqueueMiddleware) bool { return m == nil }),
		wrongIn("Observers", "is nil", c.Observers, func(o hook.Observer) bool { return o == nil }),
		wrongIn("Propagators", "is nil", c.Propagators, func(p hook.Propagator) bool { return p == nil }),
		wrongIn("Queues", "is empty", c.Queues, func(q string) bool { return q == "" }))
}

// wrongIn returns an error for each wrong element of a field.
func wrongIn[T any](field, what string, list []T, wrong func(T) bool) []error {
	var errs []error
	for i, v := range list {
		if wrong(v) {
			errs = append(errs, fmt.Errorf("Config.%s[%d] %s", field, i, what))
		}
	}
	return errs
}

// errConfig begins the error of an app that cannot start.
var errConfig = errors.New("the app cannot start")
