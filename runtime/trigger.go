package runtime

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"reflect"

	"github.com/taskctx/taskctx/runtime/internal/guard"
	"github.com/taskctx/taskctx/runtime/wire"
)

// TriggerError is the error of [Trigger].
type TriggerError struct{ Attrs []slog.Attr }

// Trigger returns an error with which a task signals its surroundings: the
// app's OnTrigger hooks are asked, and one of them may supply the task's
// result instead. If none does, it is the task's error like any other.
func Trigger(attrs ...slog.Attr) error { return &TriggerError{attrs} }

func (e *TriggerError) Error() string {
	if len(e.Attrs) == 0 {
		return "task triggered"
	}
	return fmt.Sprintf("task triggered: %v", e.Attrs)
}

// TriggerHook is asked when a task returns a [Trigger] error. With handled it
// supplies the result, which must encode as the task's result type does, or the
// error that the task ends with. It runs in the task, before its cleanups.
type TriggerHook func(ctx *Context, t *TriggerError) (result any, handled bool, err error)

// trigger asks the hooks about the error of a task with a result of the type that
// p points to.
func (r *run) trigger(err error, p any) error {
	hooks := r.app.cfg.OnTrigger
	if len(hooks) == 0 {
		return err
	}
	t, ok := guard.As[*TriggerError](err)
	if !ok {
		return err
	}
	for _, hook := range hooks {
		if hook == nil {
			continue
		}
		supplied, handled, herr := hook(&r.root, t)
		if !handled {
			continue
		}
		if herr != nil {
			return herr
		}
		raw, jerr := json.Marshal(supplied)
		if jerr == nil {
			jerr = wire.DecodeResult(raw, reflect.New(reflect.TypeOf(p).Elem()).Interface())
		}
		if jerr != nil {
			return Permanent(fmt.Errorf("result of a trigger hook: %w", jerr))
		}
		return (*Result)(r).succeeded(raw, nil)
	}
	return err
}
