package bench_test

import (
	"fmt"
	goruntime "runtime"
	"sync"
	"testing"
	"time"

	"github.com/taskctx/taskctx/internal/cputime"
)

// BenchmarkPeers lets each library do the same charges in turn, in many short
// rounds, so that noise hits all alike. It reports the medians: the time and
// the allocations of one charge, and the ratios of taskctx to the others. Run
// it with -benchtime=1x.
func BenchmarkPeers(b *testing.B) {
	p := page{workers: []int{2, 10}}
	for _, workers := range p.workers {
		b.Run(fmt.Sprintf("workers=%d", workers), func(b *testing.B) {
			for _, r := range measurePeers(b, workers) {
				b.ReportMetric(r.ns, r.name+"-ns")
				b.ReportMetric(r.allocs, r.name+"-allocs")
				if r.name != "taskctx" {
					b.ReportMetric(r.ratio, "taskctx/"+r.name)
				}
				p.add(r.name, r.column)
			}
			b.ReportMetric(0, "ns/op")
		})
	}
	p.write(b)
}

// result is what one runner took.
type result struct {
	name string
	column
}

// measurePeers opens the runners, lets them work in turn, and returns the
// medians of each, taskctx last.
func measurePeers(b *testing.B, workers int) []result {
	const rounds, each = 25, 5_000
	var done sync.WaitGroup
	var runners []runner
	for _, open := range []func(*testing.B, int, *sync.WaitGroup) runner{
		newChannel, newFloor, newRecorded, newJSON, newPond, newTaskq, newNeoq, newWatermill, newTask,
	} {
		r := open(b, workers, &done)
		defer r.close()
		runners = append(runners, r)
	}
	took := make([][]column, len(runners))
	for range b.N {
		for n := range rounds {
			for i, r := range runners {
				c := round(r, &done, each)
				if n > 0 { // the first one warms up
					took[i] = append(took[i], c)
				}
			}
		}
	}
	ours := took[len(took)-1]
	results := make([]result, len(runners))
	for i, r := range runners {
		of := func(f func(n int) float64) float64 {
			xs := make([]float64, len(ours))
			for n := range xs {
				xs[n] = f(n)
			}
			return median(xs)
		}
		results[i] = result{r.name, column{
			ns:     of(func(n int) float64 { return took[i][n].ns }),
			cpu:    of(func(n int) float64 { return took[i][n].cpu }),
			allocs: of(func(n int) float64 { return took[i][n].allocs }),
			ratio:  of(func(n int) float64 { return ours[n].ns / took[i][n].ns }),
		}}
	}
	return results
}

// round does n charges and returns what one took.
func round(r runner, done *sync.WaitGroup, n int) column {
	goruntime.GC() // what others have left behind is not of this round
	var before, after goruntime.MemStats
	goruntime.ReadMemStats(&before)
	start, cpu := time.Now(), cputime.Used()
	done.Add(n)
	for i := range n {
		r.enqueue("c-42", int64(i))
	}
	done.Wait()
	wall, cpu := time.Since(start), cputime.Used()-cpu
	goruntime.ReadMemStats(&after)
	each := float64(n)
	return column{
		ns: float64(wall) / each, cpu: float64(cpu) / each, allocs: float64(after.Mallocs-before.Mallocs) / each,
	}
}
