package sqlite

import (
	"slices"
	"strings"

	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/sqlite/internal/lite"
)

// countedPart is tasks that one index counts, which begins with the queue.
type countedPart struct {
	from    string // the table and the index, with the index's condition
	classes []countedClass
}

// countedClass is those of a part that belong to one state.
type countedClass struct {
	state engine.State
	where string // of the columns of the index; ?1 is the time
	// less is of which state the class's tasks are counted too, by another index,
	// and are none.
	less engine.State
}

// kept is the condition for ended tasks that are still kept, as the index has it.
const kept = `ended_at + CASE WHEN keep_failed <= 0 THEN keep ELSE keep_failed END > ?1`

// The part of tasks that are retried is the first: they stand in the indexes of
// those that are ready or parked too, and are none of the pending ones.
var countedParts = []countedPart{
	{"@tasks INDEXED BY @again WHERE (state = 3 OR state = 5 AND attempt > 0)", []countedClass{
		{state: engine.StateRetrying, where: "1", less: engine.StatePending},
	}},
	{"@tasks INDEXED BY @ready WHERE state <= 3", []countedClass{{state: engine.StatePending, where: "1"}}},
	{"@tasks INDEXED BY @parked WHERE state = 5", []countedClass{{state: engine.StatePending, where: "1"}}},
	{"@tasks INDEXED BY @delayed WHERE state IN (6, 7, 11, 12, 13)", []countedClass{
		{state: engine.StateScheduled, where: "state = 6 AND due > ?1"},
		{state: engine.StatePending, where: "state = 6 AND due <= ?1"},
		{state: engine.StateRetrying, where: "state = 7"},
		{state: engine.StateWaiting, where: "state = 11"},
		{state: engine.StatePending, where: "state = 12"},
		{state: engine.StateRetrying, where: "state = 13"},
	}},
	{"@tasks INDEXED BY @badly WHERE state IN (9, 10)", []countedClass{
		{state: engine.StateFailed, where: "state = 9 AND " + kept},
		{state: engine.StateCancelled, where: "state = 10 AND " + kept},
	}},
}

// countPart counts the tasks of a part: those of large queues, as the sample knows
// them, class by class, and all queues between two of these together.
func (t *tally) countPart(p *countedPart) error {
	s, err := t.scan(p)
	if err != nil {
		return err
	}
	defer s.close()
	var large []string
	for at, n := range t.places {
		if n.sure() && slices.ContainsFunc(p.classes, func(c countedClass) bool { return c.state == at.state }) {
			large = append(large, at.queue)
		}
	}
	slices.Sort(large)
	from := ""
	for _, queue := range slices.Compact(large) {
		if err := s.between(from, queue); err != nil {
			return err
		}
		if err := s.classes(queue); err != nil {
			return err
		}
		from = after(queue)
	}
	return s.between(from, "")
}

// after is the least text that is greater.
func after(queue string) string { return queue + "\x00" }

// partScan reads the index of a part.
type partScan struct {
	*tally
	part   *countedPart
	at     *lite.Stmt // the queue of the entry that is so far ahead
	groups *lite.Stmt
}

// The statements of a partScan read from ?2 on, to ?3: a text or, for the end, a
// blob, which is greater than any text.
func (t *tally) scan(p *countedPart) (*partScan, error) {
	s := &partScan{tally: t, part: p}
	among := " FROM " + p.from + " AND queue >= ?2 AND queue < ?3 "
	var err error
	if s.at, err = t.c.Prepare("SELECT queue" + among + "ORDER BY queue LIMIT 1 OFFSET ?4"); err != nil {
		return nil, err
	}
	var sums strings.Builder
	for _, c := range p.classes {
		sums.WriteString(", sum(" + c.where + ")")
	}
	if s.groups, err = t.c.Prepare("SELECT queue, count(*)" + sums.String() + among + "GROUP BY queue"); err != nil {
		s.at.Close()
		return nil, err
	}
	return s, nil
}

func (s *partScan) close() {
	s.at.Close()
	s.groups.Close()
}

func (s *partScan) bind(st *lite.Stmt, from, to string) {
	st.Reset()
	st.BindInt(1, s.now)
	st.BindText(2, from)
	if to == "" {
		st.BindBlob(3, []byte{})
	} else {
		st.BindText(3, to)
	}
}

// queueAt returns the queue of an entry.
func (s *partScan) queueAt(from, to string, offset int) (queue string, ok bool, err error) {
	s.bind(s.at, from, to)
	s.at.BindInt(4, int64(offset))
	if ok, err = s.at.Step(); ok {
		queue = s.at.Text(0)
		s.left -= offset
	}
	s.at.Reset()
	return queue, ok, err
}

// between counts the tasks of all queues from one up to another, which is not
// counted; "" is the end. Before it reads entries it looks in which queue the one
// after the last is: a queue that reaches so far is counted by itself.
func (s *partScan) between(from, to string) error {
	for {
		first, ok, err := s.queueAt(from, to, 0)
		switch {
		case err != nil || !ok:
			return err
		case s.left <= 0:
			s.leave(first, to)
			return nil
		}
		last, more, err := s.queueAt(first, to, engine.ExactCounts)
		switch {
		case err != nil:
			return err
		case !more:
			return s.group(first, to)
		case last == first:
			err, from = s.classes(first), after(first)
		default:
			err, from = s.group(first, last), last
		}
		if err != nil {
			return err
		}
	}
}

// group counts the tasks of all queues from one up to another.
func (s *partScan) group(from, to string) error {
	s.bind(s.groups, from, to)
	return s.groups.Each(func() bool {
		queue := s.groups.Text(0)
		s.left -= int(s.groups.Int(1))
		for i := range s.part.classes {
			s.count(queue, &s.part.classes[i], s.groups.Int(2+i))
		}
		return true
	})
}

// classes counts the tasks of a large queue.
func (s *partScan) classes(queue string) error {
	for i := range s.part.classes {
		c := &s.part.classes[i]
		n := s.tally.at(place{queue, c.state})
		if n.sure() {
			continue
		}
		if s.left <= 0 {
			n.more = true
			continue
		}
		most := engine.ExactCounts + int(max(-n.counted, 0))
		st, err := s.c.Prepare("SELECT count(*) FROM (SELECT 1 FROM " + s.part.from + " AND queue = ?2 AND " + c.where + " LIMIT ?3)")
		if err != nil {
			return err
		}
		st.BindInt(1, s.now)
		st.BindText(2, queue)
		st.BindInt(3, int64(most)+1)
		if ok, err := st.Step(); err != nil || !ok {
			st.Close()
			return err
		}
		found := st.Int(0)
		st.Close()
		s.left -= int(found)
		s.count(queue, c, found)
		n.more = n.more || int(found) > most
	}
	return nil
}

// count adds tasks of a class.
func (s *partScan) count(queue string, c *countedClass, n int64) {
	if n == 0 {
		return
	}
	s.tally.at(place{queue, c.state}).counted += n
	if c.less != "" {
		s.tally.at(place{queue, c.less}).counted -= n
	}
}

// leave leaves the tasks of all queues from one up to another to the sample.
func (s *partScan) leave(from, to string) {
	for at, n := range s.places {
		if at.queue < from || to != "" && at.queue >= to {
			continue
		}
		n.more = n.more || slices.ContainsFunc(s.part.classes, func(c countedClass) bool {
			return c.state == at.state || c.less == at.state
		})
	}
}
