package memory

import (
	"slices"

	"github.com/google/uuid"
)

// order lists all tasks in the order of their insertion, for List: blocks of
// rows, filled at the end. A forgotten task leaves an empty row, and blocks
// that are mostly empty are merged. It has no pointer to a task, so that the
// garbage collector has nothing to follow.
type order struct {
	blocks []*block
	firsts []uint64 // the first sequence number of each block
}

// blockRows is how many rows a block has.
const blockRows = 512

type block struct {
	n, live int
	rows    [blockRows]orderRow
}

// orderRow is a task; the id of a forgotten one is nil.
type orderRow struct {
	seq uint64
	id  uuid.UUID
}

// push adds a task, whose sequence number is above all others.
func (o *order) push(seq uint64, id uuid.UUID) {
	last := len(o.blocks) - 1
	if last < 0 || o.blocks[last].n == blockRows {
		o.blocks = append(o.blocks, new(block))
		o.firsts = append(o.firsts, seq)
		last++
	}
	b := o.blocks[last]
	b.rows[b.n] = orderRow{seq, id}
	b.n++
	b.live++
}

// block returns the index of the block for the sequence number; -1 if it is
// below all.
func (o *order) block(seq uint64) int {
	n := len(o.firsts)
	switch { // mostly the newest or the oldest
	case n == 0 || seq < o.firsts[0]:
		return -1
	case seq >= o.firsts[n-1]:
		return n - 1
	case n > 1 && seq < o.firsts[1]:
		return 0
	}
	i, found := slices.BinarySearch(o.firsts, seq)
	if !found {
		i--
	}
	return i
}

// row returns the index of the first row from seq on.
func (b *block) row(seq uint64) int {
	if b.n == 0 || seq <= b.rows[0].seq {
		return 0
	}
	if at := seq - b.rows[0].seq; at < uint64(b.n) && b.rows[at].seq == seq {
		return int(at)
	}
	lo, hi := 0, b.n
	for lo < hi {
		if mid := (lo + hi) / 2; b.rows[mid].seq < seq {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}

// remove takes out a task.
func (o *order) remove(seq uint64) {
	i := o.block(seq)
	if i < 0 {
		return
	}
	b := o.blocks[i]
	at := b.row(seq)
	if at >= b.n || b.rows[at].seq != seq || b.rows[at].id == uuid.Nil {
		return
	}
	b.rows[at].id = uuid.Nil
	b.live--
	switch last := len(o.blocks) - 1; {
	case b.live == 0 && i < last:
		o.drop(i)
	case b.live < blockRows/4 && i+1 < last && b.live+o.blocks[i+1].live <= blockRows*3/4:
		o.merge(i)
	case b.live < blockRows/4 && i > 0 && i < last && b.live+o.blocks[i-1].live <= blockRows*3/4:
		o.merge(i - 1)
	}
}

// drop takes out an empty block.
func (o *order) drop(i int) {
	if i == 0 {
		o.blocks[0] = nil
		o.blocks, o.firsts = o.blocks[1:], o.firsts[1:]
		return
	}
	o.blocks, o.firsts = slices.Delete(o.blocks, i, i+1), slices.Delete(o.firsts, i, i+1)
}

// merge makes one block of two, of which neither is the last one.
func (o *order) merge(i int) {
	into, from := o.blocks[i], o.blocks[i+1]
	n := 0
	for _, b := range []*block{into, from} {
		for _, r := range b.rows[:b.n] {
			if r.id != uuid.Nil {
				into.rows[n] = r
				n++
			}
		}
		if b == into {
			into.n = n // later rows are read from the other
		}
	}
	into.n, into.live = n, n
	o.firsts[i] = into.rows[0].seq
	o.drop(i + 1)
}

// after appends to rows those that follow the sequence number, up to their
// capacity, and reports whether there are more.
func (o *order) after(seq uint64, rows []orderRow) (_ []orderRow, more bool) {
	i := max(o.block(seq), 0)
	for ; i < len(o.blocks); i++ {
		b := o.blocks[i]
		for _, r := range b.rows[b.row(seq+1):b.n] {
			if r.id == uuid.Nil {
				continue
			}
			if len(rows) == cap(rows) {
				return rows, true
			}
			rows = append(rows, r)
		}
	}
	return rows, false
}

// before is after for those that precede the sequence number, from it down.
func (o *order) before(seq uint64, rows []orderRow) (_ []orderRow, more bool) {
	if seq == 0 {
		return rows, false
	}
	for i := o.block(seq - 1); i >= 0; i-- {
		b := o.blocks[i]
		for at := b.row(seq) - 1; at >= 0; at-- {
			r := b.rows[at]
			if r.id == uuid.Nil {
				continue
			}
			if len(rows) == cap(rows) {
				return rows, true
			}
			rows = append(rows, r)
		}
	}
	return rows, false
}
