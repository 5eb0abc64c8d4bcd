// Package cputime is the processor time of this process, for benchmarks:
// unlike the time on the clock it does not count other programs.
package cputime

import "time"

// Used returns the processor time that this process has used, of the user and
// of the system. It is 0 where the system does not show it, as on Windows. It
// may be called concurrently.
func Used() time.Duration { return used() }
