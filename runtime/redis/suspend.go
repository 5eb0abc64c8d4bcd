package redis

import (
	"context"
	"fmt"
	"time"

	"github.com/taskctx/taskctx/runtime/engine"
)

// ofFamily reports that an outcome has to do with journals or limits: a parent may have
// to hear of it, children are to be cancelled after it, or others are let in.
func ofFamily(o *outcome) bool {
	m := &o.Of.Message.Meta
	return o.Kind == engine.OutcomeSuspend || m.Entry != "" || len(o.Of.Message.Limits) > 0 ||
		(m.Version >= engine.WireDurable || o.Durable) && o.Kind != engine.OutcomeSucceed
}

// split separates the outcomes that have to do with journals or limits.
func split(outcomes []*outcome) (plain, families []*outcome) {
	for _, o := range outcomes {
		if ofFamily(o) {
			families = append(families, o)
		} else {
			plain = append(plain, o)
		}
	}
	return plain, families
}

// waitsUntil returns the score of a task that is suspended now, "" if it waits
// for nothing.
func waitsUntil(o *outcome, now time.Time) any {
	switch {
	case o.After > 0:
		return min(score(now.Add(o.After)), forever)
	case o.Wait != nil && o.Wait.Need > 0:
		return int64(forever)
	default:
		return ""
	}
}

// condition returns what a task waits for, in the form of the family script.
func condition(w *engine.Wait) []byte {
	if w == nil {
		w = new(engine.Wait)
	}
	fast := 0
	if w.FailFast {
		fast = 1
	}
	return fmt.Appendf(nil, "%d %d %d %d %s", max(w.Seen, 0), max(w.Failed, 0), max(w.Need, 0), fast, w.Name)
}

// places reads places from an answer: queues and ids in turn.
func places(v any) []place {
	all, _ := v.([]any)
	ps := make([]place, 0, len(all)/2)
	for i := 0; i+1 < len(all); i += 2 {
		ps = append(ps, place{text(all[i]), text(all[i+1])})
	}
	return ps
}

// wakeDue wakes suspended tasks whose time has come. Before, it looks for ends of
// their children that nobody wrote down.
func (s *serve) wakeDue(ctx context.Context, waits []place) error {
	for _, p := range waits {
		if err := s.lookForEnds(ctx, p); err != nil {
			return err
		}
	}
	now := time.Now()
	args := []any{score(now), now.UnixNano()}
	for _, p := range waits {
		args = append(args, p.queue, p.id)
	}
	s.NewsUnlessTold()
	return s.e.run(ctx, wakeScript, args...).Err()
}

// lookForEnds writes down the ends of a task's children that another program has
// ended or deleted.
func (s *serve) lookForEnds(ctx context.Context, p place) error {
	for cursor := "0"; ; {
		next, err := s.e.run(ctx, unseenScript, p.queue, p.id, cursor, time.Now().UnixNano()).Text()
		if err != nil || next == "0" {
			return err
		}
		cursor = next
	}
}

const (
	// journalsEvery is how often the journals of a queue are looked at, by one worker:
	// for suspended tasks whose children another program has ended or deleted, and
	// for journals of tasks that are gone.
	journalsEvery = 5 * time.Minute
	// askEvery is how often a worker asks whether it is to look at them.
	askEvery = time.Minute
)

// pass is a look at the journals of a queue: how far it has got.
type pass struct{ queue, cursor string }

// journals does the periodic work on journals: some at a time. It reports whether
// there is more to do at once.
func (s *serve) journals(ctx context.Context, bereft *place, now time.Time) (more bool, err error) {
	if now.Sub(s.asked) >= askEvery || now.Before(s.asked) {
		s.asked = now
		queues, err := s.e.run(ctx, lookScript, append([]any{journalsEvery.Milliseconds()}, anys(s.Queues)...)...).StringSlice()
		if err != nil {
			return false, err
		}
		for _, q := range queues {
			s.passes = append(s.passes, pass{q, "0"})
		}
	}
	if bereft != nil {
		if err := s.cancelBereft(ctx, *bereft); err != nil {
			return false, err
		}
	}
	if len(s.passes) > 0 {
		if err := s.pass(ctx, &s.passes[0]); err != nil {
			return false, err
		}
		if s.passes[0].cursor == "0" {
			s.passes = s.passes[1:]
		}
	}
	return bereft != nil || len(s.passes) > 0, nil
}

// pass looks at some journals.
func (s *serve) pass(ctx context.Context, p *pass) error {
	answer, err := s.e.run(ctx, passScript, p.queue, p.cursor).StringSlice()
	if err != nil {
		return err
	}
	if len(answer) == 0 {
		return errAnswer
	}
	for _, id := range answer[1:] {
		if err := s.lookForEnds(ctx, place{p.queue, id}); err != nil {
			return err
		}
	}
	p.cursor = answer[0]
	return nil
}

// cancelBereft cancels children of a task that has failed or was cancelled, a lot
// of them.
func (s *serve) cancelBereft(ctx context.Context, parent place) error {
	answer, err := s.e.run(ctx, openScript, parent.queue, parent.id).Slice()
	if err != nil {
		return err
	}
	if len(answer) < 3 {
		return errAnswer
	}
	state, mark := engine.State(text(answer[1])), text(answer[2])
	if state == "" {
		return nil
	}
	if err := s.cancelChildren(ctx, parent, places(answer[3:]), engine.ParentEnded(taskID(parent.id), state)); err != nil {
		return err
	}
	return s.e.run(ctx, bereavedScript, parent.queue, parent.id, text(answer[0]), mark).Err()
}

// cancelChildren cancels tasks, unless their parent was retried meanwhile.
func (s *serve) cancelChildren(ctx context.Context, parent place, children []place, reason string) error {
	db, err := s.e.server(ctx)
	if err != nil {
		return err
	}
	if err := cancelScript.Load(ctx, db).Err(); err != nil {
		return err
	}
	for len(children) > 0 {
		looked, found, err := s.e.read(ctx, children, &selection{bytes: maxBytes})
		if err != nil {
			return err
		}
		children = children[min(max(looked, 1), len(children)):]
		if len(found) == 0 {
			continue
		}
		servers, p := s.e.servers(ctx, time.Now()), s.e.db.Pipeline()
		for _, r := range found {
			p.EvalSha(ctx, cancelScript.Hash(), s.e.keys, append(s.e.cancelArgs(r, reason, servers), parent.queue, parent.id)...)
		}
		if _, err := p.Exec(ctx); spoilt(err) != nil {
			return err
		}
		for _, r := range found {
			s.e.watch.Tell(r.id)
		}
		s.e.workers.Check()
	}
	return nil
}
