package sqlite

import (
	"context"

	"github.com/taskctx/taskctx/runtime/engine"
)

var _ engine.Pauser = (*Engine)(nil)

// Pause implements [engine.Pauser]. Workers of other processes see it within
// Config.PollInterval.
func (e *Engine) Pause(ctx context.Context, p engine.Pause) error {
	return e.run(ctx, func(t *txn) error {
		st := t.db.addPause
		st.BindText(1, p.Queue)
		st.BindText(2, p.Name)
		st.BindInt(3, t.now)
		if err := st.Run(); err != nil {
			return err
		}
		if err := t.readPauses(); err != nil {
			return err
		}
		return t.givePausedPlaces()
	}, nil)
}

// Resume implements [engine.Pauser].
func (e *Engine) Resume(ctx context.Context, p engine.Pause) error {
	return e.run(ctx, func(t *txn) error {
		st := t.db.dropPause
		st.BindText(1, p.Queue)
		st.BindText(2, p.Name)
		if err := st.Run(); err != nil {
			return err
		}
		return t.surveyAll()
	}, nil)
}

// Paused implements [engine.Pauser].
func (e *Engine) Paused(ctx context.Context) (ps []engine.Pause, err error) {
	err = e.run(ctx, func(t *txn) error {
		ps, err = t.pausesInFile()
		return err
	}, nil)
	return ps, err
}

func (t *txn) pausesInFile() (ps []engine.Pause, err error) {
	st := t.db.pauses
	err = st.Each(func() bool {
		ps = append(ps, engine.Pause{Queue: st.Text(0), Name: st.Text(1), Since: timeOf(st.Int(2))})
		return true
	})
	return ps, err
}

// readPauses makes the file's pauses those of this process. A transaction that is
// undone leaves them to the next survey.
func (t *txn) readPauses() error {
	ps, err := t.pausesInFile()
	if err != nil {
		return err
	}
	clear(t.paused.queues)
	clear(t.paused.names)
	for _, p := range ps {
		if p.Queue != "" {
			t.paused.queues[p.Queue] = struct{}{}
		} else {
			t.paused.names[p.Name] = struct{}{}
		}
	}
	return nil
}

// pauses are the paused queues and names. The writer owns them.
type pauses struct{ queues, names map[string]struct{} }

func newPauses() pauses {
	return pauses{queues: make(map[string]struct{}), names: make(map[string]struct{})}
}

// queue reports whether the queue is paused.
func (p *pauses) queue(q string) bool {
	if len(p.queues) == 0 {
		return false
	}
	_, ok := p.queues[q]
	return ok
}

// name reports whether tasks of the name are paused.
func (p *pauses) name(n string) bool {
	if len(p.names) == 0 {
		return false
	}
	_, ok := p.names[n]
	return ok
}

// source reports whether nothing is to be taken from the source.
func (p *pauses) source(src *source) bool {
	return p.queue(src.queue) || src.name != "" && p.name(src.name)
}
