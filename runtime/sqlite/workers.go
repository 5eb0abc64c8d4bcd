package sqlite

import (
	"context"
	"encoding/json"
	"time"

	"github.com/taskctx/taskctx/runtime/engine"
)

var _ engine.WorkerLister = (*Engine)(nil)

// selectWorkers reads the workers that have not stopped, and how many tasks each
// runs. Those of earlier versions do not say when they were seen.
const selectWorkers = `SELECT w.name, w.host, w.pid, w.started_at, w.seen_at, w.lease, w.slots, w.queues, w.names,
	(SELECT count(*) FROM @tasks t INDEXED BY @running WHERE t.state = 4 AND t.lease >= w.id << 36 AND t.lease < (w.id + 1) << 36)
	FROM @workers w INDEXED BY @workers_live WHERE w.ended_at = 4611686018427387904`

// Workers implements [engine.WorkerLister].
func (e *Engine) Workers(ctx context.Context) ([]engine.WorkerInfo, error) {
	r, err := e.reader(ctx)
	if err != nil {
		return nil, err
	}
	defer e.readers.put(r)
	st, err := r.c.Prepare(selectWorkers)
	if err != nil {
		return nil, e.explain(err)
	}
	defer st.Close()
	now := e.now()
	infos := []engine.WorkerInfo{}
	err = st.Each(func() bool {
		w := engine.WorkerInfo{
			ID: st.Text(0), Host: st.Text(1), PID: int(st.Int(2)), StartedAt: timeOf(st.Int(3)), SeenAt: timeOf(st.Int(4)),
			Slots: int(st.Int(6)), Running: int(st.Int(9)), Queues: []string{}, Names: []string{},
		}
		_ = json.Unmarshal([]byte(st.Text(7)), &w.Queues) // an unreadable one shows nothing
		_ = json.Unmarshal([]byte(st.Text(8)), &w.Names)
		// Two beats late is no more than slow.
		lease := time.Duration(st.Int(5))
		w.Lost = !w.SeenAt.IsZero() && now.Sub(w.SeenAt) > lease+2*lease/beatsPerLease
		infos = append(infos, w)
		return true
	})
	if err != nil {
		return nil, e.explain(err)
	}
	return infos, nil
}
