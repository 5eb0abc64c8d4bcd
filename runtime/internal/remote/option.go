package remote

import (
	"fmt"
	"time"
)

// Duration is an option of an engine.
type Duration struct {
	Name           string
	Value          *time.Duration
	Least, Default time.Duration
}

// Set gives options their defaults where they are zero. It returns the error
// of the first that is too short.
func Set(ds ...Duration) error {
	for _, d := range ds {
		if *d.Value == 0 {
			*d.Value = d.Default
		}
		if *d.Value < d.Least {
			return fmt.Errorf("Config.%s is %v: it must be at least %v", d.Name, *d.Value, d.Least)
		}
	}
	return nil
}
