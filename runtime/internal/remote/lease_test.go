package remote

import (
	"testing"
	"time"
)

// TestBeats_Silent: a worker is taken for gone when its count has stood still for the
// lease, by the time between two looks, and not before; after a gap between
// looks, which may be this process's own pause, all begin anew.
func TestBeats_Silent(t *testing.T) {
	const lease = time.Second
	start := time.Now()
	for _, c := range []struct {
		name   string
		looks  []time.Duration // since the start
		counts []string        // of the other worker; "" is that it is not there
		want   bool            // after the last look
	}{
		{"it stands still", []time.Duration{0, 400, 800, 1000}, []string{"7", "7", "7", "7"}, true},
		{"not long enough", []time.Duration{0, 400, 800}, []string{"7", "7", "7"}, false},
		{"it goes on", []time.Duration{0, 400, 800, 1000}, []string{"7", "7", "8", "8"}, false},
		{"it begins anew", []time.Duration{0, 400, 800, 1000}, []string{"7", "1", "1", "1"}, false},
		{"it has left", []time.Duration{0, 400, 800, 1000}, []string{"7", "7", "7", ""}, false},
		{"it came back", []time.Duration{0, 400, 800, 1000}, []string{"7", "7", "", "7"}, false},
		{"this process was paused", []time.Duration{0, 400, 1000}, []string{"7", "7", "7"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := beats{seen: make(map[string]sight)}
			var silent []string
			for i, at := range c.looks {
				present := make(map[string]string)
				if c.counts[i] != "" {
					present["other"] = c.counts[i]
				}
				silent = b.silent(present, start.Add(at*time.Millisecond), lease, lease/2)
			}
			if got := len(silent) == 1; got != c.want {
				t.Errorf("taken for gone: %v, want %v", got, c.want)
			}
		})
	}
}
