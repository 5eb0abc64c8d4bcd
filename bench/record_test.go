package bench_test

import (
	"encoding/binary"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
)

// newRecorded is the floor with one thing more: a record of each task, from
// before it waits until maxRecords others came after it, that is found by the
// task's id. It is made for just these tasks: an array, a hash table beside it,
// one lock, and no allocation. It cannot do what a record is for: wake who
// waits, run again, cancel, list, and keep arguments and results of any size.
func newRecorded(b *testing.B, workers int, done *sync.WaitGroup) runner {
	uuid.EnableRandPool()
	work := make(chan *floorMessage, buffer)
	records := newRecords()
	closed := start(workers, func(l *ledger) {
		var ended *floorMessage
		for m := range work {
			m.started = time.Now()
			records.step(ended, m, m.started)
			m.run(b, l, done)
			ended = m
		}
		records.step(ended, nil, time.Now())
	})
	return runner{
		name: "recorded",
		enqueue: func(customerID string, cents int64) {
			m := newFloorMessage(customerID, cents)
			records.add(m)
			work <- m
		},
		close: func() { close(work); closed.Wait() },
	}
}

// maxRecords is how many are kept: as many as taskctx keeps in memory.
const maxRecords = 100_000

// records are those of the latest tasks.
type records struct {
	mu      sync.Mutex // guards all below
	all     []record   // from 1 on
	next    uint32
	buckets []uint32
}

// record is what is known of a task.
type record struct {
	id                       uuid.UUID
	enqueued, started, ended int64
	args                     [64]byte
	size                     uint8
	state                    recordState
	next                     uint32 // in its bucket
}

type recordState uint8

const (
	recordWaits recordState = iota
	recordRuns
	recordEnded
)

func newRecords() *records {
	return &records{all: make([]record, maxRecords+1), next: 1, buckets: make([]uint32, 1<<18)}
}

func (r *records) bucket(id uuid.UUID) *uint32 {
	return &r.buckets[binary.LittleEndian.Uint64(id[8:])*0x9e3779b97f4a7c15>>(64-18)]
}

// add makes the record of a new task in the place of the oldest one.
func (r *records) add(m *floorMessage) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m.at = r.next
	if r.next++; r.next > maxRecords {
		r.next = 1
	}
	rec := &r.all[m.at]
	if rec.enqueued != 0 {
		p := r.bucket(rec.id)
		for *p != m.at {
			p = &r.all[*p].next
		}
		*p = rec.next
	}
	rec.id, rec.enqueued, rec.started, rec.ended, rec.state = m.id, m.enqueued.UnixNano(), 0, 0, recordWaits
	rec.size = uint8(copy(rec.args[:], m.args))
	p := r.bucket(m.id)
	rec.next, *p = *p, m.at
}

// step notes that one task has ended, and that another begins.
func (r *records) step(ended, begun *floorMessage, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if ended != nil {
		rec := &r.all[ended.at]
		rec.ended, rec.state = now.UnixNano(), recordEnded
	}
	if begun != nil {
		rec := &r.all[begun.at]
		rec.started, rec.state = now.UnixNano(), recordRuns
	}
}
