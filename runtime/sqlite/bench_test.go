//go:build unix

package sqlite_test

import (
	"context"
	"database/sql"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	goruntime "runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	_ "modernc.org/sqlite"

	"github.com/taskctx/taskctx/internal/cputime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/sqlite"
)

// BenchmarkDurable sets the engine beside a queue of the ordinary kind on the same
// library, with the tables and statements of goqite: a transaction for each send,
// receive and delete, and workers that poll every millisecond. It reports the
// figures of both and their ratio, the median of several pairs that ran one
// after the other, and with -page writes them into a file:
//
//	make bench-durable
func BenchmarkDurable(b *testing.B) {
	var p page
	for _, c := range comparisons {
		b.Run(c.name, func(b *testing.B) {
			for range b.N {
				p.compared = append(p.compared, c.run(b))
			}
			b.ReportMetric(0, "ns/op")
		})
	}
	b.Run("memory", func(b *testing.B) {
		for range b.N {
			p.growth = growth(b)
		}
		b.ReportMetric(p.growth, "MiB")
		b.ReportMetric(0, "ns/op")
	})
	if *pageFile != "" {
		if err := os.WriteFile(*pageFile, []byte(p.text()), 0o644); err != nil {
			b.Fatal(err)
		}
	}
}

var (
	pageFile   = flag.String("page", "", "the file that BenchmarkDurable writes its table into")
	benchPairs = flag.Int("pairs", 9, "how often BenchmarkDurable runs each pair")
)

const benchTasks = 10_000

const benchArgs = `{"customerID":"c-42","cents":1999}`

func benchMessage() *engine.Message {
	return &engine.Message{
		Name: "billing.ChargeCard", Queue: "default", Args: []byte(benchArgs), Keep: time.Hour,
		Meta: engine.Meta{
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
	e, err := sqlite.Open(filepath.Join(b.TempDir(), "tasks.db"), sqlite.Config{})
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
	ms := make([]*engine.Message, n)
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
		done <- q.e.Serve(ctx, &engine.Worker{
			ID: "bench", Slots: workers, Queues: []string{"default"}, Names: []string{"billing.ChargeCard"},
			ParkFor: time.Hour,
			RunInline: func(_ context.Context, _ *engine.Delivery, o *engine.Outcome) {
				o.Kind = engine.OutcomeSucceed
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

// comparison is the same work on both queues.
type comparison struct {
	name       string
	measure    func(q queue, n int) float64
	plainTasks int // how many tasks the plain queue gets; 0 if waits are measured, not tasks
	// goal is the rate in tasks per second, or the wait in milliseconds, and
	// ratio what it is to be of the plain queue's.
	goal, ratio float64
}

var comparisons = []comparison{
	{"enqueue, 1 caller", enqueueFrom(1, 1), benchTasks, 20_000, 2},
	{"enqueue, 16 callers", enqueueFrom(16, 1), benchTasks, 60_000, 6},
	{"enqueue, batches of 1,000", enqueueFrom(1, 1000), benchTasks, 100_000, 5},
	{"work off, 10 workers", workOff(10), benchTasks / 5, 50_000, 12},
	{"work off, 100 workers", workOff(100), benchTasks / 5, 80_000, 25},
	{"wait of an idle worker, median", idleWait(50), 0, 0.5, 0.4},
	{"wait of an idle worker, 99th percentile", idleWait(99), 0, 1, 0.4},
}

// compared is what came of a comparison: medians.
type compared struct {
	comparison
	ours, plain, ratio float64
	best               float64
	cpu, plainCPU      float64 // µs a task
}

// run does the pairs. It counts processor time too, which other programs on the
// machine disturb less.
func (c comparison) run(b *testing.B) compared {
	var figures [5][]float64
	for range *benchPairs {
		var pair, cpu [2]float64
		for i, open := range []func(*testing.B) queue{newOurs, newPlain} {
			q := open(b)
			n := benchTasks
			if i == 1 {
				n = c.plainTasks
			}
			goruntime.GC()
			before := cputime.Used()
			pair[i] = c.measure(q, n)
			cpu[i] = (cputime.Used() - before).Seconds() * 1e6 / float64(max(n, 1))
			q.close()
		}
		for i, v := range []float64{pair[0], pair[1], pair[0] / pair[1], cpu[0], cpu[1]} {
			figures[i] = append(figures[i], v)
		}
	}
	var medians [5]float64
	for i, name := range []string{"ours", "plain", "ratio", "ours-µs-cpu", "plain-µs-cpu"} {
		slices.Sort(figures[i])
		medians[i] = figures[i][len(figures[i])/2]
		if i < 3 || c.plainTasks > 0 {
			b.ReportMetric(medians[i], name)
		}
	}
	best := slices.Max(figures[0])
	if c.plainTasks == 0 {
		best = slices.Min(figures[0])
	}
	b.ReportMetric(best, "best")
	return compared{c, medians[0], medians[1], medians[2], best, medians[3], medians[4]}
}

// page is the document that the benchmark writes.
type page struct {
	compared []compared
	growth   float64
}

func (p *page) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, `# How fast tasks in a file are

Printed by "make bench-durable". The SQLite engine with its defaults, beside a queue
of the ordinary kind on the same library, with the tables and statements of goqite: a
transaction for each send, receive and delete, workers that poll every millisecond,
the same journal and synchronous level. Ours stores whole tasks, with id, metadata,
record and result. Each ran %d times in turn with the other; the figures are medians,
and the best of ours, since other work on the machine only ever slows it down. Tasks
per second, %d of them (the ordinary queue works off a fifth); waits in milliseconds.

| | ours | the best | goal | ordinary queue | ratio | goal | processor time a task, µs | the ordinary queue's |
|---|--:|--:|--:|--:|--:|--:|--:|--:|
`, *benchPairs, benchTasks)
	for _, c := range p.compared {
		digits, more, cpu, plainCPU := 0, "at least", "", ""
		if c.plainTasks == 0 {
			digits, more = 2, "at most"
		} else {
			cpu, plainCPU = fmt.Sprintf("%.1f", c.cpu), fmt.Sprintf("%.1f", c.plainCPU)
		}
		fmt.Fprintf(&b, "| %s | %.*f | %.*f | %s %.*f | %.*f | %.2f | %s %.1f | %s | %s |\n", c.name, digits, c.ours, digits, c.best,
			more, min(digits, 1), c.goal, digits, c.plain, c.ratio, more, c.comparison.ratio, cpu, plainCPU)
	}
	fmt.Fprintf(&b, "\nThe process grows by %.1f MiB over 51,000 tasks; the goal is at most 12.\n", p.growth)
	return b.String()
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

// workOff works off tasks that are there.
func workOff(workers int) func(queue, int) float64 {
	return func(q queue, n int) float64 {
		for range n / 1000 {
			q.enqueue(1000)
		}
		start := time.Now()
		drain(q, workers, n)
		return rate(n, start)
	}
}

// drain works n tasks off.
func drain(q queue, workers, n int) {
	var left atomic.Int64
	left.Store(int64(n))
	done := make(chan struct{})
	stop := q.work(workers, n, func() {
		if left.Add(-1) == 0 {
			close(done)
		}
	})
	<-done
	stop()
}

// idleWait is the time from an enqueue to the run, when there is nothing else
// to do, in milliseconds: so much percent of them take no longer.
func idleWait(percent int) func(queue, int) float64 {
	return func(q queue, _ int) float64 {
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
		return waits[len(waits)*percent/100]
	}
}

// growth is by how many MiB the process grows over many tasks.
func growth(b *testing.B) float64 {
	q := newOurs(b)
	defer q.close()
	q.enqueue(1000)
	before := resident(b)
	for range 50 {
		q.enqueue(1000)
	}
	drain(q, 10, 51_000)
	return float64(resident(b)-before) / (1 << 20)
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
