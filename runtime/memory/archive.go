package memory

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/bits"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime/engine"
)

// archive holds the records of succeeded tasks, by far the most, until they
// are forgotten. They are packed without a pointer, so that the garbage
// collector has nothing to follow: a hundred thousand tasks kept as they were
// made cost each new task more than all else that this engine does.
//
// It is a ring of chunks, filled at the tail and emptied at the head. A record
// is known by its position: how many came before it. A deleted one keeps its
// place until all older ones are gone.
//
// A hash table leads from an id to the newest record of its bucket, and each
// record to the next older one. So a chain ends at the first missing record,
// and forgetting the oldest record costs nothing. Records enter the table at
// the first lookup, or when many have come: each bucket is a cache miss, and
// several at once cost little more than one.
type archive struct {
	chunks  []*chunk
	head    uint64 // the position of the oldest record
	tail    uint64 // the position of the next one
	indexed uint64 // the position of the first one that is not in the table
	n       int    // records that are not deleted
	buckets []uint32
	seed    uint64
	kinds   kindSet
	gone    func(*packed) // called with each record that is forgotten
}

// chunk is a part of the ring. It is made when it is first needed, and reused.
type chunk struct {
	data    []byte // first: the garbage collector reads no further
	records [chunkSize]packed
	expires stamp // the earliest end of their time to be kept
}

// maxUnindexed is how many records may come before they enter the table.
const maxUnindexed = 1024

// A chunk is full at so many records, or so many bytes of data.
const (
	chunkSize = 256
	chunkData = 256 << 10
)

// resize makes room for n records.
func (a *archive) resize(n int) { a.chunks = make([]*chunk, n/chunkSize+2) }

// packed is a record in the archive.
type packed struct {
	id                            uuid.UUID
	seq                           uint64
	enqueued, due, started, ended stamp
	kind                          uint32
	attempt                       int32
	at                            uint32 // the beginning of its data: args, result and rest
	args, result, rest            uint32 // their lengths
	next                          uint32 // the low bits of the next position in its bucket
	dead                          bool   // deleted
}

// stamp is a time as nanoseconds since 1970, without a pointer to its location.
type stamp int64

const noTime stamp = math.MinInt64

// stampOf returns the stamp of t. It returns false for times that a stamp
// cannot hold, before 1678 and after 2262.
func stampOf(t time.Time) (stamp, bool) {
	if t.IsZero() {
		return noTime, true
	}
	if s := t.Unix(); s < -9_000_000_000 || s > 9_000_000_000 {
		return 0, false
	}
	return stamp(t.UnixNano()), true
}

func (s stamp) time() time.Time {
	if s == noTime {
		return time.Time{}
	}
	return time.Unix(0, int64(s)).UTC()
}

func (a *archive) size() uint64 { return uint64(len(a.chunks)) * chunkSize }

// record returns the record at a position, and the chunk that holds its data.
func (a *archive) record(pos uint64) (*packed, *chunk) {
	c := a.chunks[pos/chunkSize%uint64(len(a.chunks))]
	return &c.records[pos%chunkSize], c
}

// older returns the position, below pos, that has the low bits; false if its
// record is gone.
func (a *archive) older(low uint32, pos uint64) (uint64, bool) {
	back := uint64(uint32(pos) - low)
	return pos - back, back > 0 && back <= pos-a.head
}

func (a *archive) bucket(id uuid.UUID) *uint32 {
	h := binary.LittleEndian.Uint64(id[8:]) ^ binary.LittleEndian.Uint64(id[:8])
	h = (h ^ a.seed) * 0x9e3779b97f4a7c15
	return &a.buckets[(h^h>>32)&uint64(len(a.buckets)-1)]
}

// add packs a succeeded task. If it cannot, it does nothing and returns false:
// the caller then keeps the task as it is.
func (a *archive) add(t *task, result []byte, ended, expires stamp) bool {
	m := t.msg
	enqueued, ok := stampOf(m.Meta.EnqueuedAt)
	due, ok2 := stampOf(t.due)
	size := len(m.Args) + len(result)
	if !ok || !ok2 || size > math.MaxInt32 {
		return false
	}
	kind, ok := a.kinds.of(t)
	if !ok {
		return false
	}
	c := a.place(size)
	r := &c.records[a.tail%chunkSize]
	r.id, r.seq, r.kind, r.attempt, r.dead = t.id, t.seq, kind, t.attempt, false
	r.enqueued, r.due, r.started, r.ended = enqueued, due, t.started, ended
	r.at, r.args, r.result = uint32(len(c.data)), uint32(len(m.Args)), uint32(len(result))
	c.data = append(c.data, m.Args...)
	c.data = append(c.data, result...)
	c.data = appendRest(c.data, t)
	r.rest = uint32(len(c.data)) - r.at - r.args - r.result
	c.expires = min(c.expires, expires)
	a.tail++
	a.n++
	if a.tail-a.indexed >= maxUnindexed {
		a.index()
	}
	return true
}

// index enters into the table the records that are not in it yet.
func (a *archive) index() {
	if a.n >= len(a.buckets)/2 {
		a.rehash()
		return
	}
	for ; a.indexed < a.tail; a.indexed++ {
		if r, _ := a.record(a.indexed); !r.dead {
			b := a.bucket(r.id)
			r.next, *b = *b, uint32(a.indexed)
		}
	}
}

// place returns the chunk of the next record, with room for the data. It
// forgets the oldest records if it must.
func (a *archive) place(size int) *chunk {
	in := a.tail % chunkSize
	if in > 0 {
		_, c := a.record(a.tail)
		if len(c.data)+size <= chunkData {
			return c
		}
		for ; a.tail%chunkSize > 0; a.tail++ {
			c.records[a.tail%chunkSize].dead = true
		}
		a.trim()
	}
	for a.tail+chunkSize-a.head > a.size() { // the oldest are in the chunk to use
		a.forget(a.oldest())
	}
	p := &a.chunks[a.tail/chunkSize%uint64(len(a.chunks))]
	if *p == nil {
		*p = new(chunk)
		if a.tail > 0 { // it likely needs as much data as the previous one
			_, last := a.record(a.tail - 1)
			(*p).data = make([]byte, 0, len(last.data)+len(last.data)/8)
		}
	}
	(*p).expires = never
	return *p
}

// rehash makes a small hash table, or then one large enough for all records,
// and indexes the present ones.
func (a *archive) rehash() {
	if a.buckets == nil {
		a.seed = rand.Uint64()
	}
	size := 1024
	if len(a.buckets) > 0 {
		size = max(2*len(a.buckets), 1<<bits.Len64(2*a.size()))
	}
	a.buckets = make([]uint32, size)
	for i := range a.buckets {
		a.buckets[i] = uint32(a.head) - 1 // of a missing record
	}
	a.indexed = a.head
	a.index()
}

// get returns the record of the task, nil if there is none.
func (a *archive) get(id uuid.UUID) (*packed, *chunk) {
	if a.n == 0 {
		return nil, nil
	}
	a.index()
	pos, ok := a.older(*a.bucket(id), a.tail)
	for ok {
		r, c := a.record(pos)
		if r.id == id && !r.dead {
			return r, c
		}
		pos, ok = a.older(r.next, pos)
	}
	return nil, nil
}

// forget deletes a record.
func (a *archive) forget(r *packed) {
	r.dead = true
	a.n--
	a.gone(r)
	a.trim()
}

// trim gives up the places of the oldest records while they are deleted.
func (a *archive) trim() {
	for a.head < a.tail {
		r, c := a.record(a.head)
		if !r.dead {
			return
		}
		a.head++
		a.indexed = max(a.indexed, a.head)
		if a.head%chunkSize == 0 {
			if cap(c.data) > 2*chunkData {
				c.data = nil
			}
			c.data = c.data[:0]
		}
	}
}

// oldest returns the oldest record, nil if there is none.
func (a *archive) oldest() *packed {
	if a.n == 0 {
		return nil
	}
	r, _ := a.record(a.head)
	return r
}

// keep returns the Keep of the record's message.
func (a *archive) keep(r *packed) time.Duration { return a.kinds.all[r.kind].Keep }

// entry unpacks a record; in brief it leaves out the large fields.
func (a *archive) entry(r *packed, c *chunk, brief bool) *engine.Entry {
	k := &a.kinds.all[r.kind]
	m := k.message()
	m.Meta.ID, m.Meta.EnqueuedAt = r.id, r.enqueued.time()
	en := &engine.Entry{
		ID: r.id, Message: m, State: engine.StateSucceeded, Attempt: int(r.attempt), Worker: k.worker,
		Due: r.due.time(), StartedAt: r.started.time(), EndedAt: r.ended.time(),
	}
	data := c.data[r.at:]
	readRest(data[r.args+r.result:][:r.rest], en)
	if brief {
		en.Memo = nil
		return en
	}
	m.Args = clone(data[:r.args])
	en.Result = clone(data[r.args:][:r.result])
	return en
}

// clone copies bytes; it returns nil for none.
func clone(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return bytes.Clone(b)
}
