package sqlite

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/taskctx/taskctx/runtime/engine"
)

// maxFew is up to how many tasks found by an index a listing goes by, and not by
// the order of all.
const maxFew = 20_000

// indexed are, for the public states that an index has, its tasks: where the index is
// partial its condition stands first, so that SQLite takes it.
var indexed = map[engine.State]string{
	engine.StateScheduled: "state IN (6, 7, 11, 12, 13) AND state = 6",
	engine.StateRunning:   "state = 4",
	engine.StateRetrying: "(state = 3 OR state = 5 AND attempt > 0) UNION ALL SELECT seq FROM @tasks" +
		" WHERE state IN (6, 7, 11, 12, 13) AND state IN (7, 13)",
	engine.StateWaiting:   "state IN (6, 7, 11, 12, 13) AND state = 11",
	engine.StateFailed:    "state IN (9, 10) AND state = 9",
	engine.StateCancelled: "state IN (9, 10) AND state = 10",
}

// few returns the tasks in the states, in any order, if indexes have them and there
// are few.
func (r *reader) few(states []engine.State) (seqs []int64, ok bool, err error) {
	if len(states) == 0 {
		return nil, false, nil
	}
	var parts []string
	for _, s := range states {
		condition := indexed[s]
		if condition == "" {
			return nil, false, nil
		}
		parts = append(parts, "SELECT seq FROM @tasks WHERE "+condition)
	}
	st, err := r.c.Prepare(fmt.Sprintf("%s LIMIT %d", strings.Join(parts, " UNION ALL "), maxFew+1))
	if err != nil {
		return nil, false, err
	}
	defer st.Close()
	for {
		more, err := st.Step()
		if err != nil || !more {
			return seqs, err == nil, err
		}
		if seqs = append(seqs, st.Int(0)); len(seqs) > maxFew {
			return nil, false, nil
		}
	}
}

// listFew lists the tasks that were found by an index: it looks at maxLook of them.
func (e *Engine) listFew(r *reader, q engine.Query, after int64, limit int, now int64, seqs []int64) ([]*engine.Entry, string, error) {
	order := cmp.Compare[int64]
	if q.Newest {
		order = func(x, y int64) int { return cmp.Compare(y, x) }
	}
	seqs = slices.DeleteFunc(seqs, func(seq int64) bool { return order(seq, after) <= 0 })
	slices.SortFunc(seqs, order)
	seqs = slices.Compact(seqs)
	q.Newest = false // a statement reads one
	st, err := listStmt(r.c, q, 0, 0, now)
	if err != nil {
		return nil, "", e.explain(err)
	}
	defer st.Close()
	st.Keep()
	var found []*engine.Entry
	bodies := 0
	for i, seq := range seqs {
		if i == maxLook || len(found) == limit || bodies > maxBodies {
			return found, strconv.FormatUint(uint64(seqs[i-1])+1<<63, 36), nil
		}
		st.BindInt(2, seq-1)
		st.BindInt(3, seq)
		ok, err := st.Step()
		if err != nil {
			return nil, "", e.explain(err)
		}
		if ok {
			if entry, _ := scanEntry(st, now); q.Matches(entry) {
				found = append(found, entry)
				bodies += len(entry.Message.Args) + len(entry.Result) + len(entry.Memo)
			}
		}
		st.Reset()
	}
	return found, "", nil
}
