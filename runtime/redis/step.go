package redis

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/internal/remote"
)

// parkDelay is how long a task of an unknown name waits before a worker looks
// at it again.
const parkDelay = 10 * time.Second

// Step implements [remote.Store].
func (s *serve) Step(ctx context.Context, st *remote.Step[claim, task]) (more bool, err error) {
	outcomes, letting := st.Outcomes, []*outcome(nil)
	if st.Want > 0 && len(st.Orphans) == 0 {
		outcomes, letting = split(outcomes)
	}
	if err := s.write(ctx, outcomes); err != nil {
		s.PutBack(letting)
		return false, err
	}
	if err := s.Release(ctx, st.Orphans); err != nil {
		return false, err
	}
	if st.Want <= 0 {
		return false, nil
	}
	now, fence := time.Now().UTC(), newFence()
	answer, err := s.claim(ctx, st, letting, now, fence)
	if err != nil {
		return false, err
	}
	rows, err := s.claimed(answer)
	if err != nil {
		return false, err
	}
	return len(rows) == st.Want, s.write(ctx, s.begun(rows, fence, now))
}

// claim sends the claim of a step, with the outcomes that let others in: what these
// let in is claimed before others hear of it.
func (s *serve) claim(ctx context.Context, st *remote.Step[claim, task], letting []*outcome, now time.Time, fence string) ([]any, error) {
	look := st.Round || now.Sub(s.looked) >= lookForParked || now.Before(s.looked) || s.resumed.Swap(false)
	if look {
		s.looked = now
	}
	args := append(make([]any, 0, 9+len(s.Names)+len(st.Queues)), st.Want, s.ID, s.leaseScore(), now.UnixMicro(), fence,
		now.Format(time.RFC3339Nano), s.ParkFor.Microseconds(), flag(look), len(s.Names))
	args = append(append(args, s.names...), anys(st.Queues)...)
	if len(letting) == 0 {
		return s.e.run(ctx, claimScript, args...).Slice()
	}
	ends := s.outcomeArgs(letting)
	answer, err := s.e.run(ctx, stepScript, slices.Concat([]any{len(ends)}, ends, args)...).Slice()
	if err == nil && len(answer) < 2 {
		err = errAnswer
	}
	if err != nil {
		s.PutBack(letting)
		return nil, fmt.Errorf("write outcomes and claim tasks: %w", err)
	}
	written, _ := answer[0].([]any)
	if err := s.wrote(letting, written); err != nil {
		return nil, err
	}
	claimed, _ := answer[1].([]any)
	return claimed, nil
}

// claimed reads the answer to a claim, and returns the rows of the tasks.
func (s *serve) claimed(answer []any) (rows []any, err error) {
	if len(answer) < 5 {
		return nil, errAnswer
	}
	rows, _ = answer[0].([]any)
	if found, _ := answer[3].(int64); found > 0 {
		s.looked = time.Time{} // there may be more
	}
	if left := untilRoomOf(answer[4]); left >= 0 {
		s.Due(left)
	}
	strange, _ := answer[1].([]any)
	s.tellParked(strange)
	if lost, _ := answer[2].([]any); len(lost) > 0 {
		s.Warn("entries that lead to no task were dropped", fmt.Errorf("%q and perhaps more", lost))
	}
	return rows, nil
}

// lookForParked is how often a worker looks for parked tasks of its names:
// each look asks for each of its names. While it finds some it looks each time.
const lookForParked = 50 * time.Millisecond

// tellParked logs tasks that were put aside because no worker of their queue
// that lives knows them: a name and a queue in turn.
func (s *serve) tellParked(strange []any) {
	for pair := range slices.Chunk(strange, 2) {
		s.Unknown(text(pair[0]), fmt.Sprintf("no worker of queue %q knows it", text(pair[1])))
	}
}

// newFence returns the fence of the tasks of one claim. It is random, not
// counted on the server, since a server that has lost its last writes would
// count the same number twice.
func newFence() string { return strconv.FormatUint(rand.Uint64(), 36) }

// begun starts the runs of claimed tasks. It returns the outcomes of the tasks
// that cannot run here.
func (s *serve) begun(rows []any, fence string, now time.Time) []*outcome {
	var run []*delivery
	var rest []*outcome
	for _, row := range rows {
		r, ok := row.([]any)
		if !ok || len(r) < 6 {
			continue // the review finds it
		}
		var memo json.RawMessage
		if m := text(r[4]); m != "" {
			memo = json.RawMessage(m)
		}
		d := s.Deliver(claim{text(r[0]), text(r[1]), fence}, task{own: decodeDetails(text(r[3]))}, memo)
		if o := s.read(d, text(r[2]), startOf(text(r[5]), now)); o != nil {
			rest = append(rest, o)
			continue
		}
		run = append(run, d)
	}
	s.Start(run)
	return rest
}

// startOf returns when a claimed task's run began, in µs by the clock of the server if
// it is under a rate; a task that does not begin has none.
func startOf(started string, now time.Time) time.Time {
	if us, err := strconv.ParseInt(started, 10, 64); err == nil {
		return time.UnixMicro(us).UTC()
	}
	return now
}

// read completes a delivery with the task's message. It returns an outcome if
// the task cannot run here.
func (s *serve) read(d *delivery, raw string, now time.Time) *outcome {
	m, err := decodeTaskMessage([]byte(raw))
	if err != nil {
		d.Task.msg = &taskMessage{kind: "unreadable", id: d.Claim.id, queue: d.Claim.queue, raw: []byte(raw)}
		d.Message = &engine.Message{Name: "unreadable", Queue: d.Claim.queue}
		s.Warn("read the message of task "+d.Claim.id+": it fails", err)
		return &outcome{Of: d, Outcome: engine.Outcome{Kind: engine.OutcomeFail, Reason: err.Error()}}
	}
	d.Task.msg = m
	if d.Message, err = m.message(s.e.cfg.KeepFor); err != nil {
		s.Warn("read task "+d.Claim.id+": it runs as a foreign task", err)
	}
	d.Message.Queue = d.Claim.queue
	d.Message.Meta.ID = taskID(d.Claim.id)
	d.Attempt = max(int(m.retried), 0)
	if s.Knows(m.kind) {
		d.Task.own.ParkedAt = time.Time{}
		d.Task.own.StartedAt, d.Task.own.Worker = now.Truncate(time.Microsecond), s.ID
		return nil
	}
	return s.park(d, now)
}

// park puts a task aside that no worker here knows, and ends a task that no
// worker has known for too long.
func (s *serve) park(d *delivery, now time.Time) *outcome {
	since := d.Task.own.ParkedAt
	if since.IsZero() {
		since = d.Message.Meta.EnqueuedAt
		if d.Message.Due.After(since) {
			since = d.Message.Due
		}
		if since.IsZero() || d.Task.own.Due.After(since) {
			since = now
		}
		d.Task.own.ParkedAt = since.UTC()
	}
	d.Task.parked = true
	o := &outcome{Of: d}
	o.Reason = fmt.Sprintf("no worker of queue %q knows the task %q", d.Claim.queue, d.Task.msg.kind)
	if left := s.ParkFor - now.Sub(since); left <= 0 {
		o.Kind = engine.OutcomeFail
		o.Reason += fmt.Sprintf(", for %s", s.ParkFor)
		s.Warn("tasks have failed that no worker knew", errors.New(o.Reason))
	} else {
		o.Kind, o.After = engine.OutcomeDelay, min(left, parkDelay)
		s.Unknown(d.Task.msg.kind, o.Reason)
	}
	return o
}

// write writes outcomes. It reports late ones, wakes the waiters of ended
// tasks, and the upkeep when a task is due again.
func (s *serve) write(ctx context.Context, outcomes []*outcome) error {
	if len(outcomes) == 0 {
		return nil
	}
	families := slices.ContainsFunc(outcomes, ofFamily)
	if families {
		var plain []*outcome
		if plain, outcomes = split(outcomes); len(plain) > 0 {
			if err := s.write(ctx, plain); err != nil {
				s.PutBack(outcomes)
				return err
			}
		}
	}
	conclude := concludeScript
	if families {
		conclude = familyScript
	}
	written, err := s.e.run(ctx, conclude, s.outcomeArgs(outcomes)...).Slice()
	if err != nil {
		s.PutBack(outcomes)
		return fmt.Errorf("write outcomes: %w", err)
	}
	return s.wrote(outcomes, written)
}

// wrote acts on the answer of a script that wrote outcomes.
func (s *serve) wrote(outcomes []*outcome, written []any) error {
	if len(written) != len(outcomes) {
		s.PutBack(outcomes)
		return fmt.Errorf("write outcomes: the server answered for %d of %d", len(written), len(outcomes))
	}
	for i, o := range outcomes {
		if written[i] == int64(0) {
			if !o.Of.Task.parked {
				s.Late(o)
			}
			continue
		}
		if rated(o) {
			s.Due(0)
		}
		switch o.Kind {
		case engine.OutcomeRetry, engine.OutcomeDelay:
			s.Due(o.After)
		case engine.OutcomeSuspend:
			if o.After > 0 {
				s.Due(o.After)
			}
		case engine.OutcomeRelease:
			s.News()
		}
		s.e.watch.Tell(o.Of.Claim.id)
	}
	return nil
}

// statsLife is how long asynq keeps its daily counters.
const statsLife = 90 * 24 * time.Hour

// concludeArgs returns the arguments of the conclude script before the
// outcomes.
func (s *serve) concludeArgs() []any {
	now := time.Now().UTC()
	return []any{
		s.ID, now.UnixNano(), score(now), now.Format(time.RFC3339Nano),
		now.Format("2006-01-02"), now.Add(statsLife).Unix(),
	}
}

// outcomeArgs returns the arguments of the scripts that write outcomes.
func (s *serve) outcomeArgs(outcomes []*outcome) []any {
	args := s.concludeArgs()
	for _, o := range outcomes {
		args = s.appendOutcome(args, o)
	}
	return args
}

// appendOutcome adds an outcome to the arguments of the conclude script.
func (s *serve) appendOutcome(args []any, o *outcome) []any {
	now := time.Now()
	d, m := o.Of, *o.Of.Task.msg
	own := d.Task.own
	own.Reason, own.Cancelled, own.Snoozed, own.Again, own.Waits = o.Reason, false, false, false, false
	result := []byte(o.Result)
	archived, key := s.e.archivedUntil(d.Message, now), heldUntilEnd(d.Message)
	to, at := asynqArchived, any(archived)
	switch o.Kind {
	case engine.OutcomeSucceed:
		to, at = asynqCompleted, completedUntil(d.Message, now)
		own.EndedAt, m.completedAt = now.UTC(), now.Unix()
	case engine.OutcomeFail:
		own.EndedAt = now.UTC()
		m.errorMsg, m.lastFailedAt = o.Reason, now.Unix()
	case engine.OutcomeCancel:
		own.EndedAt, own.Cancelled = now.UTC(), true
		m.errorMsg, m.lastFailedAt = o.Reason, now.Unix()
	case engine.OutcomeRetry:
		m.retried = max(m.retried, m.retried+1)
		m.errorMsg, m.lastFailedAt = o.Reason, now.Unix()
		own.Again, own.Due = true, now.Add(o.After).UTC()
		to, at = waiting(o.After, now)
	case engine.OutcomeDelay:
		own.Snoozed, own.Again, own.Due = true, d.Task.own.Again || !d.Task.parked, now.Add(o.After).UTC()
		to, at = waiting(o.After, now)
	case engine.OutcomeSuspend:
		own.Waits = true
		to, at, result = "waits", waitsUntil(o, now), condition(o.Wait)
	case engine.OutcomeRelease:
		own = d.Task.own
		to, at = asynqPending, "first"
	}
	if d.Task.parked && to != asynqArchived {
		key = "" // it has not begun
	}
	var msg []byte
	switch o.Kind {
	case engine.OutcomeDelay, engine.OutcomeSuspend, engine.OutcomeRelease: // it may be large, and is as it was
	default:
		msg = m.encode()
	}
	return append(args, d.Claim.queue, d.Claim.id, d.Claim.fence, to, at, msg, own.encode(),
		[]byte(o.Memo), result, key, archived)
}

// waiting returns the place in which a task waits for its next run.
func waiting(after time.Duration, now time.Time) (to string, at any) {
	if after <= 0 {
		return asynqPending, "last"
	}
	return asynqRetry, score(now.Add(after))
}

// Release implements [remote.Store].
func (s *serve) Release(ctx context.Context, claims []claim) error {
	if len(claims) == 0 {
		return nil
	}
	args := s.concludeArgs()
	for _, c := range claims {
		own, err := s.e.db.HGet(ctx, s.e.taskKey(c.queue, c.id), "taskctx").Result()
		if err = spoilt(err); err != nil && !errors.Is(err, redis.Nil) {
			return err
		}
		archived := s.e.archivedUntil(new(engine.Message), time.Now())
		args = append(args, c.queue, c.id, c.fence, asynqPending, "first", "", own, "", "", "", archived)
	}
	return s.e.run(ctx, familyScript, args...).Err()
}
