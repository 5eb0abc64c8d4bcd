package bench_test

import (
	"fmt"
	goruntime "runtime"
	"sync"
	"testing"
	"time"
)

// BenchmarkPeers lets each library do the same charges in turn, in many short
// rounds, so that noise hits all alike. It reports the medians: the time and
// the allocations of one charge, and the ratios of taskctx to the others. Run
// it with -benchtime=1x.
func BenchmarkPeers(b *testing.B) {
	const rounds, each = 15, 5_000
	for _, workers := range []int{2, 10} {
		b.Run(fmt.Sprintf("workers=%d", workers), func(b *testing.B) {
			var done sync.WaitGroup
			var runners []runner
			for _, open := range []func(*testing.B, int, *sync.WaitGroup) runner{
				newChannel, newJSON, newPond, newTaskq, newNeoq, newWatermill, newTask,
			} {
				r := open(b, workers, &done)
				defer r.close()
				runners = append(runners, r)
			}
			ns := make([][]float64, len(runners))
			allocs := make([][]float64, len(runners))
			for range b.N {
				for n := range rounds {
					for i, r := range runners {
						t, a := round(r, &done, each)
						if n > 0 { // the first one warms up
							ns[i], allocs[i] = append(ns[i], t), append(allocs[i], a)
						}
					}
				}
			}
			ours := len(runners) - 1
			for i, r := range runners {
				b.ReportMetric(median(ns[i]), r.name+"-ns")
				b.ReportMetric(median(allocs[i]), r.name+"-allocs")
				if i == ours {
					continue
				}
				ratios := make([]float64, len(ns[i]))
				for n := range ratios {
					ratios[n] = ns[ours][n] / ns[i][n]
				}
				b.ReportMetric(median(ratios), "taskctx/"+r.name)
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

// round does n charges and returns the time and the allocations of one.
func round(r runner, done *sync.WaitGroup, n int) (ns, allocs float64) {
	goruntime.GC() // what others have left behind is not of this round
	var before, after goruntime.MemStats
	goruntime.ReadMemStats(&before)
	start := time.Now()
	done.Add(n)
	for i := range n {
		r.enqueue("c-42", int64(i))
	}
	done.Wait()
	ns = float64(time.Since(start).Nanoseconds()) / float64(n)
	goruntime.ReadMemStats(&after)
	return ns, float64(after.Mallocs-before.Mallocs) / float64(n)
}
