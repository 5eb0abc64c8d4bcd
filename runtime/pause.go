package runtime

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/taskctx/taskctx/runtime/engine"
)

// Pause pauses a queue, for the workers of all processes, until [App.Resume]:
// its tasks wait, also those that are enqueued or retried meanwhile, and those
// that run go on. A queue that is paused stays so. On Postgres it is River's own
// mark and on Redis asynq's, so that their tools show and end it. Workers of this
// process obey at once, those of others within moments. An engine that cannot
// pause is [ErrUnsupported].
func (a *App) Pause(ctx context.Context, queue string) error {
	return a.pause(ctx, "pause queue", engine.Pause{Queue: queue}, engine.Pauser.Pause)
}

// Resume ends the pause of a queue: its tasks run at once. A queue that is not
// paused is left as it is.
func (a *App) Resume(ctx context.Context, queue string) error {
	return a.pause(ctx, "resume queue", engine.Pause{Queue: queue}, engine.Pauser.Resume)
}

// PauseTask is [App.Pause] for the tasks of a name, in all queues. Other tasks of
// these queues go on. An alias of a task is a name of its own.
func (a *App) PauseTask(ctx context.Context, name string) error {
	return a.pause(ctx, "pause task", engine.Pause{Name: name}, engine.Pauser.Pause)
}

// ResumeTask ends the pause of a name.
func (a *App) ResumeTask(ctx context.Context, name string) error {
	return a.pause(ctx, "resume task", engine.Pause{Name: name}, engine.Pauser.Resume)
}

// Paused returns the pauses: queues by name, then tasks by name. Schedules are those of
// [App.PausedSchedules].
func (a *App) Paused(ctx context.Context) ([]engine.Pause, error) {
	p, err := a.pauser()
	if err != nil {
		return nil, fmt.Errorf("list what is paused: %w", err)
	}
	paused, err := p.Paused(ctx)
	if err != nil {
		return nil, fmt.Errorf("list what is paused: %w", err)
	}
	paused = slices.DeleteFunc(paused, func(p engine.Pause) bool { return strings.HasPrefix(p.Queue, schedulePrefix) })
	slices.SortFunc(paused, func(x, y engine.Pause) int {
		return cmp.Or(cmp.Compare(x.Name, y.Name), cmp.Compare(x.Queue, y.Queue))
	})
	return paused, nil
}

func (a *App) pauser() (engine.Pauser, error) {
	if a.engine == nil {
		return nil, errNoEngine
	}
	p, ok := engine.As[engine.Pauser](a.engine)
	if !ok {
		return nil, fmt.Errorf("pausing: %w", ErrUnsupported)
	}
	return p, nil
}

// pause pauses or resumes; doing is what of which kind.
func (a *App) pause(ctx context.Context, doing string, what engine.Pause,
	do func(engine.Pauser, context.Context, engine.Pause) error) error {
	name := what.Queue + what.Name
	if name == "" || !storable(name) {
		return fmt.Errorf("%s %q: not a name", doing, name)
	}
	p, err := a.pauser()
	if err == nil {
		err = do(p, ctx, what)
	}
	if err != nil {
		return fmt.Errorf("%s %q: %w", doing, name, err)
	}
	return nil
}
