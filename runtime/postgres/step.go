package postgres

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/internal/remote"
)

// wide is from how many outcomes, and tasks to claim, a step writes and claims on
// two connections at once: with fewer a second commit costs more than it saves.
const wide = 32

// Step implements [remote.Store]: one round trip and one commit, or two at once.
func (s *serve) Step(ctx context.Context, st *remote.Step[claim, struct{}]) (more bool, err error) {
	outcomes, want := st.Outcomes, st.Want
	queues := s.open(st.Queues)
	if slices.ContainsFunc(outcomes, func(o *outcome) bool { return o.Doubted }) {
		want, more = 0, true
	}
	if len(queues) == 0 {
		want = 0
	}
	written := make(map[claim]struct{}, len(outcomes))
	var claimed []*job
	plain, rest := split(outcomes, st.Orphans)
	writes := steered()
	s.queueSucceed(writes, plain, written)
	s.queueConclude(writes, rest, written)
	claims := writes
	if want >= wide && len(outcomes) >= wide && len(st.Orphans) == 0 && !slices.ContainsFunc(outcomes, runsAgain) {
		claims = steered()
	}
	s.queueClaim(claims, queues, want, &claimed)
	unwritten, unclaimed := s.send(ctx, writes, claims)
	if unclaimed == nil {
		s.begun(claimed)
		more = more || want > 0 && len(claimed) == want
	}
	switch {
	case unwritten == nil:
		s.settle(ctx, outcomes, written)
	case badData(unwritten) && len(rest.id) > 0:
		if err := s.writeSingly(ctx, outcomes); err != nil {
			return true, err
		}
	default:
		s.PutBack(outcomes)
		return true, unwritten
	}
	if claims == writes { // it failed with them, which is dealt with
		return more || unclaimed != nil, nil
	}
	return more || unclaimed != nil, unclaimed
}

// runsAgain reports whether the outcome makes its job wait. Such a job must not be
// claimed beside the writing: were the answer to that lost, it would be written
// again, perhaps over a new run of the job with the same attempt.
func runsAgain(o *outcome) bool {
	switch o.Kind {
	case engine.OutcomeSucceed, engine.OutcomeFail, engine.OutcomeCancel:
		return false
	}
	return true
}

// send sends two batches at once, or one that is both, and returns the errors of
// each.
func (s *serve) send(ctx context.Context, writes, claims *pgx.Batch) (unwritten, unclaimed error) {
	if claims == writes {
		err := s.sendOne(ctx, writes)
		return err, err
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		unclaimed = s.sendOne(ctx, claims)
	}()
	unwritten = s.sendOne(ctx, writes)
	<-done
	return unwritten, unclaimed
}

func (s *serve) sendOne(ctx context.Context, b *pgx.Batch) error {
	if b.Len() == 1 { // nothing but what steers
		return nil
	}
	return s.e.send(ctx, stepTimeout, b)
}

// stepTimeout bounds the requests of a step, which the worker's loop bounds too.
const stepTimeout = 10 * time.Second

// settle tells of outcomes that came too late, those who wait of the others,
// and the upkeep when a task is due again.
func (s *serve) settle(ctx context.Context, outcomes []*outcome, written map[claim]struct{}) {
	var ended []int64
	for _, o := range outcomes {
		if _, ok := written[o.Of.Claim]; !ok && !(o.Doubted && s.wasWritten(ctx, o)) {
			s.Late(o)
			continue
		}
		switch o.Kind {
		case engine.OutcomeRetry, engine.OutcomeDelay:
			if o.After > 0 {
				s.Due(o.After)
				break
			}
			s.News()
		case engine.OutcomeRelease:
			s.News()
		}
		ended = append(ended, o.Of.Claim.job)
	}
	s.e.watch.Tell(ended...)
}

// wasWritten reports whether an outcome that was sent before had been recorded
// then: the run no longer has its job, and nobody took it over. Since a step
// with such outcomes claims nothing, the job cannot run here again by now.
func (s *serve) wasWritten(ctx context.Context, o *outcome) bool {
	var lost bool
	err := s.e.row(ctx, s.e.sql.wasLost, []any{o.Of.Claim.job, o.Of.Claim.attempt, remote.ErrWorkerLost}, &lost)
	return err == nil && !lost
}

// writeSingly writes each outcome alone, after the server refused a value in
// one of them. That one's task fails.
func (s *serve) writeSingly(ctx context.Context, outcomes []*outcome) error {
	for i, o := range outcomes {
		err := s.write(ctx, o)
		if err != nil && badData(err) {
			o.Outcome = engine.Outcome{
				Kind: engine.OutcomeFail, Reason: clean(fmt.Sprintf("the outcome cannot be stored: %v", err)),
			}
			if err = s.write(ctx, o); err != nil && badData(err) {
				s.Warn("write an outcome", err)
				s.Refuse(o)
				continue
			}
		}
		if err != nil {
			s.PutBack(outcomes[i:])
			return err
		}
	}
	return nil
}

func (s *serve) write(ctx context.Context, o *outcome) error {
	written := make(map[claim]struct{}, 1)
	plain, rest := split([]*outcome{o}, nil)
	b := steered()
	s.queueSucceed(b, plain, written)
	s.queueConclude(b, rest, written)
	if err := s.e.send(ctx, stepTimeout, b); err != nil {
		return err
	}
	s.settle(ctx, []*outcome{o}, written)
	return nil
}

// Release implements [remote.Store].
func (s *serve) Release(ctx context.Context, jobs []claim) error {
	_, rest := split(nil, jobs)
	b := steered()
	s.queueConclude(b, rest, make(map[claim]struct{}))
	b.Queue("SELECT pg_notify($1, json_build_object('queue', q)::text) FROM unnest($2::text[]) q",
		s.e.sql.insertChannel, s.Queues)
	return s.e.send(ctx, stepTimeout, b)
}

// open are the queues that are not paused.
func (s *serve) open(queues []string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.paused) == 0 {
		return queues
	}
	return slices.DeleteFunc(slices.Clone(queues), func(q string) bool { return s.paused[q] })
}

// begun starts the runs of claimed jobs, in the order in which they wait.
func (s *serve) begun(claimed []*job) {
	if len(claimed) == 0 {
		return
	}
	slices.SortFunc(claimed, func(a, b *job) int {
		return cmp.Or(cmp.Compare(a.priority, b.priority), a.scheduledAt.Compare(b.scheduledAt), cmp.Compare(a.id, b.id))
	})
	ds := make([]*delivery, len(claimed))
	for i, j := range claimed {
		j.state = riverRunning
		m, err := decode(j.metadata)
		if err != nil {
			s.Warn("read a job's metadata; it runs as a foreign task", fmt.Errorf("job %d: %w", j.id, err))
		}
		d := s.Deliver(claim{j.id, int16(j.attempt)}, struct{}{}, m.Own.memo())
		d.Message, d.Attempt = s.e.message(j, m.Own), j.tried(m.Own)
		ds[i] = d
	}
	s.Start(ds)
}

// conclusions are outcomes by columns, for one statement.
type conclusions struct {
	id       []int64
	attempt  []int16
	state    []string
	back     []int16
	ended    []bool
	err      []string
	after    []int64
	top, own []string
}

// split tells plain successes, which only change the state, from the rest.
// Orphans are released.
func split(outcomes []*outcome, orphans []claim) (plain, rest *conclusions) {
	plain, rest = new(conclusions), new(conclusions)
	for _, o := range outcomes {
		if o.Kind == engine.OutcomeSucceed && o.Result == nil && o.Memo == nil {
			plain.id = append(plain.id, o.Of.Claim.job)
			plain.attempt = append(plain.attempt, o.Of.Claim.attempt)
			continue
		}
		rest.add(o.Of.Claim.job, o.Of.Claim.attempt, &o.Outcome)
	}
	for _, p := range orphans {
		rest.add(p.job, p.attempt, &engine.Outcome{Kind: engine.OutcomeRelease})
	}
	return plain, rest
}

// patch is what an outcome changes of an envelope.
type patch struct {
	Memo    json.RawMessage `json:"memo,omitempty"`
	MemoRaw *string         `json:"memo_text,omitempty"`
	Result  *string         `json:"result,omitempty"`
	Reason  *string         `json:"reason,omitempty"`
	Again   *bool           `json:"again,omitempty"`
}

// memoPatch puts a memo in its place: as JSON, or as a text where jsonb would
// change it.
func memoPatch(memo json.RawMessage) patch {
	var p patch
	switch {
	case memo == nil:
	case keeps(memo):
		p.Memo, p.MemoRaw = memo, new("")
	default:
		p.MemoRaw = new(string(memo))
	}
	return p
}

// add adds the outcome of a run.
func (c *conclusions) add(id int64, attempt int16, o *engine.Outcome) {
	p := memoPatch(o.Memo)
	top := "{}"
	switch {
	case o.Result == nil:
	case keeps(o.Result):
		top, p.Result = `{"output":`+string(o.Result)+`}`, new("")
	default:
		p.Result = new(string(o.Result))
	}
	state, back, ended, riverErr, after := riverCompleted, int16(0), false, "", int64(-1)
	switch o.Kind {
	case engine.OutcomeFail:
		state, ended, riverErr = riverDiscarded, true, attemptError(attempt, o.Reason)
		p.Again = new(false)
	case engine.OutcomeCancel:
		state, ended = riverCancelled, true
		p.Again = new(false)
	case engine.OutcomeRetry:
		state, riverErr, after = riverRetryable, attemptError(attempt, o.Reason), max(o.After, 0).Microseconds()
		p.Again = new(true)
	case engine.OutcomeDelay:
		state, back, after = riverScheduled, 1, max(o.After, 0).Microseconds()
		p.Again = new(true)
	case engine.OutcomeRelease:
		state, back = riverAvailable, 1
		p.Again = new(false)
	}
	if after == 0 {
		state = riverAvailable
	}
	if o.Kind != engine.OutcomeRelease {
		p.Reason = new(clean(o.Reason))
	}
	own, err := json.Marshal(p)
	if err != nil { // only the memo may be no JSON
		p.Memo, p.MemoRaw = nil, nil
		own, _ = json.Marshal(p)
	}
	c.id = append(c.id, id)
	c.attempt = append(c.attempt, attempt)
	c.state = append(c.state, state)
	c.back = append(c.back, back)
	c.ended = append(c.ended, ended)
	c.err = append(c.err, riverErr)
	c.after = append(c.after, after)
	c.top = append(c.top, top)
	c.own = append(c.own, string(own))
}

// attemptError is an error as River keeps and shows it.
func attemptError(attempt int16, reason string) string {
	b, _ := json.Marshal(struct {
		At      time.Time `json:"at"`
		Attempt int16     `json:"attempt"`
		Error   string    `json:"error"`
		Trace   string    `json:"trace"`
	}{time.Now().UTC(), attempt, clean(reason), ""})
	return string(b)
}

func (s *serve) queueSucceed(b *pgx.Batch, c *conclusions, written map[claim]struct{}) {
	if len(c.id) > 0 {
		b.Queue(s.e.sql.succeed, s.owner, c.id, c.attempt).Query(collect(written))
	}
}

func (s *serve) queueConclude(b *pgx.Batch, c *conclusions, written map[claim]struct{}) {
	if len(c.id) > 0 {
		b.Queue(s.e.sql.conclude, s.owner, c.id, c.attempt, c.state, c.back, c.ended, c.err, c.after, c.top, c.own).
			Query(collect(written))
	}
}

func (s *serve) queueClaim(b *pgx.Batch, queues []string, want int, claimed *[]*job) {
	if want == 0 {
		return
	}
	b.Queue(s.e.sql.claim, s.owner, queues, s.Names, want).Query(func(rows pgx.Rows) error {
		for rows.Next() {
			j := new(job)
			if err := rows.Scan(&j.id, &j.args, &j.attempt, &j.createdAt, &j.kind, &j.metadata, &j.priority,
				&j.queue, &j.scheduledAt); err != nil {
				return err
			}
			*claimed = append(*claimed, j)
		}
		return rows.Err()
	})
}

func collect(written map[claim]struct{}) func(pgx.Rows) error {
	return func(rows pgx.Rows) error {
		for rows.Next() {
			var w claim
			if err := rows.Scan(&w.job, &w.attempt); err != nil {
				return err
			}
			written[w] = struct{}{}
		}
		return rows.Err()
	}
}
