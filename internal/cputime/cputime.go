// Package cputime is the processor time of this process, and of those that it has started,
// for benchmarks: unlike the time on the clock it does not count other programs.
package cputime

import "time"

// Used returns the processor time that this process has used, of the user and
// of the system. It is 0 where the system does not show it, as on Windows. It
// may be called concurrently.
func Used() time.Duration { return used() }

// Below returns the processor time of the processes below this one: of the servers that
// it has started, and of their children. It is 0 without /proc.
func Below() time.Duration { return below() }
