package postgres

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskctx/taskctx/runtime/engine"
)

// fetch is a look for tasks to claim.
type fetch struct {
	queues  []string
	want    int
	pass    []int64 // tasks to leave alone
	found   []int64 // tasks below the marks, to be claimed first
	low     []*job  // claimed tasks among those
	claimed []*job  // claimed otherwise
	look    *look   // nil unless it is measured
	// held is how many places each of them holds, if the claim is to say so.
	held map[int64]int
	// granted is set if jobs that wait for a place may have been given one in the transaction.
	granted bool
}

// queueFetch queues the statements that claim the tasks.
func (s *serve) queueFetch(b *pgx.Batch, f *fetch) {
	if f.want == 0 {
		return
	}
	claimAll, claimAfter, claimFound := s.e.sql.claim.all, s.e.sql.claimAfter.all, s.e.sql.claimFound.all
	collect := collectJobs
	if f.held != nil {
		claimAll, claimAfter, claimFound = s.e.sql.limit.claim, s.e.sql.limit.claimAfter, s.e.sql.limit.claimFound
		collect = f.collectHeld
	}
	if f.granted {
		claimAll, claimAfter = s.e.sql.limit.claimGranted, s.e.sql.limit.claimGrantedAfter
	}
	claim := func(b *pgx.Batch) {
		pass := append(s.aside.ids(), f.pass...)
		if !s.dead.known() {
			b.Queue(claimAll, f.queues, s.openNames(), pass, f.want, s.owner).Query(collect(&f.claimed))
			return
		}
		f.found = s.dead.take(f.want)
		if len(f.found) > 0 {
			b.Queue(claimFound, f.found, f.queues, s.openNames(), pass, f.want, s.owner).Query(collect(&f.low))
		}
		if rest := f.want - len(f.found); rest > 0 {
			in := s.dead.toLook(f.queues)
			b.Queue(claimAfter, in.queue, in.priority, in.at, in.id, s.openNames(), pass, rest, s.owner).
				Query(collect(&f.claimed))
		}
	}
	if s.dead.measure() {
		f.look = s.measured(b, claim)
		return
	}
	claim(b)
}

// fetched starts the runs of the claimed tasks, and reports whether there may
// be more.
func (s *serve) fetched(ctx context.Context, f *fetch) (more bool, err error) {
	if f.look != nil {
		s.dead.looked(f.queues, f.want-len(f.found), f.claimed, *f.look)
	}
	all := append(f.low, f.claimed...)
	if len(all) > 0 {
		s.wroteAt = time.Now()
	}
	err = s.begun(ctx, all, f.held)
	return f.want > 0 && (len(all) == f.want || len(f.found) > 0), err
}

// fetchSome claims tasks although one cannot be claimed: fewer at a time,
// until that is found, and more again.
func (s *serve) fetchSome(ctx context.Context, queues []string, want int) (more bool, err error) {
	if want == 0 {
		return false, nil
	}
	s.claims.sql, s.claims.most = s.e.sql.claim, want
	args := []any{queues, s.openNames()}
	if s.dead.known() {
		in := s.dead.lanes(queues)
		s.claims.sql, args = s.e.sql.claimAfter, []any{in.queue, in.priority, in.at, in.id, s.openNames()}
	}
	return s.do(ctx, &s.claims, args, func(limit int, pass []int64) (int, error) {
		f := &fetch{queues: queues, want: limit}
		b := steered()
		s.queueFetch(b, f)
		if err := s.sendOne(ctx, b); err != nil {
			return 0, err
		}
		_, err := s.fetched(ctx, f)
		return len(f.low) + len(f.claimed), err
	})
}

func collectJobs(claimed *[]*job) func(pgx.Rows) error { return collectJobsAnd(claimed, func(*job) {}) }

// collectHeld is collectJobs for a claim that selects how many places they hold.
func (f *fetch) collectHeld(claimed *[]*job) func(pgx.Rows) error {
	var n int
	return collectJobsAnd(claimed, func(j *job) { f.held[j.id] = n }, &n)
}

func collectJobsAnd(claimed *[]*job, each func(j *job), more ...any) func(pgx.Rows) error {
	return func(rows pgx.Rows) error {
		for rows.Next() {
			j := new(job)
			if err := rows.Scan(append([]any{&j.id, &j.args, &j.attempt, &j.createdAt, &j.kind, &j.metadata, &j.priority,
				&j.queue, &j.scheduledAt}, more...)...); err != nil {
				return err
			}
			each(j)
			*claimed = append(*claimed, j)
		}
		return rows.Err()
	}
}

// begun starts the runs of claimed jobs, in the order in which they wait, but of those
// that have to wait for a limit. How many places they hold is asked for unless it is known.
func (s *serve) begun(ctx context.Context, claimed []*job, held map[int64]int) error {
	if len(claimed) == 0 {
		return nil
	}
	slices.SortFunc(claimed, func(a, b *job) int {
		return cmp.Or(cmp.Compare(a.priority, b.priority), a.scheduledAt.Compare(b.scheduledAt), cmp.Compare(a.id, b.id))
	})
	all := make([]claimedJob, len(claimed))
	for i, j := range claimed {
		j.state = riverRunning
		m, err := decode(j.metadata)
		if err != nil {
			s.Warn("read a job's metadata; it runs as a foreign task", fmt.Errorf("job %d: %w", j.id, err))
		}
		all[i] = claimedJob{j, m.Own}
	}
	all, err := s.admit(ctx, all, held)
	ds := make([]*delivery, len(all))
	durable := 0
	for i, j := range all {
		d := s.Deliver(claim{j.id, int16(j.attempt)}, struct{}{}, j.own.memo())
		d.Message, d.Attempt = s.e.message(j.job, j.own), j.tried(j.own)
		if ds[i] = d; readsJournal(d.Message) {
			durable++
		}
	}
	if durable > 1 {
		s.e.journals.Expect(durable)
	}
	s.Start(ds)
	return err
}

// readsJournal reports whether a task's run probably begins by reading its journal: of a
// child it is not known whether it is durable, too.
func readsJournal(m *engine.Message) bool {
	return m.Meta.Version >= engine.WireDurable && m.Meta.Entry == ""
}
