//go:build unix && clockstep

package engines_test

import "time"

// It compiles with the standard library that buildStepped changes, and no other.
func init() {
	setStep = func(d time.Duration) { time.Step.Store(int64(d.Seconds())) }
}
