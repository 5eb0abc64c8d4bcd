package engines_test

import (
	"flag"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/runtime/engine"
)

var (
	limitRounds = flag.Int("limitrounds", 1, "how often TestLimit_Cost measures each number of keys")
	limitNumber = flag.String("limitnumber", "1,100,100000", "for how many keys it does")
)

// TestLimit_Cost prints what tasks with limits take beside as many without: medians of the
// rounds, on the clock and of processors.
func TestLimit_Cost(t *testing.T) {
	for name, open := range limitEngines() {
		t.Run(name, func(t *testing.T) {
			none := func(int) []engine.Limit { return nil }
			workOff(t, open(t), none, false)
			for number := range strings.SplitSeq(*limitNumber, ",") {
				keys, err := strconv.Atoi(number)
				require.NoError(t, err)
				limits := func(i int) []engine.Limit {
					return []engine.Limit{{Rule: "k", Key: fmt.Sprint("k", i%keys), Most: workOffSlots}}
				}
				var plain, limited []workedOff
				for range *limitRounds { // in turn: the machine may have other work
					plain = append(plain, workOff(t, open(t), none, false))
					limited = append(limited, workOff(t, open(t), limits, false))
				}
				against := func(what string, of func(w workedOff) time.Duration) {
					var took, took0 []time.Duration
					var ratios []float64
					for i := range plain {
						took0, took = append(took0, of(plain[i])), append(took, of(limited[i]))
						ratios = append(ratios, took[i].Seconds()/took0[i].Seconds())
					}
					t.Logf("%d tasks of %d keys, %s: %v, without limits %v: %.2f", *limitPaused, min(keys, *limitPaused), what,
						median(took), median(took0), median(ratios))
				}
				against("enqueued", func(w workedOff) time.Duration { return w.inserted })
				against("enqueued, processor", func(w workedOff) time.Duration { return w.insertCPU })
				against("worked off", func(w workedOff) time.Duration { return w.took })
				against("worked off, processor", func(w workedOff) time.Duration { return w.workCPU })
			}
		})
	}
}

func median[T ~int64 | ~float64](of []T) T {
	of = slices.Sorted(slices.Values(of))
	return of[len(of)/2]
}
