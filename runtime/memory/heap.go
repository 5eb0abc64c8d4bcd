package memory

// heap is a binary heap in an order. Each item is told its position, so that any of
// them can be taken out.
type heap[T any, O heapOrder[T]] struct {
	order O
	items []T
}

type heapOrder[T any] interface {
	before(x, y T) bool
	// at tells an item its position; -1 is none.
	at(x T, pos int)
}

// taskHeap is a heap by due time, then insertion.
type taskHeap = heap[*task, byDue]

// expiryHeap is a heap by the time until which ended tasks are kept.
type expiryHeap = heap[*task, byExpiry]

type (
	byDue    struct{ posInTask }
	byExpiry struct{ posInTask }

	// posInTask keeps the position in the task.
	posInTask struct{}
)

func (byDue) before(t, o *task) bool    { return t.before(o) }
func (byExpiry) before(t, o *task) bool { return t.more.expires < o.more.expires }

func (posInTask) at(t *task, pos int) { t.pos = int32(pos) }

// top returns the first item, the zero value if there is none.
func (h *heap[T, O]) top() (first T) {
	if len(h.items) > 0 {
		first = h.items[0]
	}
	return first
}

func (h *heap[T, O]) push(x T) {
	pos := len(h.items)
	h.items = append(h.items, x)
	h.order.at(x, pos)
	h.up(pos)
}

// remove takes out the item at a position.
func (h *heap[T, O]) remove(pos int) {
	last := len(h.items) - 1
	h.order.at(h.items[pos], -1)
	if pos != last {
		h.items[pos] = h.items[last]
		h.order.at(h.items[pos], pos)
	}
	clear(h.items[last:])
	h.items = h.items[:last]
	if pos != last {
		h.fix(pos)
	}
}

// fix puts the item at a position where it belongs by now.
func (h *heap[T, O]) fix(pos int) {
	if !h.down(pos) {
		h.up(pos)
	}
}

func (h *heap[T, O]) up(i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if !h.order.before(h.items[i], h.items[parent]) {
			return
		}
		h.swap(i, parent)
		i = parent
	}
}

func (h *heap[T, O]) down(i int) (moved bool) {
	for {
		child := 2*i + 1
		if child >= len(h.items) {
			return moved
		}
		if r := child + 1; r < len(h.items) && h.order.before(h.items[r], h.items[child]) {
			child = r
		}
		if !h.order.before(h.items[child], h.items[i]) {
			return moved
		}
		h.swap(i, child)
		i, moved = child, true
	}
}

func (h *heap[T, O]) swap(i, j int) {
	h.items[i], h.items[j] = h.items[j], h.items[i]
	h.order.at(h.items[i], i)
	h.order.at(h.items[j], j)
}
