package sqlite

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/taskctx/taskctx/runtime/engine"
)

// setAside parks a task of an unknown name, out of the way, where workers that
// know it find it. A task whose row cannot be read fails.
func (c *claimOp) setAside(t *txn, b badTask) error {
	if b.err != nil {
		t.aside = true
		if err := t.endWaiting(b.seq, failed, b.err.Error(), b.keepFailed); err != nil {
			return err
		}
		return t.endedAt(b.seq, failed, b.err.Error())
	}
	if b.limit != "" {
		return t.putAside(b.seq, b.aside, b.limit)
	}
	t.db.park.BindInt(2, b.seq)
	if t.paused.name(b.name) {
		t.db.park.BindText(1, engine.PausedReason(clip(b.name)))
		return t.runFor(b.seq, t.db.park)
	}
	t.plan.park.min(add(b.due, c.s.w.ParkFor))
	known := false
	for _, s := range slices.Concat(t.servers, t.join) {
		if s.serves(b.queue) && s.w.Knows(b.name) {
			s.offerParked(b.queue, b.name)
			known = true
		}
	}
	if !known {
		others, err := t.knownElsewhere()
		if err != nil {
			return err
		}
		if known = others[b.name]; !known {
			t.strangers.add(1, b.name, b.queue)
		}
	}
	reason := "no worker of queue %q knows the task %q"
	if known {
		reason = "waits for the worker of queue %q that knows the task %q"
	}
	t.db.park.BindText(1, fmt.Sprintf(reason, clip(b.queue), clip(b.name)))
	return t.runFor(b.seq, t.db.park)
}

// maxShown bounds, in bytes, a name in a reason or in the log.
const maxShown = 200

// clip shortens a name for showing it.
func clip(name string) string {
	if len(name) <= maxShown {
		return name
	}
	return strings.ToValidUTF8(name[:maxShown], "") + "..."
}

// strangers counts tasks that no worker knows, until the log names them.
type strangers struct {
	tasks       int
	name, queue string // of the first
}

func (s *strangers) add(n int, name, queue string) {
	if s.tasks == 0 {
		s.name, s.queue = name, queue
	}
	s.tasks += n
}

// strangersEvery is how often the log names tasks that no worker knows.
const strangersEvery = time.Minute

// tellOfStrangers logs how many tasks wait that no worker knows, in one line a
// minute, whatever their names.
func (e *Engine) tellOfStrangers(now time.Time) {
	s := &e.strangers
	if s.tasks == 0 || now.Sub(e.plan.told) < strangersEvery && !e.plan.told.IsZero() {
		return
	}
	e.plan.told = now
	e.warn("tasks wait that no worker knows", "tasks", s.tasks, "task", clip(s.name), "queue", clip(s.queue))
	*s = strangers{}
}

// knownElsewhere returns the task names that live workers of all processes
// know.
func (t *txn) knownElsewhere() (map[string]bool, error) {
	if t.others != nil {
		return t.others, nil
	}
	t.others = make(map[string]bool)
	st := t.db.otherWorkers
	err := st.Each(func() bool {
		var names []string
		if json.Unmarshal(st.View(4), &names) == nil {
			for _, n := range names {
				t.others[n] = true
			}
		}
		return true
	})
	return t.others, err
}

// surveyParked finds the parked tasks that the workers can run. It looks at no
// more kinds of tasks than the workers know names, and reads no others.
func (t *txn) surveyParked(servers []*server) error {
	for queue := ""; ; {
		parked, _, ok, err := t.parkedKind(queue, "")
		if err != nil || !ok {
			return err
		}
		for _, s := range servers {
			if s.serves(parked) {
				if err := t.offerKnown(s, parked); err != nil {
					return err
				}
			}
		}
		queue = parked + "\x00" // the next that there can be
	}
}

// offerKnown activates the parked tasks of a queue that the worker knows.
func (t *txn) offerKnown(s *server, queue string) error {
	names := s.w.Names
	for i := 0; i < len(names); {
		q, name, ok, err := t.parkedKind(queue, names[i])
		if err != nil || !ok || q != queue {
			return err
		}
		if name == names[i] {
			s.offerParked(queue, name)
			i++
			continue
		}
		more, _ := slices.BinarySearch(names[i:], name)
		i += more
	}
	return nil
}

// parkedKind returns the first queue and name of parked tasks, from the given
// ones on.
func (t *txn) parkedKind(queue, name string) (nextQueue, nextName string, ok bool, err error) {
	st := t.db.parkedKinds
	st.BindText(1, queue)
	st.BindText(2, name)
	if ok, err = st.Step(); ok && err == nil {
		nextQueue, nextName = st.Text(0), st.Text(1)
	}
	st.Reset()
	return nextQueue, nextName, ok && err == nil, err
}

// kindsPerWalk bounds the kinds of tasks that one step of a walk looks at.
const kindsPerWalk = 300

// parkWalk is the state of a walk over the parked tasks, which looks for those
// that have waited for too long.
type parkWalk struct {
	queue, name string
	next        moment        // when the first of the tasks seen has waited for too long
	took        time.Duration // so far
}

// walkParked fails parked tasks that nobody knows and that have waited for too
// long: some at each call, until it has seen all of them.
func (t *txn) walkParked() error {
	began, w := time.Now(), t.plan.walk
	if w.queue == "" && w.name == "" {
		w.next = never
	}
	over := 0
	for range kindsPerWalk {
		queue, name, ok, err := t.parkedKind(w.queue, w.name)
		if err != nil {
			return err
		}
		if !ok {
			// Not again for each of many whose times come one by one.
			pause := max(100*time.Millisecond, 10*(w.took+time.Since(began)))
			t.plan.park, t.plan.walk = w.next, parkWalk{}
			if w.next < never {
				t.plan.park = max(w.next, moment(add(t.now, pause)))
			}
			return nil
		}
		n, err := t.failParked(queue, name, &w.next)
		if err != nil {
			return err
		}
		if over += n; over >= maxParks { // there may be more of the kind
			break
		}
		w.queue, w.name = queue, name+"\x00"
	}
	w.took += time.Since(began)
	t.plan.walk = w
	t.plan.park = moment(add(t.now, 10*time.Millisecond))
	return nil
}

// parkFor returns how long tasks of a name wait for a worker that knows it,
// and whether one here or elsewhere does.
func (t *txn) parkFor(queue, name string) (wait time.Duration, known bool, err error) {
	for _, s := range t.servers {
		if !s.serves(queue) {
			continue
		}
		if s.w.Knows(name) || t.paused.queue(queue) || t.paused.name(name) {
			return 0, true, nil
		}
		wait = max(wait, s.w.ParkFor)
	}
	others, err := t.knownElsewhere()
	return wait, others[name], err
}

// failParked fails the parked tasks of a name that have waited for too long,
// and returns how many.
func (t *txn) failParked(queue, name string, next *moment) (int, error) {
	wait, known, err := t.parkFor(queue, name)
	if err != nil || known || wait == 0 {
		return 0, err
	}
	var over []badTask
	st := t.db.parkedDue
	for priority, more := int64(never), true; more && len(over) < maxParks; {
		more = false
		st.BindText(1, queue)
		st.BindText(2, name)
		st.BindInt(3, priority)
		if err := st.Each(func() bool {
			if end := add(st.Int(1), wait); end > t.now { // all later ones of its priority wait too
				next.min(end)
				priority, more = st.Int(3)-1, true
				return false
			}
			if seq := st.Int(0); !t.distrusts(seq) {
				over = append(over, badTask{seq: seq, keepFailed: st.Int(2)})
			}
			return len(over) < maxParks
		}); err != nil {
			return 0, err
		}
	}
	if len(over) > 0 {
		t.aside = true
		t.complain("tasks have failed that no worker knew", "task", clip(name), "queue", clip(queue), "tasks", len(over), "waited", wait)
	}
	reason := fmt.Sprintf("no worker knew the task %q for %v", clip(name), wait)
	for _, b := range over {
		if err := t.endWaiting(b.seq, failed, reason, b.keepFailed); err != nil {
			return 0, err
		}
		if err := t.endedAt(b.seq, failed, reason); err != nil {
			return 0, err
		}
	}
	return len(over), nil
}
