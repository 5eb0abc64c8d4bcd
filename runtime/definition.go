package runtime

import (
	"strings"
	"sync/atomic"

	"github.com/taskctx/taskctx/runtime/engine"
)

// Definition is a task as generated code declares it, with a result of type R,
// or [Void]. It is plain data: a package of tasks runs no code when its
// program starts. It refers to no function, so that a task may enqueue itself.
// It must not be copied.
type Definition struct {
	Spec
	wire  atomic.Value  // a *wireSpec, made when something first needs it
	known atomic.Uint64 // the start of an app that was last asked for the task
}

// wireSpec is the part of a Spec that goes into messages, derived once.
type wireSpec struct {
	queue     string
	signature string
	redact    []string
}

// derive returns the task's part in messages.
func (d *Definition) derive() *wireSpec {
	if w, _ := d.wire.Load().(*wireSpec); w != nil {
		return w
	}
	w := &wireSpec{queue: d.Queue, signature: d.signature()}
	if w.queue == "" {
		w.queue = engine.DefaultQueue
	}
	for _, p := range d.Params {
		switch {
		case p.Inline:
			w.redact = append(w.redact, p.Secret...)
		case p.Redact:
			w.redact = append(w.redact, p.Name)
		}
	}
	d.wire.Store(w)
	return w
}

// priorityOf is a priority as messages have it; what does not exist stays so, for
// the engine to refuse.
func priorityOf(p int) int8 { return int8(max(min(p, engine.Priorities), -1)) }

// signature identifies a version of the task: the names and fingerprints of
// its parameters, in order.
func (d *Definition) signature() string {
	var b strings.Builder
	for i, p := range d.Params {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(p.Key())
		b.WriteByte(':')
		b.WriteString(p.Sig)
	}
	return b.String()
}
