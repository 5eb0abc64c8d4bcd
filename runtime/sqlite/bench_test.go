//go:build unix

package sqlite_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	goruntime "runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	_ "modernc.org/sqlite"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/sqlite"
)

// The benchmarks set the engine beside a queue of the ordinary kind on the same
// library, with the tables and statements of goqite: a transaction for each send, receive and delete, and workers that
// poll every millisecond. Each prints the figures of both and their ratio, the
// median of several pairs that ran one after the other:
//
//	go test -run '^$' -bench . -benchtime 1x ./runtime/sqlite

const (
	benchTasks = 10_000
	benchPairs = 5
)

const benchArgs = `{"customerID":"c-42","cents":1999}`

func benchMessage() *runtime.Message {
	return &runtime.Message{
		Name: "billing.ChargeCard", Queue: "default", Args: []byte(benchArgs), Keep: time.Hour,
		Meta: runtime.Meta{
			Version: 1, ID: uuid.Must(uuid.NewV7()), EnqueuedAt: time.Now().UTC(), Signature: "0123456789abcdef", Retries: 3,
		},
	}
}

// queue is what is measured.
type queue interface {
	enqueue(n int) // n tasks at once
	work(workers, n int, ran func()) (stop func())
	close()
}

type ours struct{ e *sqlite.Engine }

func newOurs(b *testing.B) queue {
	e, err := sqlite.Open(filepath.Join(b.TempDir(), "tasks.db"))
	if err != nil {
		b.Fatal(err)
	}
	return ours{e}
}

func (q ours) close() { q.e.Close() }

func (q ours) enqueue(n int) {
	if n == 1 {
		if _, err := q.e.InsertOne(context.Background(), benchMessage()); err != nil {
			panic(err)
		}
		return
	}
	ms := make([]*runtime.Message, n)
	for i := range ms {
		ms[i] = benchMessage()
	}
	if _, err := q.e.Insert(context.Background(), ms); err != nil {
		panic(err)
	}
}

func (q ours) work(workers, _ int, ran func()) func() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- q.e.Serve(ctx, &runtime.Worker{
			ID: "bench", Slots: workers, Queues: []string{"default"}, Names: []string{"billing.ChargeCard"},
			ParkFor: time.Hour,
			RunInline: func(_ context.Context, _ *runtime.Delivery, o *runtime.Outcome) {
				o.Kind = runtime.OutcomeSucceed
				ran()
			},
		})
	}()
	return func() {
		cancel()
		if err := <-done; err != nil {
			panic(err)
		}
	}
}

// plain is the queue of the ordinary kind.
type plain struct{ db *sql.DB }

func newPlain(b *testing.B) queue {
	db, err := sql.Open("sqlite", "file:"+filepath.Join(b.TempDir(), "plain.db")+
		"?_txlock=immediate&_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)&_pragma=busy_timeout(5000)")
	if err != nil {
		b.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	if _, err := db.Exec(`CREATE TABLE queue (
			id TEXT PRIMARY KEY DEFAULT ('m_' || lower(hex(randomblob(16)))),
			created TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ')),
			updated TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ')),
			queue TEXT NOT NULL, body BLOB NOT NULL,
			timeout TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ')),
			received INTEGER NOT NULL DEFAULT 0) STRICT;
		CREATE TRIGGER queue_updated AFTER UPDATE ON queue BEGIN
			UPDATE queue SET updated = strftime('%Y-%m-%dT%H:%M:%fZ') WHERE id = old.id;
		END;
		CREATE INDEX queue_created ON queue(queue, created)`); err != nil {
		b.Fatal(err)
	}
	return plain{db}
}

func (q plain) close() { q.db.Close() }

func (q plain) enqueue(n int) {
	q.tx(func(tx *sql.Tx) error {
		for range n {
			var id string
			if err := tx.QueryRow(`INSERT INTO queue(queue, body, timeout) VALUES(?, ?, ?) RETURNING id`,
				"default", []byte(benchArgs), time.Now().UTC().Format(plainTime)).Scan(&id); err != nil {
				return err
			}
		}
		return nil
	})
}

func (q plain) tx(do func(*sql.Tx) error) {
	tx, err := q.db.Begin()
	if err == nil {
		if err = do(tx); err == nil {
			err = tx.Commit()
		}
	}
	if err != nil {
		panic(err)
	}
}

const plainTime = "2006-01-02T15:04:05.000Z"

func (q plain) receive() (id string, ok bool) {
	q.tx(func(tx *sql.Tx) error {
		now := time.Now().UTC()
		var body []byte
		err := tx.QueryRow(`UPDATE queue SET timeout = ?, received = received + 1 WHERE id = (
			SELECT id FROM queue WHERE queue = ? AND ? >= timeout AND received < 3 ORDER BY created LIMIT 1)
			RETURNING id, body`, now.Add(time.Minute).Format(plainTime), "default", now.Format(plainTime)).Scan(&id, &body)
		if err == sql.ErrNoRows {
			return nil
		}
		ok = err == nil
		return err
	})
	return id, ok
}

func (q plain) work(workers, _ int, ran func()) func() {
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				id, ok := q.receive()
				if !ok {
					time.Sleep(time.Millisecond)
					continue
				}
				ran()
				q.tx(func(tx *sql.Tx) error {
					_, err := tx.Exec(`DELETE FROM queue WHERE queue = ? AND id = ?`, "default", id)
					return err
				})
			}
		})
	}
	return func() { close(stop); wg.Wait() }
}

// compare reports both queues' figures and their ratio: of rates, how many
// times ours is the plain one's; of times, what part of it. Where there are
// tasks to count it reports the processor time for each too, which other
// programs on the machine disturb less.
func compare(b *testing.B, unit string, measure func(q queue, n int) float64, plainTasks int) {
	for range b.N {
		var figures [5][]float64
		for range benchPairs {
			var pair, cpu [2]float64
			for i, open := range []func(*testing.B) queue{newOurs, newPlain} {
				q := open(b)
				n := benchTasks
				if i == 1 {
					n = plainTasks
				}
				goruntime.GC()
				before := cpuTime(b)
				pair[i] = measure(q, n)
				cpu[i] = (cpuTime(b) - before).Seconds() * 1e6 / float64(max(n, 1))
				q.close()
			}
			for i, v := range []float64{pair[0], pair[1], pair[0] / pair[1], cpu[0], cpu[1]} {
				figures[i] = append(figures[i], v)
			}
		}
		for i, name := range []string{"ours-" + unit, "plain-" + unit, "ratio", "ours-µs-cpu", "plain-µs-cpu"} {
			if i > 2 && plainTasks == 0 {
				break
			}
			slices.Sort(figures[i])
			b.ReportMetric(figures[i][len(figures[i])/2], name)
		}
		b.ReportMetric(0, "ns/op")
	}
}

func rate(n int, since time.Time) float64 { return float64(n) / time.Since(since).Seconds() }

func enqueueFrom(callers, lot int) func(queue, int) float64 {
	return func(q queue, n int) float64 {
		start := time.Now()
		var wg sync.WaitGroup
		for range callers {
			wg.Go(func() {
				for i := 0; i < n/callers; i += lot {
					q.enqueue(lot)
				}
			})
		}
		wg.Wait()
		return rate(n, start)
	}
}

func BenchmarkEnqueue(b *testing.B) {
	b.Run("callers=1", func(b *testing.B) { compare(b, "tasks/s", enqueueFrom(1, 1), benchTasks) })
	b.Run("callers=16", func(b *testing.B) { compare(b, "tasks/s", enqueueFrom(16, 1), benchTasks) })
	b.Run("batch=1000", func(b *testing.B) { compare(b, "tasks/s", enqueueFrom(1, 1000), benchTasks) })
}

// BenchmarkWork works off tasks that are there.
func BenchmarkWork(b *testing.B) {
	for _, workers := range []int{10, 100} {
		b.Run(fmt.Sprintf("workers=%d", workers), func(b *testing.B) {
			compare(b, "tasks/s", func(q queue, n int) float64 {
				for range n / 1000 {
					q.enqueue(1000)
				}
				var left atomic.Int64
				left.Store(int64(n))
				done := make(chan struct{})
				start := time.Now()
				stop := q.work(workers, n, func() {
					if left.Add(-1) == 0 {
						close(done)
					}
				})
				<-done
				stop()
				return rate(n, start)
			}, benchTasks/5)
		})
	}
}

// BenchmarkIdle is the time from an enqueue to the run, when there is nothing
// else to do: in milliseconds, so a smaller ratio is better.
func BenchmarkIdle(b *testing.B) {
	for _, quantile := range []int{50, 99} {
		b.Run(fmt.Sprintf("p%d", quantile), func(b *testing.B) {
			compare(b, "ms", func(q queue, _ int) float64 {
				ran := make(chan time.Time, 1)
				stop := q.work(10, 0, func() { ran <- time.Now() })
				defer stop()
				var waits []float64
				for range 300 {
					time.Sleep(2 * time.Millisecond)
					start := time.Now()
					q.enqueue(1)
					waits = append(waits, (<-ran).Sub(start).Seconds()*1000)
				}
				slices.Sort(waits)
				return waits[len(waits)*quantile/100]
			}, 0)
		})
	}
}

// BenchmarkMemory is by how much the process grows over many tasks.
func BenchmarkMemory(b *testing.B) {
	for range b.N {
		q := newOurs(b)
		q.enqueue(1000)
		before := resident(b)
		for range 50 {
			q.enqueue(1000)
		}
		var left atomic.Int64
		left.Store(51_000)
		done := make(chan struct{})
		stop := q.work(10, 0, func() {
			if left.Add(-1) == 0 {
				close(done)
			}
		})
		<-done
		stop()
		b.ReportMetric(float64(resident(b)-before)/(1<<20), "MiB-growth")
		q.close()
	}
}

// resident is the memory of the process that the system holds for it.
func resident(b *testing.B) int64 {
	goruntime.GC()
	data, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		b.Skip("no /proc here")
	}
	var size, pages int64
	if _, err := fmt.Sscan(string(data), &size, &pages); err != nil {
		b.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}

// cpuTime is the processor time that the process has used.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
