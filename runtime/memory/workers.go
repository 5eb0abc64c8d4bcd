package memory

import (
	"context"
	"os"
	"slices"

	"github.com/taskctx/taskctx/runtime/engine"
)

var _ engine.WorkerLister = (*Engine)(nil)

// Workers implements [engine.WorkerLister].
func (e *Engine) Workers(context.Context) ([]engine.WorkerInfo, error) {
	host, _ := os.Hostname() // without a name it has none
	e.lock()
	defer e.unlock()
	if e.closed {
		return nil, engine.ErrClosed
	}
	infos := make([]engine.WorkerInfo, len(e.serves))
	for i, s := range e.serves {
		infos[i] = engine.WorkerInfo{
			ID: s.w.ID, Host: host, PID: os.Getpid(), StartedAt: s.began, SeenAt: s.now().UTC(), Slots: s.w.Slots,
			Queues: slices.Clone(s.w.Queues), Names: slices.Clone(s.w.Names),
		}
		for _, h := range s.hands {
			if h.run != nil {
				infos[i].Running++
			}
		}
	}
	return infos, nil
}
