package wire

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
	derived atomic.Value  // a *Derived, made when something first needs it
	asked   atomic.Uint64 // see Asked
}

// Derived is the part of a Spec that goes into messages.
type Derived struct {
	Queue     string
	Signature string
	Redact    []string
}

// Derive returns the task's part in messages, which is derived once.
func (d *Definition) Derive() *Derived {
	if w, _ := d.derived.Load().(*Derived); w != nil {
		return w
	}
	w := &Derived{Queue: d.Queue, Signature: d.signature()}
	if w.Queue == "" {
		w.Queue = engine.DefaultQueue
	}
	for _, p := range d.Params {
		switch {
		case p.Inline:
			w.Redact = append(w.Redact, p.Secret...)
		case p.Redact:
			w.Redact = append(w.Redact, p.Name)
		}
	}
	d.derived.Store(w)
	return w
}

// Asked is the number of the start of an app that was last asked for the task: an
// App's own.
func (d *Definition) Asked() *atomic.Uint64 { return &d.asked }

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
