//go:build never

package hostile

import "time"

func never(ctx *Outer) { time.Sleep(time.Second) }
