package postgres

import "time"

const (
	// trailStep is the distance of two marks of a trail, and longTrail the age
	// of the oldest mark at which looks begin.
	trailStep = 50 * time.Millisecond
	longTrail = time.Second
	// longEvery is how often at most a look begins at that one. longRests is
	// how many times its duration the next one waits, if an entry takes
	// entryTakes.
	longEvery  = 100 * time.Millisecond
	longRests  = 20
	entryTakes = time.Microsecond
)

// trail is the marks of the last second: a look begins at one that is some
// milliseconds old, and now and then at one that is a second old. Its zero
// value is empty.
type trail[T any] struct {
	at    []time.Time // by the server's clock
	marks []T
	long  time.Time // when the next look begins a second ago, by this process's clock
	took  bool      // the last one did
}

func (t *trail[T]) empty() bool { return len(t.at) == 0 }

// may reports whether the last mark is old enough for another.
func (t *trail[T]) may(now time.Time) bool {
	return t.empty() || now.Sub(t.at[len(t.at)-1]) >= trailStep
}

// add adds a mark, and forgets those before the one that is a second old.
func (t *trail[T]) add(now time.Time, mark T) {
	t.at, t.marks = append(t.at, now), append(t.marks, mark)
	old := 0
	for old+1 < len(t.at) && now.Sub(t.at[old+1]) >= longTrail {
		old++
	}
	t.at, t.marks = t.at[old:], t.marks[old:]
}

// mark returns the mark at which the next look begins.
func (t *trail[T]) mark() (mark T) {
	now := time.Now()
	switch n := len(t.marks); {
	case n == 0:
		return mark
	case now.After(t.long):
		t.long, t.took = now.Add(longEvery), true
		return t.marks[0]
	default:
		t.took = false
		return t.marks[max(n-2, 0)]
	}
}

// last returns the last mark at which looks begin.
func (t *trail[T]) last() (mark T) {
	if n := len(t.marks); n > 0 {
		mark = t.marks[max(n-2, 0)]
	}
	return mark
}

// looked notes how much the look that began at mark has read.
func (t *trail[T]) looked(read int) {
	if t.took {
		t.long = time.Now().Add(max(longEvery, longRests*entryTakes*time.Duration(read)))
	}
}
