package runtime

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
)

// ScheduleInfo is a schedule that [Every] was called with: a copy.
type ScheduleInfo struct {
	Name string `json:"name"`
	// Task is the name of the task that it enqueues.
	Task string `json:"task"`
	// Next is the next tick, zero if there is none or if the schedule fails.
	Next time.Time `json:"next,omitzero"`
	// CatchUp says that the app makes up for a tick that was missed.
	CatchUp bool `json:"catch_up,omitempty"`
}

// Schedules returns this app's schedules by name, whether it is started or not.
// The tasks that they have enqueued have the tag [TagEvery].
func (a *App) Schedules() []ScheduleInfo {
	a.mu.Lock()
	all := slices.Clone(a.periodic)
	a.mu.Unlock()
	infos := make([]ScheduleInfo, 0, len(all))
	for _, p := range all {
		i := ScheduleInfo{Name: p.name, Task: p.call.Name(), CatchUp: p.catchUp}
		if p.schedule != nil {
			i.Next, _ = p.next(time.Now()) // Start says what is wrong with it
		}
		infos = append(infos, i)
	}
	slices.SortStableFunc(infos, func(x, y ScheduleInfo) int { return cmp.Compare(x.Name, y.Name) })
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
