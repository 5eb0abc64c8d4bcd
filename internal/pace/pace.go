// Package pace tells what the times at which tasks began say of a rate.
package pace

import (
	"slices"
	"time"
)

// Most is how many of the times are in a window as long as per, at most.
func Most(times []time.Time, per time.Duration) (most int) {
	times = slices.SortedFunc(slices.Values(times), time.Time.Compare)
	first := 0
	for i := range times {
		for times[i].Sub(times[first]) >= per {
			first++
		}
		most = max(most, i-first+1)
	}
	return most
}

// Reached is which part of n in per the sorted times have reached, over as many whole
// lots of n as there are.
func Reached(times []time.Time, n int, per time.Duration) float64 {
	last := len(times) - 1
	lots := last / n
	if lots <= 0 {
		return 0
	}
	return float64(lots) * float64(per) / float64(times[last].Sub(times[last-lots*n]))
}
