package postgres

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskctx/taskctx/runtime/engine"
)

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
	empty    []string
}

// split separates plain successes, which only change the state, from the rest.
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

// released are the jobs that are given back, and keep their places in the order.
func released(outcomes []*outcome, orphans []claim) (jobs []int64) {
	for _, o := range outcomes {
		if o.Kind == engine.OutcomeRelease {
			jobs = append(jobs, o.Of.Claim.job)
		}
	}
	for _, c := range orphans {
		jobs = append(jobs, c.job)
	}
	return jobs
}

// patch is an outcome's change of an envelope. What it makes empty it takes away: River
// has an index of all keys within metadata.
type patch struct {
	Memo    json.RawMessage `json:"memo,omitempty"`
	MemoRaw string          `json:"memo_text,omitempty"`
	Result  string          `json:"result,omitempty"`
	Reason  string          `json:"reason,omitempty"`
	Again   bool            `json:"again,omitempty"`

	empty []string // the keys that it takes away
}

// memoPatch puts a memo in its place: as JSON, or as a text if jsonb would
// change it.
func memoPatch(memo json.RawMessage) patch {
	var p patch
	switch {
	case memo == nil:
	case keeps(memo):
		p.Memo, p.empty = memo, append(p.empty, "memo_text")
	default:
		p.MemoRaw, p.empty = string(memo), append(p.empty, "memo")
	}
	return p
}

// setReason sets the reason, or takes it away.
func (p *patch) setReason(reason string) {
	if p.Reason = clean(reason); p.Reason == "" {
		p.empty = append(p.empty, "reason")
	}
}

// setAgain says whether the task waits for another run.
func (p *patch) setAgain(again bool) {
	if p.Again = again; !again {
		p.empty = append(p.empty, "again")
	}
}

// texts are what it sets, as JSON, and what it takes away, as an array of Postgres'. If
// the memo is invalid JSON it is left as it was, with an error.
func (p *patch) texts() (set, empty string, err error) {
	b, err := json.Marshal(p)
	if err != nil { // only the memo may be invalid JSON
		p.Memo, p.empty = nil, slices.DeleteFunc(p.empty, func(key string) bool { return key == "memo_text" })
		b, _ = json.Marshal(p)
	}
	return string(b), "{" + strings.Join(p.empty, ",") + "}", err
}

// add adds the outcome of a run.
func (c *conclusions) add(id int64, attempt int16, o *engine.Outcome) {
	p := memoPatch(o.Memo)
	top := "{}"
	switch {
	case o.Result == nil:
	case keeps(o.Result):
		top, p.empty = `{"output":`+string(o.Result)+`}`, append(p.empty, "result")
	default:
		p.Result = string(o.Result)
	}
	state, back, ended, riverErr, after := riverCompleted, int16(0), false, "", int64(-1)
	switch o.Kind {
	case engine.OutcomeFail:
		state, ended, riverErr = riverDiscarded, true, attemptError(attempt, o.Reason)
		p.setAgain(false)
	case engine.OutcomeCancel:
		state, ended = riverCancelled, true
		p.setAgain(false)
	case engine.OutcomeRetry:
		state, riverErr, after = riverRetryable, attemptError(attempt, o.Reason), max(o.After, 0).Microseconds()
		p.setAgain(true)
	case engine.OutcomeDelay:
		state, back, after = riverScheduled, 1, max(o.After, 0).Microseconds()
		p.setAgain(true)
	case engine.OutcomeRelease:
		state, back = riverAvailable, 1
		p.setAgain(false)
	}
	if after == 0 {
		state = riverAvailable
	}
	if o.Kind != engine.OutcomeRelease {
		p.setReason(o.Reason)
	}
	own, empty, _ := p.texts()
	c.id = append(c.id, id)
	c.attempt = append(c.attempt, attempt)
	c.state = append(c.state, state)
	c.back = append(c.back, back)
	c.ended = append(c.ended, ended)
	c.err = append(c.err, riverErr)
	c.after = append(c.after, after)
	c.top = append(c.top, top)
	c.own = append(c.own, own)
	c.empty = append(c.empty, empty)
}

// attemptError returns an error in the form that River keeps and shows.
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
		b.Queue(s.e.sql.conclude, s.owner, c.id, c.attempt, c.state, c.back, c.ended, s.e.stored(c.err), c.after,
			s.e.stored(c.top), s.e.stored(c.own), c.empty).
			Query(collect(written))
	}
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
