package enginetest

import (
	"fmt"

	"github.com/taskctx/taskctx/runtime/engine"
)

func testSetLimit(b *bench) {
	l := b.limiter(b.e)
	s := b.serve([]string{"task.limited"}, slots(5))
	rule := "k of " + b.queue
	set := func(n int) {
		b.Helper()
		if err := l.SetLimit(b.ctx(), rule, n); err != nil {
			b.Fatalf("SetLimit(%d): %v", n, err)
		}
	}
	one := b.limit("k", 1)
	for range 5 {
		b.insert("task.limited", one)
	}
	first := s.next()
	s.quiet("the limit is 1")
	set(3)
	second, third := s.next(), s.next()
	s.quiet("the limit is 3")
	set(0)
	for _, h := range []*handed{first, second, third} {
		h.succeed()
	}
	s.quiet("the limit is 0")
	b.insert("task.limited", one)
	s.quiet("the limit is 0")
	set(-1)
	h := s.next()
	s.quiet("the limit is 1 again")
	h.succeed()
	s.next().succeed()
	s.next().succeed()
}

func testLimitCounts(b *bench) {
	l := b.limiter(b.e)
	rule := "k of " + b.queue
	count := func() engine.LimitCount {
		b.Helper()
		cs, err := l.Limits(b.ctx())
		if err != nil {
			b.Fatalf("Limits: %v", err)
		}
		for _, c := range cs {
			if c.Rule == rule {
				return c
			}
		}
		return engine.LimitCount{Rule: rule, Set: -1}
	}
	is := func(when string, want engine.LimitCount) {
		b.Helper()
		want.Rule = rule
		b.poll(fmt.Sprintf("%s: Limits returns %+v", when, want), func() bool { return count() == want })
	}
	s := b.serve([]string{"task.limited"}, slots(5))
	one := b.limit("k", 1)
	h := s.nextID(b.insert("task.limited", one))
	b.insert("task.limited", one)
	b.insert("task.limited", one)
	is("one runs", engine.LimitCount{Set: -1, Keys: 1, Held: 1, Waiting: 2})
	if err := l.SetLimit(b.ctx(), rule, 0); err != nil {
		b.Fatalf("SetLimit: %v", err)
	}
	h.succeed()
	is("set to 0", engine.LimitCount{Set: 0, Keys: 1, Waiting: 2})
	if err := l.SetLimit(b.ctx(), rule, -1); err != nil {
		b.Fatalf("SetLimit: %v", err)
	}
	s.next().succeed()
	s.next().succeed()
	is("all have ended", engine.LimitCount{Set: -1})
}
