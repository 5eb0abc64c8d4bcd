//go:build unix

package beside

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/taskctx/taskctx/internal/cputime"
)

// rounds is how often each side does its work: the figures are medians.
var rounds = flag.Int("rounds", 12, "how often each side of a comparison does its work")

// Queue is one side of a comparison.
type Queue interface {
	// Insert enqueues n tasks, together where n is over 1.
	Insert(ctx context.Context, n int) error
	// Serve works tasks off, each of which calls done, until stop is called.
	Serve(ctx context.Context, workers int, done func()) (stop func() error, err error)
}

// Side opens a queue, on storage of its own, which is closed at tb's end.
type Side struct {
	Name string
	Open func(tb testing.TB) Queue
}

// Row is work that sides do in turn, round by round. The first side is
// compared with each of the others, and these with the second one. So a side
// that is there twice shows the noise.
type Row struct {
	Name  string
	Sides []Side
	// Tasks is how many tasks a round has.
	Tasks int
	// One of these defines a round. Callers enqueue one task at a time each;
	// Batch enqueues so many at once; Workers work off waiting tasks; Idle
	// enqueues one task after the other, at unannounced moments, while a
	// worker waits for it.
	Callers, Batch, Workers int
	Idle                    bool
}

// Run does the work of each row and prints a table in Markdown, and a second
// one for Idle rows, which come last. base is the name of the library. The
// output of go test stands beside the tables.
func Run(b *testing.B, base string, rows []Row) {
	for i, r := range rows {
		switch {
		case r.Idle:
			fmt.Printf("\n| | median ms | to taskctx | 95 %% within ms | tasks |\n|---|--:|--:|--:|--:|\n")
		case i == 0:
			fmt.Printf("\n| | tasks/s | to %s | CPU µs a task | of it the server's | to %[1]s |\n|---|--:|--:|--:|--:|--:|\n", base)
		}
		b.Run(r.Name, func(b *testing.B) {
			for range b.N {
				r.run(b)
			}
			b.ReportMetric(0, "ns/op")
		})
	}
	fmt.Println()
}

// sample is one round of one side.
type sample struct {
	rate        float64 // tasks per second
	cpu, server float64 // µs a task, of both processes and of the server's
	waits       []time.Duration
}

func (r *Row) run(b *testing.B) {
	queues := make([]Queue, len(r.Sides))
	for i, s := range r.Sides {
		queues[i] = s.Open(b)
	}
	samples := make([][]sample, len(queues))
	for n := range *rounds + 1 {
		for i := range queues {
			i = (i + n) % len(queues) // no side always goes first
			s, err := r.round(queues[i])
			if err != nil {
				b.Fatalf("%s: %v", r.Sides[i].Name, err)
			}
			if n > 0 { // the first one warms up
				samples[i] = append(samples[i], s)
			}
		}
	}
	if r.Idle {
		r.printIdle(samples)
	} else {
		r.print(samples)
	}
}

func (r *Row) round(q Queue) (sample, error) {
	switch {
	case r.Callers > 0:
		return measure(r.Tasks, func() error { return r.enqueue(q) })
	case r.Batch > 0:
		return measure(r.Tasks, func() error { return fill(q, r.Tasks, r.Batch) })
	case r.Workers > 0:
		if err := fill(q, r.Tasks, 1000); err != nil {
			return sample{}, err
		}
		return r.workOff(q)
	default:
		return r.idle(q)
	}
}

// measure measures the time and CPU of f for n tasks.
func measure(n int, f func() error) (sample, error) {
	cpu, server, began := cputime.Used(), cputime.Below(), time.Now()
	if err := f(); err != nil {
		return sample{}, err
	}
	s := sample{rate: float64(n) / time.Since(began).Seconds()}
	s.measured(n, cpu, server)
	return s, nil
}

func (s *sample) measured(n int, cpu, server time.Duration) {
	cpu, server = cputime.Used()-cpu, cputime.Below()-server
	s.cpu = float64((cpu + server).Nanoseconds()) / 1000 / float64(n)
	s.server = float64(server.Nanoseconds()) / 1000 / float64(n)
}

// enqueue enqueues tasks one by one.
func (r *Row) enqueue(q Queue) error {
	var next atomic.Int64
	errs := make(chan error, r.Callers)
	for range r.Callers {
		go func() {
			var err error
			for err == nil && next.Add(1) <= int64(r.Tasks) {
				err = q.Insert(context.Background(), 1)
			}
			errs <- err
		}()
	}
	var first error
	for range r.Callers {
		first = cmp.Or(first, <-errs)
	}
	return first
}

// fill enqueues n tasks in batches.
func fill(q Queue, n, batch int) error {
	for ; n > 0; n -= batch {
		if err := q.Insert(context.Background(), min(n, batch)); err != nil {
			return err
		}
	}
	return nil
}

// workOff works off the waiting tasks. Writes after the last task count as CPU
// time, not as time.
func (r *Row) workOff(q Queue) (sample, error) {
	var left sync.WaitGroup
	left.Add(r.Tasks)
	cpu, server, began := cputime.Used(), cputime.Below(), time.Now()
	stop, err := q.Serve(context.Background(), r.Workers, left.Done)
	if err != nil {
		return sample{}, err
	}
	left.Wait()
	s := sample{rate: float64(r.Tasks) / time.Since(began).Seconds()}
	if err := stop(); err != nil {
		return sample{}, err
	}
	s.measured(r.Tasks, cpu, server)
	return s, nil
}

// idleGap is how long at most an idle worker is left alone, and idleFor how
// long a round takes.
const (
	idleGap = time.Second
	idleFor = 2 * time.Second
)

// idle measures from the enqueue of a task to its run.
func (r *Row) idle(q Queue) (s sample, err error) {
	ran := make(chan time.Time)
	stop, err := q.Serve(context.Background(), 10, func() { ran <- time.Now() })
	if err != nil {
		return s, err
	}
	up := false
	for began := time.Now(); time.Since(began) < idleFor; up = true {
		if up {
			time.Sleep(rand.N(idleGap))
		}
		enqueued := time.Now()
		if err := q.Insert(context.Background(), 1); err != nil {
			return s, errors.Join(err, stop())
		}
		if wait := (<-ran).Sub(enqueued); up {
			s.waits = append(s.waits, wait)
		}
	}
	return s, stop()
}

func (r *Row) print(samples [][]sample) {
	fmt.Printf("| **%s** | | | | | |\n", r.Name)
	rate, cpu := func(s sample) float64 { return s.rate }, func(s sample) float64 { return s.cpu }
	for i, side := range r.Sides {
		fmt.Printf("| %s | %.0f | %s | %.1f | %.1f | %s |\n", side.Name,
			median(each(samples[i], rate)), ratio(samples, i, rate),
			median(each(samples[i], cpu)), median(each(samples[i], func(s sample) float64 { return s.server })),
			ratio(samples, i, cpu))
	}
}

func (r *Row) printIdle(samples [][]sample) {
	fmt.Printf("| **%s** | | | | |\n", r.Name)
	var ours float64
	for i, side := range r.Sides {
		var ms []float64
		for _, s := range samples[i] {
			for _, w := range s.waits {
				ms = append(ms, w.Seconds()*1000)
			}
		}
		slices.Sort(ms)
		if i == 0 {
			ours = median(ms)
		}
		fmt.Printf("| %s | %.2f | %.1f | %.2f | %d |\n", side.Name, median(ms), median(ms)/ours, ms[len(ms)*95/100], len(ms))
	}
}

// ratio is the median of a side's ratios to the second side, round by round.
func ratio(samples [][]sample, side int, of func(sample) float64) string {
	if side == 1 {
		return "1"
	}
	var rs []float64
	for n := range samples[side] {
		rs = append(rs, of(samples[side][n])/of(samples[1][n]))
	}
	return fmt.Sprintf("%.2f", median(rs))
}

func each(ss []sample, of func(sample) float64) []float64 {
	xs := make([]float64, len(ss))
	for i, s := range ss {
		xs[i] = of(s)
	}
	return xs
}

func median(xs []float64) float64 {
	xs = slices.Sorted(slices.Values(xs))
	n := len(xs)
	return (xs[(n-1)/2] + xs[n/2]) / 2
}
