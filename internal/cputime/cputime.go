// Package cputime is the processor time of this process, for benchmarks: it
// tells more than the time on the clock when others use the machine too.
package cputime

import "time"

// Used returns the processor time that this process has used, of the user and
// of the system. It is 0 where it is not known, as on Windows. It may be called
// concurrently.
func Used() time.Duration { return used() }
