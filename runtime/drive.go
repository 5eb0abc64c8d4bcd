package runtime

import (
	"context"
	"slices"

	"github.com/taskctx/taskctx/runtime/engine"
)

// Drive runs one delivery of a task here and now, as a started app does, from
// its decoding to its cleanups, and then closes what it opened. It is for tools
// that test tasks: no engine serves, and of the registered tasks only this one
// needs to have what it needs. The app must not be started, or be driven
// elsewhere: that is [ErrStarted]. The error says that the task could not run,
// or that something failed to close; what became of the task is the outcome.
func (a *App) Drive(ctx context.Context, d *engine.Delivery) (engine.Outcome, error) {
	w, err := a.newWorker(ctx, d.Message.Name)
	if err != nil {
		return engine.Outcome{}, err
	}
	s, err := a.begin(ctx, w, func(error) {})
	if err != nil {
		return engine.Outcome{}, err
	}
	a.observe(Event{Kind: EventWorkerStart, Worker: w.id})
	o := w.run(ctx, d)
	a.end(s, nil)
	return o, a.errorOf(s)
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
