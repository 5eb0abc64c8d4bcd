package bench_test

import (
	"bytes"
	"fmt"
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
	at                  uint32 // in records, if there are any
}

// floorContext is what the function gets.
type floorContext struct {
	m      *floorMessage
	ledger *ledger
}

// appendCharge writes the arguments as JSON, for just these types.
func appendCharge(args []byte, customerID string, cents int64) []byte {
	args = append(args, `{"customerID":`...)
	args = strconv.AppendQuote(args, customerID)
	args = append(args, `,"cents":`...)
	args = strconv.AppendInt(args, cents, 10)
	return append(args, '}')
}

// readCharge reads what appendCharge wrote.
func readCharge(args []byte) (customerID []byte, cents int64, err error) {
	customerID, rest, ok := bytes.Cut(args[len(`{"customerID":"`):], []byte(`","cents":`))
	if !ok {
		return nil, 0, fmt.Errorf("read %s", args)
	}
	cents, err = strconv.ParseInt(string(rest[:len(rest)-1]), 10, 64)
	return customerID, cents, err
}

// newFloorMessage makes the message of a charge.
func newFloorMessage(customerID string, cents int64) *floorMessage {
	id, err := uuid.NewV7()
	if err != nil {
		panic(err)
	}
	args := appendCharge(make([]byte, 0, 64), customerID, cents)
	return &floorMessage{id: id, enqueued: time.Now(), args: args, maxRetries: 3}
}

// run reads the arguments and calls the function with them and a context.
func (m *floorMessage) run(b *testing.B, l *ledger, done *sync.WaitGroup) {
	customer, cents, err := readCharge(m.args)
	if err != nil {
		b.Error(err)
	}
	m.call(b, &floorContext{m, l}, string(customer), cents, done)
}

func (m *floorMessage) call(b *testing.B, ctx *floorContext, _ string, cents int64, done *sync.WaitGroup) {
	defer done.Done()
	defer func() {
		if p := recover(); p != nil {
			b.Error(p)
		}
	}()
	ctx.ledger.cents.Add(cents)
}

// newFloor is a channel of messages, with nothing but what each task needs
// anyway: an id, two readings of the clock, the arguments as JSON, written and
// read for just these types, a context and a recover. No record is kept, nothing
// can be looked up, waited for, retried, cancelled or prioritized.
func newFloor(b *testing.B, workers int, done *sync.WaitGroup) runner {
	uuid.EnableRandPool()
	work := make(chan *floorMessage, buffer)
	closed := start(workers, func(l *ledger) {
		for m := range work {
			m.started = time.Now()
			m.run(b, l, done)
		}
	})
	return runner{
		name:    "floor",
		enqueue: func(customerID string, cents int64) { work <- newFloorMessage(customerID, cents) },
		close:   func() { close(work); closed.Wait() },
	}
}
