package runtime

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/hook"
	"github.com/taskctx/taskctx/runtime/internal/guard"
	"github.com/taskctx/taskctx/runtime/wire"
)

// Signal is a message of type T that is sent to a durable task from outside:
// by a web handler, another task, a person. Make each once, as a package-level
// variable; two of one name and type are the same. T must survive JSON, like a
// parameter of a task. All methods may be called concurrently.
type Signal[T any] struct{ name string }

// NewSignal returns the signal of the name.
func NewSignal[T any](name string) *Signal[T] { return &Signal[T]{name} }

// Name is the signal's name.
func (s *Signal[T]) Name() string { return s.name }

// SendOption changes how a signal is sent.
type SendOption func(*sending)

type sending struct{ key string }

// WithSendKey makes the signal count once: a later one of the same name with
// this key, sent to the same task, changes nothing.
func WithSendKey(key string) SendOption { return func(s *sending) { s.key = key } }

// Send sends a value to a task, which is woken if it waits for the signal. It is
// kept for the task, in the order of sending, also before the task's first run
// and while it runs. With an unknown id the error is [ErrNotFound], for a task that has ended
// [ErrState], on an engine that has no durable tasks [ErrUnsupported], and
// [engine.ErrJournalFull] for a task that was sent too much. A task that is not durable
// is [ErrState], too, where the app has its function registered: elsewhere it is not
// told apart, and never reads it.
func (s *Signal[T]) Send(ctx context.Context, app *App, id uuid.UUID, v T, opts ...SendOption) error {
	raw, err := json.RawMessage(nil), checkType[T]()
	if err == nil {
		raw, err = wire.EncodeResult(&v)
	}
	if err == nil {
		raw, err = note[T](s.name, raw)
	}
	if err == nil {
		err = app.signal(ctx, id, s.name, raw, opts)
	}
	if err != nil {
		return aboutTask("send "+s.name+" to", id, err)
	}
	return nil
}

func (a *App) signal(ctx context.Context, id uuid.UUID, name string, plain json.RawMessage, opts []SendOption) error {
	var o sending
	for _, opt := range opts {
		if opt != nil {
			opt(&o)
		}
	}
	if a == nil {
		return errors.New("the app is nil")
	}
	if err := checkName(name); err != nil {
		return err
	}
	if o.key != "" {
		if err := checkName(o.key); err != nil {
			return fmt.Errorf("WithSendKey: %w", err)
		}
		if err := a.hashSendKey(&o.key); err != nil {
			return err
		}
	}
	j, ok := engine.As[engine.Journaler](a.engine)
	if !ok {
		return errNoJournals
	}
	if err := a.readsSignals(ctx, id); err != nil {
		return err
	}
	value, err := a.sealNote(signalMessage(name, id), hook.PartSignal, plain)
	if err != nil {
		return err
	}
	return j.Signal(ctx, id, name, o.key, value)
}

// readsSignals refuses a task whose function is known not to be durable. All else the
// engine knows.
func (a *App) readsSignals(ctx context.Context, id uuid.UUID) error {
	e, err := a.engine.Get(ctx, id)
	if err != nil || e.State.Final() {
		return nil
	}
	if reg := a.known(e.Message.Name); reg != nil && !reg.def.Durable {
		return fmt.Errorf("%w: %s is not durable, and reads no signals", ErrState, e.Message.Name)
	}
	return nil
}

// hashSendKey replaces the key by the codec's hash.
func (a *App) hashSendKey(key *string) error {
	hasher, ok := a.cfg.Codec.(hook.KeyHasher)
	if !ok {
		return nil
	}
	return guard.Call(func() error {
		*key = hex.EncodeToString(hasher.HashKey([]byte(*key)))
		return nil
	})
}

// awaited are the calls of Signal.Await for one name.
type awaited struct{ calls, taken int }

// Await returns the next value that was sent to the durable task, in the order
// of sending, or suspends the task until there is one. It waits for d at most,
// counted from the first run that came here; zero is for ever, and a negative
// time is over at once. A timeout is remembered: each later run gets
// [ErrAwaitTimeout] too, and a later value is for the next call. Each call of
// Await for a name takes one value, so only one goroutine of the task may
// await it.
func (s *Signal[T]) Await(ctx context.Context, d time.Duration) (T, error) {
	var none T
	j, err := durableOf(ctx, "Signal.Await")
	if err == nil {
		err = checkType[T]()
	}
	if err != nil {
		return none, inEntry("await", s.name, err)
	}
	e, err := j.awaitSignal(ctx, s.name, d)
	if err != nil {
		return none, inEntry("await", s.name, err)
	}
	app, id := j.r.app, j.r.id()
	plain, err := app.openNote(signalMessage(s.name, id), hook.PartSignal, e.Value)
	var v T
	if err == nil {
		v, err = readNote[T](s.name, plain)
	}
	if err != nil {
		return none, inEntry("await", s.name, park("signal %s: %s", s.name, guard.Text(err)))
	}
	return v, nil
}

// awaitSignal returns the entry of the next signal, or suspends the task.
func (d *durable) awaitSignal(ctx context.Context, name string, limit time.Duration) (*engine.JournalEntry, error) {
	if err := checkName(name); err != nil {
		return nil, Permanent(err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	a := d.awaited[name]
	if a == nil {
		if d.awaited == nil {
			d.awaited = make(map[string]*awaited)
		}
		a = new(awaited)
		d.awaited[name] = a
	}
	timer := fmt.Sprintf("%s%s#%d", ownMark, name, a.calls)
	over := timer + "/over"
	a.calls++
	if d.entryOf(over) != nil {
		return nil, ErrAwaitTimeout
	}
	if n := a.taken; n < len(d.signals[name]) {
		a.taken++
		return d.signals[name][n], nil
	}
	var until time.Time
	if limit != 0 {
		var err error
		if until, err = d.timer(ctx, d.entryOf(timer), timer, limit); err != nil {
			return nil, err
		}
		if !time.Now().Before(until) {
			passed := engine.NewEntry{Name: over, Kind: engine.EntryTimer, Value: json.RawMessage("true")}
			if _, err := d.record(ctx, []engine.NewEntry{passed}); err != nil {
				return nil, err
			}
			return nil, ErrAwaitTimeout
		}
	}
	return nil, d.suspend(ctx, engine.Wait{Need: 1, Name: name}, until, "signal "+name)
}
