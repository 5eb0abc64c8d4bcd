package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
)

// If the answer to an enqueue is lost, it is sent again, and must not store its
// tasks twice. So a job's number is known before it is inserted: numbers of
// River's sequence are reserved, some at a time, and each is used once.

const (
	firstNumbers = 4
	mostNumbers  = 512
	// numbersAge is how long reserved numbers are used: tasks are listed in
	// the order of their numbers, which should stay close to the order of
	// enqueueing across processes.
	numbersAge = 5 * time.Second
)

// numbers are reserved for jobs that this process will insert.
type numbers struct {
	refill chan struct{} // has room for one: the goroutine that reserves more

	mu       sync.Mutex
	free     []int64   // guarded by mu, as all below
	reserved time.Time // when free was
	size     int       // how many were reserved then
}

// take returns n of the free numbers, nil if there are too few fresh ones.
func (s *numbers) take(n int) []int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.free) < n || time.Since(s.reserved) > numbersAge {
		return nil
	}
	taken := s.free[:n:n]
	s.free = s.free[n:]
	return taken
}

// next returns how many numbers to reserve when n are needed: more and more
// while they are used up before they are too old.
func (s *numbers) next(n int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Since(s.reserved) > numbersAge {
		s.size = firstNumbers
	} else {
		s.size = min(2*s.size, mostNumbers)
	}
	if n > mostNumbers {
		return n
	}
	return max(n, s.size)
}

// put adds numbers that were just reserved.
func (s *numbers) put(free []int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.free, s.reserved = free, time.Now()
}

// drop forgets the free numbers.
func (s *numbers) drop() { s.put(nil) }

// reserve returns numbers for n jobs. The goroutine that fetches them ends
// with the engine, not with ctx: otherwise many callers with little time would
// all begin anew.
func (e *Engine) reserve(ctx context.Context, n int) ([]int64, error) {
	for {
		if taken := e.numbers.take(n); taken != nil {
			return taken, nil
		}
		select {
		case e.numbers.refill <- struct{}{}:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		if taken, err := e.numbers.take(n), e.closed(); taken != nil || err != nil {
			<-e.numbers.refill
			return taken, err
		}
		fetched := make(chan error, 1)
		go func() { // Close waits for it, by refill
			defer func() { <-e.numbers.refill }()
			fetched <- e.fetchNumbers(e.numbers.next(n))
		}()
		select {
		case err := <-fetched:
			if err != nil {
				return nil, fmt.Errorf("reserve numbers of jobs: %w", err)
			}
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// fetchNumbers reserves n numbers. When an answer is lost it asks again:
// unused numbers are no loss.
func (e *Engine) fetchNumbers(n int) error {
	got, err := e.nextNumbers(e.closing, e, n)
	for range maxStale {
		if err == nil || !stale(err) && !errors.Is(err, errSilent) {
			break
		}
		got, err = e.nextNumbers(e.closing, e, n)
	}
	if err == nil {
		e.numbers.put(got)
	}
	return err
}

// nextNumbers takes n numbers of the sequence.
func (e *Engine) nextNumbers(ctx context.Context, d db, n int) (got []int64, err error) {
	err = d.query(ctx, e.sql.nextNumbers, []any{n}, func(scan func(...any) error) error {
		var number int64
		err := scan(&number)
		got = append(got, number)
		return err
	})
	if err == nil && len(got) != n {
		err = fmt.Errorf("the sequence gave %d numbers of %d", len(got), n)
	}
	return got, err
}

// idsOf returns the ids that the tasks of a lot have if they are stored.
func (e *Engine) idsOf(l *lot) []uuid.UUID {
	ids := make([]uuid.UUID, len(l.id))
	for i, number := range l.id {
		ids[i] = e.taskID(number)
	}
	return ids
}
