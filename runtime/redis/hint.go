package redis

import (
	"context"
	"encoding/binary"
	"hash/fnv"
	"maps"
	"slices"
	"sync"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime/engine"
)

// A task is looked up by its id, while asynq keeps it under its queue's name.
// To avoid asking all queues, the last two bytes of an id that this engine
// gives are a hash of the queue.

// hintOf returns the bytes of an id that hint at its queue.
func hintOf(queue string) uint16 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(queue))
	sum := h.Sum32()
	return uint16(sum ^ sum>>16)
}

// idIn returns the id in a queue of a task whose message has the given one:
// the same each time.
func idIn(queue string, id uuid.UUID) uuid.UUID {
	binary.BigEndian.PutUint16(id[14:], hintOf(queue))
	return id
}

// directory is the queues that the server had when last asked, and those that
// this engine has used, even if others spoil asynq's own list.
type directory struct {
	used sync.Map // queues that this engine has enqueued into or serves

	mu     sync.Mutex          // guards all below
	queues map[string]struct{} // all
	byHint map[uint16][]string
}

// use adds a queue that this engine uses.
func (d *directory) use(queue string) {
	if _, known := d.used.Load(queue); known {
		return
	}
	d.used.Store(queue, struct{}{})
	d.mu.Lock()
	defer d.mu.Unlock()
	d.add(queue)
}

// add adds a queue, with the lock held.
func (d *directory) add(queue string) {
	if _, known := d.queues[queue]; known {
		return
	}
	if d.queues == nil {
		d.queues, d.byHint = make(map[string]struct{}), make(map[uint16][]string)
	}
	d.queues[queue] = struct{}{}
	d.byHint[hintOf(queue)] = append(d.byHint[hintOf(queue)], queue)
}

// like returns the queues that a task with the id may be in.
func (d *directory) like(id uuid.UUID) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.byHint[binary.BigEndian.Uint16(id[14:])]
}

// set replaces the queues that the server has, and returns all, sorted.
func (d *directory) set(queues []string) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(queues) < len(d.queues) { // some may be gone
		d.queues, d.byHint = nil, nil
		d.used.Range(func(q, _ any) bool {
			d.add(q.(string))
			return true
		})
	}
	for _, q := range queues {
		d.add(q)
	}
	return slices.Sorted(maps.Keys(d.queues))
}

// allQueues reads the list of queues, those of the hash tag if there is one. If others
// have spoilt its key, the list is the queues that this engine has used, until a worker
// has made it anew.
func (e *Engine) allQueues(ctx context.Context) ([]string, error) {
	queues, err := e.db.SMembers(ctx, allQueues).Result()
	if err = spoilt(err); err != nil {
		return nil, err
	}
	if e.tag != "" {
		ours := queues[:0]
		for _, name := range queues {
			if q, ok := e.ofAsynq(name); ok {
				ours = append(ours, q)
			}
		}
		queues = ours
	}
	return e.queues.set(queues), nil
}

// searchAtOnce is how many queues one round trip asks for a task.
const searchAtOnce = 500

// find looks for a task: in the queue that its id hints at, then in all
// others, for tasks that asynq clients or older versions have enqueued.
func (e *Engine) find(ctx context.Context, id uuid.UUID) (*reading, error) {
	if err := e.closed(); err != nil {
		return nil, err
	}
	asked := e.queues.like(id)
	r, err := e.findIn(ctx, asked, id)
	if r != nil || err != nil {
		return r, err
	}
	all, err := e.allQueues(ctx)
	if err != nil {
		return nil, e.failed("redis", err)
	}
	likely := e.queues.like(id)
	rank := func(q string) int {
		if slices.Contains(likely, q) {
			return 0
		}
		return 1
	}
	all = slices.DeleteFunc(all, func(q string) bool { return slices.Contains(asked, q) })
	slices.SortStableFunc(all, func(a, b string) int { return rank(a) - rank(b) })
	for chunk := range slices.Chunk(all, searchAtOnce) {
		if r, err := e.findIn(ctx, chunk, id); r != nil || err != nil {
			return r, err
		}
	}
	return nil, engine.ErrNotFound
}

// findIn looks for a task in some queues; it returns nil if the task is in
// none.
func (e *Engine) findIn(ctx context.Context, queues []string, id uuid.UUID) (*reading, error) {
	if len(queues) == 0 {
		return nil, nil
	}
	ps := make([]place, len(queues))
	for i, q := range queues {
		ps[i] = place{q, id.String()}
	}
	_, rs, err := e.read(ctx, ps, &selection{bytes: maxBytes})
	if err != nil {
		return nil, e.failed("redis", err)
	}
	if len(rs) == 0 {
		return nil, nil
	}
	return rs[0], nil
}
