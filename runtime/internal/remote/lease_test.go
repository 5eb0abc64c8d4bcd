package remote

import (
	"testing"
	"time"
)

// TestPeers_Lost: a worker is lost when its beat has stood still for the
// lease, by the time between two looks, and not before; after a gap between
// looks, which may be this process's own pause, all begin anew.
func TestPeers_Lost(t *testing.T) {
	const lease = time.Second
	start := time.Now()
	for _, c := range []struct {
		name  string
		looks []time.Duration // since the start
		beats []string        // of the other worker; "" is that it is not there
		want  bool            // after the last look
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
			p := peers{seen: make(map[string]peer)}
			var lost []string
			for i, at := range c.looks {
				present := make(map[string]string)
				if c.beats[i] != "" {
					present["other"] = c.beats[i]
				}
				lost = p.lost(present, start.Add(at*time.Millisecond), lease, lease/2)
			}
			if got := len(lost) == 1; got != c.want {
				t.Errorf("lost: %v, want %v", got, c.want)
			}
		})
	}
}
