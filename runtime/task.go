package runtime

import (
	"context"
	"reflect"
	"strings"
	"sync/atomic"
	"time"
)

// DefaultQueue is the queue of tasks that name none.
const DefaultQueue = "default"

// NoDelay is a Spec.Delay with which a task is retried at once.
const NoDelay time.Duration = -1

// Spec is what the annotation above a task function says, as data. Generated
// code makes one for each task.
type Spec struct {
	// Name is the stable name on the wire, and Aliases are the old names that
	// the function still serves.
	Name    string
	Aliases []string
	// Func is the name of the Go function.
	Func string
	// Queue defaults to [DefaultQueue].
	Queue string
	// Retries is the number of retries after the first run.
	Retries int
	// Delay is the wait before the first retry, by default 1 s; [NoDelay] is
	// none. Each further wait is Backoff times longer, by default 2, up to
	// MaxDelay, by default 1 h.
	Delay    time.Duration
	Backoff  float64
	MaxDelay time.Duration
	// Timeout is per attempt; zero is none.
	Timeout time.Duration
	// Priority is from 0 to 3, higher first.
	Priority int
	// Unique, if not zero, is how long a second enqueue of the same arguments
	// returns the first task.
	Unique time.Duration
	// Tags are the default tags.
	Tags map[string]string
	// Params are the parameters on the wire, in order.
	Params []Param
}

// Param is one parameter of a task on the wire.
type Param struct {
	Name string
	// Sig is the fingerprint of the type, without spaces: types of the same
	// fingerprint read each other's values.
	Sig string
	// Optional: an older task may lack it, and it is then the zero value.
	Optional bool
	// Redact: its value is never shown in a log, an error or a record. It is
	// looked for in their text as fmt, encoding/json and net/url write it, whole
	// or by its fields and elements, and as bytes in hex and base64; not in
	// other forms, such as a part of it. It is stored as it is: to encrypt what
	// is stored is for a [Codec].
	Redact bool
}

// signature is what tells two versions of a task apart: the parameters' names
// and fingerprints, in order.
func (s *Spec) signature() string {
	var b strings.Builder
	for i, p := range s.Params {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(p.Name)
		b.WriteByte(':')
		b.WriteString(p.Sig)
	}
	return b.String()
}

// Task is a task function as its generated code describes it: how to enqueue a
// call with arguments of the struct A, and how to read them back. It holds no
// reference to the function itself, so that a task may enqueue itself. R is
// the type of the result, [Void] if there is none.
type Task[A, R any] struct {
	spec   *spec
	fields func(*A, *Fields)
}

// spec is a Spec with what is derived from it once.
type spec struct {
	Spec
	sig    string
	redact []string
	known  atomic.Uint64 // the start of an app that was last asked for the task
}

// NewTask describes a task. fields lists A's fields to [Fields], for encoding
// and decoding alike; it is nil for a task without parameters.
func NewTask[A, R any](s Spec, fields func(*A, *Fields)) *Task[A, R] {
	if s.Queue == "" {
		s.Queue = DefaultQueue
	}
	p := &spec{Spec: s, sig: s.signature()}
	for _, param := range s.Params {
		if param.Redact {
			p.redact = append(p.redact, param.Name)
		}
	}
	return &Task[A, R]{spec: p, fields: fields}
}

// Call encodes the arguments, which args lists, and returns the call as a
// value. An argument that cannot be encoded is an error when it is enqueued.
func (t *Task[A, R]) Call(args func(*Fields), opts []Option) Call[R] {
	payload, err := encodeFields(args)
	if err != nil {
		err = t.spec.hideSecrets(err)
	}
	return Call[R]{AnyCall{spec: t.spec, args: payload, err: err, opts: opts}}
}

// Void is the result of a task that has none.
type Void struct{}

// Register adds a task to the app: how to call its function with a context of
// type C and decoded arguments. C is context.Context, [*Context], or a type
// given to [RegisterContext]. Generated code calls it; so may others, before
// the app starts.
func Register[C, A, R any](app *App, t *Task[A, R], run func(C, *A) (R, error)) {
	app.register(&handler[C, A, R]{task: t, fn: run})
}

// RegisterContext tells the app how to build the context type C for a run. The
// last registration of a type before the start wins, so that a test can
// replace it. needs is what build asks of the app; App.Start checks it.
func RegisterContext[C any](app *App, build func(*Context) (C, error), needs ...Need) {
	app.registerContext(reflect.TypeFor[C](), build, needs)
}

// BuildContext builds the registered context type C within a run: for
// constructors of context types that embed C, and for tests. Of context.Context
// and [*Context] there is nothing to build.
func BuildContext[C any](ctx context.Context) (C, error) {
	return buildContext[C](ctx)
}
