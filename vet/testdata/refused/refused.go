// Package refused has what only the generator refuses.
package refused

import "context"

// Refused takes what cannot travel.
//
/* want `each= is for a task that returns an iterator` */ //task:context each=nobody
func Refused(ctx context.Context, done chan int) error { return nil } // want `parameter done: JSON has no channels`
