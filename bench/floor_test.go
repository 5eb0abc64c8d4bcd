package bench_test

import (
	"bytes"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
)

// floorMessage is the least that a task is: an id, times, and its arguments.
type floorMessage struct {
	id                  uuid.UUID
	enqueued, started   time.Time
	args                []byte
	attempt, maxRetries int
}

// floorContext is what the function gets.
type floorContext struct {
	m      *floorMessage
	ledger *ledger
}

// newFloor is a channel of messages, with nothing but what each task needs
// anyway: an id, two readings of the clock, the arguments as JSON, written and
// read for just these types, a context and a recover. No record is kept, nothing
// can be looked up, waited for, retried, cancelled or prioritized.
func newFloor(b *testing.B, workers int, done *sync.WaitGroup) runner {
	uuid.EnableRandPool()
	work := make(chan *floorMessage, buffer)
	call := func(ctx *floorContext, _ string, cents int64) {
		defer done.Done()
		defer func() {
			if p := recover(); p != nil {
				b.Error(p)
			}
		}()
		ctx.ledger.cents.Add(cents)
	}
	closed := start(workers, func(l *ledger) {
		for m := range work {
			m.started = time.Now()
			customer, rest, ok := bytes.Cut(m.args[len(`{"customerID":"`):], []byte(`","cents":`))
			cents, err := strconv.ParseInt(string(rest[:len(rest)-1]), 10, 64)
			if !ok || err != nil {
				b.Errorf("read %s: %v", m.args, err)
			}
			call(&floorContext{m, l}, string(customer), cents)
		}
	})
	return runner{
		name: "floor",
		enqueue: func(customerID string, cents int64) {
			id, err := uuid.NewV7()
			if err != nil {
				panic(err)
			}
			args := make([]byte, 0, 64)
			args = append(args, `{"customerID":`...)
			args = strconv.AppendQuote(args, customerID)
			args = append(args, `,"cents":`...)
			args = strconv.AppendInt(args, cents, 10)
			args = append(args, '}')
			work <- &floorMessage{id: id, enqueued: time.Now(), args: args, maxRetries: 3}
		},
		close: func() { close(work); closed.Wait() },
	}
}
