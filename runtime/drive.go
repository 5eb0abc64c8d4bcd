package runtime

import (
	"context"
	"slices"

	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/hook"
)

// Drive runs one delivery of a task here and now, from its decoding to its
// cleanups, as a started app does, and then closes the values it opened. It is
// for tools that test tasks: no engine serves, and only this task needs its
// supplies and contexts. If the app is started or driven elsewhere, the error
// is [ErrStarted]. Other errors say that the task could not run, or that a
// value failed to close. How the task ended is the outcome.
func (a *App) Drive(ctx context.Context, d *engine.Delivery) (engine.Outcome, error) {
	w, err := a.newWorker(ctx, d.Message.Name)
	if err != nil {
		return engine.Outcome{}, err
	}
	w.history = nil // nobody would hand it over
	s, err := a.begin(ctx, w, func(error) {})
	if err != nil {
		return engine.Outcome{}, err
	}
	a.observe(event{Event: hook.Event{Kind: hook.EventWorkerStart, Worker: w.id}})
	o := w.run(ctx, d)
	a.end(s, nil)
	return o, a.errorOf(s)
}

// StartSome is [App.Start] for tools that test tasks. It leaves out, for good,
// registered tasks that lack a supply or a context type, except the named
// ones.
func (a *App) StartSome(ctx context.Context, names ...string) error {
	a.mu.Lock()
	all := slices.Clone(a.tasks)
	a.mu.Unlock()
	kept := slices.DeleteFunc(all, func(r *registration) bool {
		return !slices.Contains(names, r.def.Name) && len(a.missing(map[string]*registration{r.def.Name: r})) > 0
	})
	a.mu.Lock()
	a.tasks = kept
	a.mu.Unlock()
	return a.Start(ctx)
}

// named returns the task of the name or alias: the last one, should several
// have it.
func (a *App) named(name string) map[string]*registration {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, r := range slices.Backward(a.tasks) {
		if r.def.Name == name || slices.Contains(r.def.Aliases, name) {
			return map[string]*registration{name: r}
		}
	}
	return nil
}

// known returns the task of the name or alias that the app runs, or else can
// enqueue for others, nil if there is none.
func (a *App) known(name string) *registration {
	if r := a.named(name)[name]; r != nil {
		return r
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, r := range a.clients {
		if r.def.Name == name || slices.Contains(r.def.Aliases, name) {
			return r
		}
	}
	return nil
}
