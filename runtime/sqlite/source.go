package sqlite

import "github.com/taskctx/taskctx/runtime/sqlite/internal/lite"

// source is a place of due tasks for a worker: a queue, or the parked tasks of
// a name in a queue. A source that may have tasks is active. The worker
// remembers the first task of a source, so that a claim reads only the sources
// that it takes from, however many there are.
type source struct {
	queue, name string
	active      bool
	place       int // in server.active
	turn        int // of its queue, if queues have weights
	known       bool
	priority    int   // of the first task, if known
	due         int64 // of the first task, if known
	st          *lite.Stmt
}

// step reads the next task of an open source. It reports whether there is one.
func (src *source) step() (bool, error) {
	ok, err := src.st.Step()
	if ok && err == nil {
		src.known, src.priority, src.due = true, int(src.st.Int(4)), src.st.Int(5)
	}
	return ok && err == nil, err
}

// sources are the sources of a worker. The writer owns them.
type sources struct {
	queues map[string]*source
	parked map[[2]string]*source
	active []*source
	opened []*source // by the claim that is being made
}

func newSources(queues []string) sources {
	s := sources{queues: make(map[string]*source), parked: make(map[[2]string]*source)}
	for _, q := range queues {
		s.queues[q] = &source{queue: q}
	}
	return s
}

func (s *sources) serves(queue string) bool { return s.queues[queue] != nil }

// activate notes that the source may have another first task than before.
func (s *sources) activate(src *source) {
	src.known = false
	if !src.active {
		src.active, src.place = true, len(s.active)
		s.active = append(s.active, src)
	}
}

// offer activates a queue that the worker serves.
func (s *sources) offer(queue string) {
	if src := s.queues[queue]; src != nil {
		s.activate(src)
	}
}

// offerParked activates the parked tasks of a name.
func (s *sources) offerParked(queue, name string) {
	kind := [2]string{queue, name}
	src := s.parked[kind]
	if src == nil {
		src = &source{queue: queue, name: name}
		s.parked[kind] = src
	}
	s.activate(src)
}

// offerAll activates everything.
func (s *sources) offerAll() {
	for _, src := range s.queues {
		s.activate(src)
	}
	for _, src := range s.parked {
		s.activate(src)
	}
}

// exhaust notes that a source has no task.
func (s *sources) exhaust(src *source) {
	last := len(s.active) - 1
	moved := s.active[last]
	s.active[src.place], moved.place = moved, src.place
	s.active[last] = nil
	s.active = s.active[:last]
	src.active, src.known = false, false
	if src.name != "" {
		delete(s.parked, [2]string{src.queue, src.name})
	}
}

// takeTurns gives each queue its place among the others, for one claim.
func (s *sources) takeTurns(places map[string]int) {
	for _, src := range s.active {
		src.turn = places[src.queue]
	}
}

// best returns the source of the next task: among queues the one whose turn it is,
// or else whose first task has been due longest, within a queue the one of the highest
// priority.
func (s *sources) best() *source {
	first := s.active[0]
	for _, src := range s.active[1:] {
		if src.turn < first.turn || src.turn == first.turn && src.due < first.due {
			first = src
		}
	}
	if len(s.parked) == 0 {
		return first
	}
	for _, src := range s.active {
		if src.queue == first.queue && src.priority > first.priority {
			first = src
		}
	}
	return first
}

// maxOpen is how many sources a claim keeps open to read their tasks. From
// further sources it reads the first task alone.
const maxOpen = 32

// maxPrepared bounds the statements of sources that are kept.
const maxPrepared = 256

// openOne reads the first task of a source. It reports whether there is one.
func (s *sources) openOne(t *txn, src *source) (bool, error) {
	st, err := t.db.source(src.queue, src.name)
	if err != nil {
		return false, err
	}
	src.st = st
	s.opened = append(s.opened, src)
	return src.step()
}

// openAll opens the sources that have tasks, or learns their first ones.
func (s *sources) openAll(t *txn) error {
	for i := 0; i < len(s.active); {
		src := s.active[i]
		if t.paused.source(src) {
			s.exhaust(src)
			continue
		}
		ok, err := src.known, error(nil)
		switch {
		case ok:
		case src.name == "" && len(s.opened) >= maxOpen:
			ok, err = t.peek(src)
		default:
			ok, err = s.openOne(t, src)
		}
		if err != nil {
			return err
		}
		if ok {
			i++
		} else {
			s.exhaust(src)
		}
	}
	return nil
}

// reopen opens a source whose first task is only remembered. It reports whether that
// task is still the first.
func (s *sources) reopen(t *txn, src *source) (bool, error) {
	priority, due := src.priority, src.due
	ok, err := s.openOne(t, src)
	if err != nil {
		return false, err
	}
	if !ok {
		s.exhaust(src)
	}
	return ok && src.priority == priority && src.due == due, nil
}

// closeAll closes the sources that a claim has opened.
func (s *sources) closeAll(t *txn) {
	for _, src := range s.opened {
		src.st.Reset()
		src.st = nil
	}
	clear(s.opened)
	s.opened = s.opened[:0]
	t.db.trimSources()
}

// collect reads due tasks in the order in which they are to run.
func (c *claimOp) collect(t *txn, room int) (err error) {
	s := &c.s.sources
	defer s.closeAll(t)
	if w := c.s.w; w.Weights != nil {
		s.takeTurns(w.Places())
	}
	if err := s.openAll(t); err != nil {
		return err
	}
	for len(c.got) < room && len(c.bad) < maxParks && len(s.active) > 0 {
		src := s.best()
		if src.st == nil { // the remembered task may be gone
			same, err := s.reopen(t, src)
			if err != nil {
				return err
			}
			if !same {
				continue
			}
		}
		c.take(t, src)
		ok, err := src.step()
		if err != nil {
			return err
		}
		if !ok {
			s.exhaust(src)
		}
	}
	return nil
}

// peek reads the first task of a queue. It reports whether there is one.
func (t *txn) peek(src *source) (bool, error) {
	st := t.db.firstReady
	st.BindText(1, src.queue)
	defer st.Reset()
	ok, err := st.Step()
	if ok && err == nil {
		src.known, src.priority, src.due = true, int(st.Int(0)), st.Int(1)
	}
	return ok && err == nil, err
}

// surveyReady activates the queues that have due tasks.
func (t *txn) surveyReady(servers []*server) error {
	many := false
	for _, s := range servers {
		if many = many || len(s.queues) > maxOpen; !many {
			s.offerAll()
		}
	}
	if !many {
		return nil
	}
	st := t.db.nextReady
	for queue := ""; ; {
		for _, s := range servers {
			s.offer(queue)
		}
		st.BindText(1, queue)
		ok, err := st.Step()
		if ok && err == nil {
			queue = st.Text(0)
		}
		st.Reset()
		if err != nil || !ok {
			return err
		}
	}
}
