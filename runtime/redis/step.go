package redis

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/taskctx/taskctx/runtime"
)

// stepTimeout bounds a step, for a server that took it and does not answer.
const stepTimeout = 30 * time.Second

// parkDelay is how long a task of an unknown name waits before a worker looks
// at it again.
const parkDelay = 10 * time.Second

// outcome is what became of a run, to be written.
type outcome struct {
	runtime.Outcome
	d      *delivery
	parked bool // it never ran: no worker here knows its name
}

// step writes the outcomes there are, claims up to want tasks, and starts what
// it claimed. It returns how many.
func (s *serve) step(ctx context.Context, want int) (int, error) {
	s.mu.Lock()
	outcomes, orphans := s.outcomes, s.orphans
	s.outcomes, s.orphans = nil, nil
	if len(orphans) > 0 {
		known := s.known(outcomes)
		orphans = slices.DeleteFunc(orphans, func(c claim) bool { _, ok := known[c]; return ok })
	}
	queues := s.turned()
	s.mu.Unlock()
	if err := s.write(ctx, outcomes); err != nil {
		return 0, err
	}
	if err := s.giveBack(ctx, orphans); err != nil {
		return 0, err
	}
	if want <= 0 {
		return 0, nil
	}
	now, fence := time.Now().UTC(), newFence()
	args := append([]any{want, s.w.ID, s.leaseScore(), now.UnixMicro(), fence, len(s.w.Names)}, anys(s.w.Names)...)
	args = append(args, anys(queues)...)
	rows, err := claimScript.Run(ctx, s.e.db, nil, args...).Slice()
	if err != nil {
		return 0, err
	}
	return len(rows), s.write(ctx, s.begun(rows, fence, now))
}

// newFence returns the fence of the tasks of one claim. It is unlike any other,
// and not counted on the server: one that has lost its last writes counts the
// same number twice.
func newFence() string { return strconv.FormatUint(rand.Uint64(), 36) }

// turned are the queues, another one first each time. It is called with the
// lock held.
func (s *serve) turned() []string {
	s.turn++
	n := s.turn % len(s.w.Queues)
	return append(slices.Clone(s.w.Queues[n:]), s.w.Queues[:n]...)
}

// begun starts the runs of claimed tasks. It returns the outcomes of those that
// cannot run here.
func (s *serve) begun(rows []any, fence string, now time.Time) []*outcome {
	var run []*delivery
	var rest []*outcome
	for _, row := range rows {
		r, ok := row.([]any)
		if !ok || len(r) < 5 {
			continue // the review finds it
		}
		d := &delivery{s: s, claim: claim{text(r[0]), text(r[1]), fence}}
		d.own = decodeDetails(text(r[3]))
		if memo := text(r[4]); memo != "" {
			d.memo = []byte(memo)
		}
		if o := s.read(d, text(r[2]), now); o != nil {
			rest = append(rest, o)
			continue
		}
		run = append(run, d)
	}
	s.mu.Lock()
	for _, d := range run {
		s.active[d] = struct{}{}
	}
	s.mu.Unlock()
	for _, d := range run {
		s.start(d)
	}
	return rest
}

// read completes a delivery with the task's message. It returns an outcome when
// the task cannot run here.
func (s *serve) read(d *delivery, raw string, now time.Time) *outcome {
	m, err := decodeTaskMessage([]byte(raw))
	if err != nil {
		d.msg = &taskMessage{kind: "unreadable", id: d.id, queue: d.queue, raw: []byte(raw)}
		d.Message = &runtime.Message{Name: "unreadable", Queue: d.queue}
		s.warn("read the message of task "+d.id+": it fails", err)
		return &outcome{d: d, Outcome: runtime.Outcome{Kind: runtime.OutcomeFail, Reason: err.Error()}}
	}
	d.msg = m
	if d.Message, err = m.message(s.e.cfg.KeepFor); err != nil {
		s.warn("read task "+d.id+": it runs as a foreign task", err)
	}
	d.Message.Queue = d.queue
	d.Message.Meta.ID = taskID(d.id)
	d.Attempt, d.Memo = int(m.retried), d
	if s.w.Knows(m.kind) {
		d.own.ParkedAt = time.Time{}
		d.own.StartedAt, d.own.Worker = now.Truncate(time.Microsecond), s.w.ID
		return nil
	}
	return s.park(d, now)
}

// park puts a task aside that no worker here knows, and ends what none has
// known for too long.
func (s *serve) park(d *delivery, now time.Time) *outcome {
	since := d.own.ParkedAt
	if since.IsZero() {
		since = d.Message.Meta.EnqueuedAt
		if d.Message.Due.After(since) {
			since = d.Message.Due
		}
		if since.IsZero() || d.own.Due.After(since) {
			since = now
		}
		d.own.ParkedAt = since.UTC()
	}
	o := &outcome{d: d, parked: true}
	o.Reason = fmt.Sprintf("no worker of queue %q knows the task %q", d.queue, d.msg.kind)
	if left := s.w.ParkFor - now.Sub(since); left <= 0 {
		o.Kind = runtime.OutcomeFail
		o.Reason += fmt.Sprintf(", for %s", s.w.ParkFor)
	} else {
		o.Kind, o.After = runtime.OutcomeDelay, min(left, parkDelay)
	}
	return o
}

// putBack keeps outcomes for another step.
func (s *serve) putBack(outcomes []*outcome) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.outcomes = append(outcomes, s.outcomes...)
}

// write writes outcomes, tells of those that came too late, those who wait of
// the others, and the upkeep when a task is due again.
func (s *serve) write(ctx context.Context, outcomes []*outcome) error {
	if len(outcomes) == 0 {
		return nil
	}
	args := s.concludeArgs()
	for _, o := range outcomes {
		args = o.append(args)
	}
	written, err := concludeScript.Run(ctx, s.e.db, nil, args...).Int64Slice()
	if err == nil && len(written) != len(outcomes) {
		err = fmt.Errorf("the server answered for %d of %d", len(written), len(outcomes))
	}
	if err != nil {
		s.putBack(outcomes)
		return fmt.Errorf("write outcomes: %w", err)
	}
	for i, o := range outcomes {
		if written[i] == 0 {
			o.d.Stop(runtime.ErrLeaseLost)
			if !o.parked {
				s.refuse(o)
			}
			continue
		}
		switch o.Kind {
		case runtime.OutcomeRetry, runtime.OutcomeDelay:
			s.sooner.at(o.After)
		case runtime.OutcomeRelease:
			signal(s.news)
		}
		s.e.watch.tell(o.d.id)
	}
	return nil
}

// statsLife is how long asynq keeps its daily counters.
const statsLife = 90 * 24 * time.Hour

// concludeArgs are the arguments of the conclude script before the outcomes.
func (s *serve) concludeArgs() []any {
	now := time.Now().UTC()
	return []any{
		s.w.ID, now.UnixNano(), score(now), now.Format(time.RFC3339Nano),
		now.Format("2006-01-02"), now.Add(statsLife).Unix(),
	}
}

// append adds the outcome to the arguments of the conclude script.
func (o *outcome) append(args []any) []any {
	now := time.Now()
	d, m := o.d, *o.d.msg
	own := d.own
	own.Reason, own.Cancelled, own.Snoozed, own.Again = o.Reason, false, false, false
	to, at := asynqArchived, any(score(now))
	switch o.Kind {
	case runtime.OutcomeSucceed:
		to, at = asynqCompleted, score(now.Add(max(d.Message.Keep, time.Second)))
		own.EndedAt, m.completedAt = now.UTC(), now.Unix()
	case runtime.OutcomeFail:
		own.EndedAt = now.UTC()
		m.errorMsg, m.lastFailedAt = o.Reason, now.Unix()
	case runtime.OutcomeCancel:
		own.EndedAt, own.Cancelled = now.UTC(), true
		m.errorMsg, m.lastFailedAt = o.Reason, now.Unix()
	case runtime.OutcomeRetry:
		m.retried++
		m.errorMsg, m.lastFailedAt = o.Reason, now.Unix()
		own.Again, own.Due = true, now.Add(o.After).UTC()
		to, at = waiting(o.After, now)
	case runtime.OutcomeDelay:
		own.Snoozed, own.Again, own.Due = true, d.own.Again || !o.parked, now.Add(o.After).UTC()
		to, at = waiting(o.After, now)
	case runtime.OutcomeRelease:
		own = d.own
		to, at = asynqPending, "first"
	}
	return append(args, d.queue, d.id, d.fence, to, at, m.encode(), own.encode(), []byte(o.Memo), []byte(o.Result))
}

// waiting is where a task waits for its next run.
func waiting(after time.Duration, now time.Time) (to string, at any) {
	if after <= 0 {
		return asynqPending, "last"
	}
	return asynqRetry, score(now.Add(after))
}

// giveBack makes tasks pending again, as if they had not been claimed.
func (s *serve) giveBack(ctx context.Context, claims []claim) error {
	if len(claims) == 0 {
		return nil
	}
	args := s.concludeArgs()
	for _, c := range claims {
		v, err := s.e.db.HMGet(ctx, taskKey(c.queue, c.id), "msg", "taskctx").Result()
		if err != nil {
			return err
		}
		args = append(args, c.queue, c.id, c.fence, asynqPending, "first", text(v[0]), text(v[1]), "", "")
	}
	if err := concludeScript.Run(ctx, s.e.db, nil, args...).Err(); err != nil {
		return err
	}
	s.log.LogAttrs(ctx, slog.LevelDebug, "redis: gave tasks back", slog.Int("tasks", len(claims)))
	return nil
}
