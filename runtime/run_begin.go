package runtime

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/hook"
	"github.com/taskctx/taskctx/runtime/internal/guard"
	"github.com/taskctx/taskctx/runtime/internal/link"
	"github.com/taskctx/taskctx/runtime/wire"
)

// errCrashed is the reason of a task that fails without another run.
var errCrashed = errors.New("worker was lost during the task's last attempt")

// checkCrashed fails a task whose lost workers have used all of its attempts.
func (r *run) checkCrashed() error {
	x := r.more()
	x.reading.Lock()
	defer x.reading.Unlock()
	if m := r.loadMemo(x); m.Concluded == r.d.Attempt+1 {
		return nil // it failed in the ordinary way, and was retried by hand
	}
	return Permanent(errCrashed)
}

// lay finds out how to make a run together with arguments of the task, and how
// to list these.
func (reg *registration) lay() error {
	args := reg.args.(reflect.Type)
	layout, err := wire.LayoutOf(args, reg.def.Params)
	if err != nil {
		return fmt.Errorf("task %s: %w", reg.def.Name, err)
	}
	reg.alloc = allocator(reg.args)
	reg.list = func(args any, f *wire.Fields) { layout.List(f, reflect.ValueOf(args).UnsafePointer()) }
	return nil
}

// allocator returns what makes a run together with arguments of the type.
func allocator(args link.Type) func() (*run, any) {
	both := reflect.StructOf([]reflect.StructField{
		{Name: "Run", Type: reflect.TypeFor[run]()},
		{Name: "Args", Type: args.(reflect.Type)},
	})
	return func() (*run, any) {
		v := reflect.New(both).Elem()
		return v.Field(0).Addr().Interface().(*run), v.Field(1).Addr().Interface()
	}
}

// registration is a registered task.
type registration struct {
	def     *wire.Definition
	args    link.Type   // a struct, whose pointer is a glue.Runnable; nil of a task described by hand
	context link.Type   // of the task's first parameter
	needs   []link.Need // of the task itself, as its receiver
	call    taskFunc

	// build, made when the app starts, makes a context: it is a func(*Context)
	// (C, error). alloc makes a run with its arguments.
	build any
	alloc func() (*run, any)
	list  func(args any, f *wire.Fields)
}

// taskFunc is a link.Task's Call.
type taskFunc func(build, args any, ctx *Context, result *Result) (built bool, err error)

// client reports whether other processes run the task.
func (reg *registration) client() bool { return reg.call == nil }

// start returns a copy for one start of the app, with build and alloc.
func (reg *registration) start(app *App) (*registration, error) {
	c := *reg
	var err error
	if c.build, err = app.constructor(reg.context); err != nil {
		return nil, err
	}
	if c.alloc == nil {
		if err := c.lay(); err != nil {
			return nil, err
		}
	}
	return &c, nil
}

// newRun makes the run of one delivery, with its arguments.
func (reg *registration) newRun() *run {
	r, args := reg.alloc()
	r.reg, r.args = reg, args
	return r
}

// accepts reports, before anything is decoded, whether arguments enqueued with
// another signature can be read as the parameters of this one.
func accepts(s *wire.Definition, sig string) error {
	if sig == s.Derive().Signature || sig == "" { // empty: a foreign producer
		return nil
	}
	theirs := make(map[string]string)
	for field := range strings.FieldsSeq(sig) {
		name, typ, _ := strings.Cut(field, ":")
		theirs[name] = typ
	}
	for _, p := range s.Params {
		typ, ok := theirs[p.Key()]
		delete(theirs, p.Key())
		if !ok && !p.Optional {
			return park("the task was enqueued by another version, without parameter %q", p.Name)
		}
		if !ok || typ == p.Sig {
			continue
		}
		here := parseFingerprint(p.Sig)
		if err := here.fits(p.Name, typ); err != nil {
			return err
		}
	}
	for name := range theirs {
		return park("the task was enqueued by another version, with parameter %q that this one does not have", name)
	}
	return nil
}

// run runs a delivery on a goroutine of its own, which a handler may end.
func (w *worker) run(ctx context.Context, d *engine.Delivery) (o engine.Outcome) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.runInline(ctx, d, &o)
	}()
	<-done
	return o
}

// runInline runs a delivery: it takes a slot, decodes the arguments, calls the
// handler, and decides on the outcome. This is the path of every task.
func (w *worker) runInline(ctx context.Context, d *engine.Delivery, o *engine.Outcome) {
	reg, ok := w.tasks[d.Message.Name]
	if !ok { // engines hand out only known names
		*o = engine.Outcome{Kind: engine.OutcomeDelay, After: parkDelay, Reason: unknownTask(d.Message.Name)}
		return
	}
	slot := w.slots.take(ctx)
	if slot == nil {
		*o = engine.Outcome{Kind: engine.OutcomeRelease}
		return
	}
	r := reg.newRun()
	r.root.run, r.app, r.msg, r.d, r.slot, r.life.Parent, r.worker = r, w.app, d.Message, d, slot, ctx, w
	if w.history != nil {
		slot.began = time.Now()
	}
	defer w.finish(r, o)
	slot.run.Store(r)
	if cause := cmp.Or(d.Bind(&r.life), w.slots.stopCause()); cause != nil {
		r.life.Cancel(cause) // stopped before it began: it does not begin
		r.err = cause
	} else if err := r.admit(); err != nil {
		r.err = err
	} else {
		if w.app.watched() {
			w.app.observe(event{Event: hook.Event{Kind: hook.EventStart}, run: r})
		}
		r.err = w.handler(&r.root) // middleware has the last word
	}
	r.flags.handled = true
}

// admit checks, before anything of the user's runs, that this worker can run
// the task, and decodes its arguments.
func (r *run) admit() error {
	m := &r.msg.Meta
	if m.Version > engine.WireVersion {
		return park("message has format %d, this worker reads up to %d", m.Version, engine.WireVersion)
	}
	if err := accepts(r.reg.def, m.Signature); err != nil {
		return err
	}
	if r.reg.def.Timeout > 0 || m.Timeout > 0 || !m.Deadline.IsZero() {
		now := time.Now()
		if !m.Deadline.IsZero() && !now.Before(m.Deadline) {
			return Permanent(ErrDeadline)
		}
		r.setLimit(now)
	}
	if r.d.Attempt > r.retries() && r.failures() > r.retries() {
		if err := r.checkCrashed(); err != nil {
			return err
		}
	}
	if n := len(r.msg.Args); n > r.app.cfg.MaxPayload { // another worker may allow more
		return &parkError{fmt.Sprintf("arguments are %d bytes, the limit here is %d (Config.MaxPayload)",
			n, r.app.cfg.MaxPayload), true}
	}
	args, err := r.app.decodeArgs(r.msg)
	if err != nil {
		return park("decode arguments: %s", guard.Text(err))
	}
	// A producer that is no App sends no signature. A task that is described by hand
	// may leave its parameters out: then all keys are those of its fields.
	foreign := m.Signature == "" && (r.reg.args != nil || len(r.reg.def.Params) > 0)
	if foreign {
		err = wire.UnmarshalForeign(args, r.listArgs, r.reg.def.Params)
	} else {
		err = wire.Unmarshal(args, r.listArgs, r.reg.def.Params)
	}
	if err != nil {
		if _, refused := err.(*wire.InvalidError); refused {
			return Permanent(hideSecrets(r.reg.def, err))
		}
		return park("decode arguments: %s", guard.Text(err))
	}
	r.extract()
	r.markRetry()
	return nil
}

func (r *run) listArgs(f *wire.Fields) { r.reg.list(r.args, f) }

// hideSecrets keeps the text of Validate about a redacted parameter out of the
// error's text.
func hideSecrets(d *wire.Definition, err error) error {
	e, ok := err.(*wire.InvalidError)
	if ok && slices.ContainsFunc(d.Params, func(p wire.Param) bool {
		return p.Name == e.Param && (p.Redact || len(p.Secret) > 0)
	}) {
		e.HideText()
	}
	return err
}
