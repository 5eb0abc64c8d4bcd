package runtime

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/inspect"
	"github.com/taskctx/taskctx/runtime/internal/guard"
)

// Schedules returns this app's schedules by name, whether it is started or not.
// The tasks that they have enqueued have the tag [TagEvery]; [App.LastOfSchedule] is the
// newest of them.
func (a *App) Schedules() []inspect.ScheduleInfo {
	a.mu.Lock()
	all := slices.Clone(a.periodic)
	a.mu.Unlock()
	infos := make([]inspect.ScheduleInfo, 0, len(all))
	for _, p := range all {
		i := inspect.ScheduleInfo{Name: p.name, Task: p.call.Name(), CatchUp: p.catchUp, CatchUpAll: p.all, SkipMissed: p.skips}
		if p.schedule != nil {
			now := time.Now()
			i.Next, _ = p.next(now) // Start says what is wrong with it
			i.LastTick, _ = p.last(now)
		}
		infos = append(infos, i)
	}
	slices.SortStableFunc(infos, func(x, y inspect.ScheduleInfo) int { return cmp.Compare(x.Name, y.Name) })
	return infos
}

// RunSchedule enqueues the task of a schedule now, beside its ticks, with the tag
// [TagEvery]. A name that no schedule has is [ErrUnknownSchedule].
func (a *App) RunSchedule(ctx context.Context, name string) (uuid.UUID, error) {
	a.mu.Lock()
	i := slices.IndexFunc(a.periodic, func(p periodic) bool { return p.name == name })
	var p periodic
	if i >= 0 {
		p = a.periodic[i]
	}
	a.mu.Unlock()
	if i < 0 || p.call.def == nil {
		return uuid.Nil, fmt.Errorf("run schedule %q: %w", name, ErrUnknownSchedule)
	}
	call := p.call.With(WithTag(TagEvery, p.name))
	h, err := enqueue(ctx, a, call)
	if err != nil {
		return uuid.Nil, fmt.Errorf("run schedule %q: %w", name, err)
	}
	return h.id, nil
}

// LastOfSchedule returns the record of the newest task that is kept of a schedule, which any
// process may have: of its ticks, or of [App.RunSchedule]. Without one it is
// [engine.ErrNotFound]. An engine that does not list the newest first is asked for all that
// are kept.
func (a *App) LastOfSchedule(ctx context.Context, name string) (*Record, error) {
	q := engine.Query{Tag: TagEvery, TagValue: name, Newest: true, Limit: 1}
	var last *Record
	for {
		rs, next, err := a.List(ctx, q)
		if q.Newest && errors.Is(err, engine.ErrUnsupported) {
			q = engine.Query{Tag: TagEvery, TagValue: name, Brief: true}
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("last task of schedule %q: %w", name, err)
		}
		for _, r := range rs {
			if last == nil || r.EnqueuedAt.After(last.EnqueuedAt) {
				last = r
			}
		}
		if next == "" || q.Newest && last != nil {
			break
		}
		q.Cursor = next
	}
	if last == nil {
		return nil, fmt.Errorf("last task of schedule %q: %w", name, engine.ErrNotFound)
	}
	if !q.Newest {
		return a.Lookup(ctx, last.ID)
	}
	return last, nil
}

// schedulePrefix begins the names of the queues whose pauses are those of schedules:
// so every engine can keep them, and other tools show them.
const schedulePrefix = "schedule "

// PauseSchedule leaves out the ticks of a schedule, in all processes, until
// [App.ResumeSchedule]: they are not made up for, and tasks that it has enqueued go on.
// [App.RunSchedule] runs it all the same. The name may be of a schedule that only
// other processes have. The pause is stored as that of a queue named "schedule " and
// the name: River's and asynq's tools show it so.
func (a *App) PauseSchedule(ctx context.Context, name string) error {
	return a.pauseSchedule(ctx, "pause schedule", name, engine.Pauser.Pause)
}

// ResumeSchedule ends the pause of a schedule, from its next tick on.
func (a *App) ResumeSchedule(ctx context.Context, name string) error {
	return a.pauseSchedule(ctx, "resume schedule", name, engine.Pauser.Resume)
}

func (a *App) pauseSchedule(ctx context.Context, doing, name string,
	do func(engine.Pauser, context.Context, engine.Pause) error) error {
	if name == "" || !storable(name) {
		return fmt.Errorf("%s %q: not a name", doing, name)
	}
	p, err := a.pauser()
	if err == nil {
		err = do(p, ctx, engine.Pause{Queue: schedulePrefix + name})
	}
	if err != nil {
		return fmt.Errorf("%s %q: %w", doing, name, err)
	}
	return nil
}

// PausedSchedules returns the names of the schedules that are paused, sorted.
func (a *App) PausedSchedules(ctx context.Context) ([]string, error) {
	p, err := a.pauser()
	if err != nil {
		return nil, fmt.Errorf("list paused schedules: %w", err)
	}
	paused, err := p.Paused(ctx)
	if err != nil {
		return nil, fmt.Errorf("list paused schedules: %w", err)
	}
	var names []string
	for _, p := range paused {
		if name, ok := strings.CutPrefix(p.Queue, schedulePrefix); ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// schedulePaused reports whether the schedule is paused. If the engine does not say,
// it is not: enqueueing its tick will say why.
func (a *App) schedulePaused(ctx context.Context, name string) bool {
	if _, err := a.pauser(); err != nil {
		return false
	}
	paused := false
	err := guard.Isolated(func() error {
		names, err := a.PausedSchedules(ctx)
		paused = slices.Contains(names, name)
		return err
	})
	return err == nil && paused
}
