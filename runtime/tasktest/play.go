package tasktest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/memory"
)

// ErrStuck says that a durable task waits for something that the test does not
// bring.
var ErrStuck = errors.New("the task waits for ever")

// Play runs a durable task to its end, through all its runs, in virtual time: of
// testing/synctest, in whose bubble a test may call it, too. It returns the task's
// result, or the very error that its last run has returned. A task that waits for
// what does not come is [ErrStuck].
//
//	url, err := tasktest.Play(t, press.RegisterTasks, press.PublishCall("moby"),
//		tasktest.Answer(press.RenderCall(1), page, nil),
//		tasktest.Send(71*time.Hour, press.Approved, press.Approval{By: "ann"}))
//
// Its children do not run: [Answer] says what becomes of each, unless there is
// [RunChildren]. register is the RegisterTasks of the task's package: of its tasks
// only those that run need to have their supplies.
func Play[R any](t testing.TB, register func(*runtime.App), call runtime.Call[R], opts ...Option) (R, error) {
	t.Helper()
	s := newSettings(t, opts)
	result, records, err := playIn(t, s, register, call, 0)
	if !s.dying {
		return result, err
	}
	for i, name := range records {
		again, _, aerr := playIn(t, newSettings(t, opts), register, call, i+1)
		if !reflect.DeepEqual(again, result) || textOf(aerr) != textOf(err) {
			t.Errorf("tasktest: dying once right after %q was recorded, the task ends with\n\t%+v, %v\nand else with\n\t%+v, %v",
				name, again, aerr, result, err)
		}
	}
	return result, err
}

// ids matches the ids of tasks, which differ from play to play.
var ids = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)

func textOf(err error) string { return ids.ReplaceAllString(fmt.Sprint(err), "ID") }

// playIn plays the task in a bubble: one of its own, if the test is not in one.
func playIn[R any](
	t testing.TB, s *settings, register func(*runtime.App), call runtime.Call[R], dieAfter int,
) (result R, records []string, err error) {
	t.Helper()
	own, ok := t.(*testing.T)
	if !ok || inBubble() {
		p := begin(t, s, register, call, dieAfter)
		defer p.stop()
		result, err = p.End()
		return result, p.stage.recorded(), err
	}
	synctest.Test(own, func(t *testing.T) {
		p := begin(t, s, register, call, dieAfter)
		defer p.stop()
		result, err = p.End()
		records = p.stage.recorded()
	})
	return result, records, err
}

// inBubble reports whether the caller is in a bubble of testing/synctest: only
// there a test may wait for it.
func inBubble() (in bool) {
	defer func() { in = recover() == nil }()
	synctest.Wait()
	return true
}

// Answer sets the end of each child that the call spawns when [Play] or
// [Begin] runs its parent, as [Recorder.Answer] does: it succeeds with the
// result, or fails with err, or is cancelled if err wraps
// [runtime.ErrCancelled]. The latest of several answers to a call holds.
func Answer(call runtime.Caller, result any, err error) Option {
	return func(s *settings) {
		s.answers = append(s.answers, func(r *Recorder) { r.Answer(call, result, err) })
	}
}

// RunChildren makes [Play] and [Begin] run the children to which there is no
// [Answer], as a worker does.
func RunChildren() Option { return func(s *settings) { s.children = true } }

// Send makes [Play] send a signal to the task, so long after its enqueueing. A task
// that has ended by then misses it.
func Send[T any](after time.Duration, signal *runtime.Signal[T], v T, opts ...runtime.SendOption) Option {
	return func(s *settings) {
		s.sends = append(s.sends, sending{after, func(ctx context.Context, app *runtime.App, id uuid.UUID) error {
			return signal.Send(ctx, app, id, v, opts...)
		}})
	}
}

// DyingEverywhere makes [Play] play the task once more for each time that it has
// recorded something, dying right after that, as if its worker were killed, and
// fails the test unless it ends as it has ended before.
func DyingEverywhere() Option { return func(s *settings) { s.dying = true } }

// sending is a signal to be sent.
type sending struct {
	after time.Duration
	send  func(ctx context.Context, app *runtime.App, id uuid.UUID) error
}

// begin enqueues the task on a stage of its own, where it runs.
func begin[R any](
	t testing.TB, s *settings, register func(*runtime.App), call runtime.Call[R], dieAfter int,
) *Playing[R] {
	t.Helper()
	rec := newRecorder(s)
	for _, a := range s.answers {
		a(rec)
	}
	st := &stage{
		Engine: memory.New(memory.Config{}), t: t, children: s.children, answers: rec.engine, dieAfter: dieAfter, main: new(outermost),
	}
	s.cfg.Middleware = append([]runtime.Middleware{st.wrap}, s.cfg.Middleware...)
	s.engine = st
	p := &Playing[R]{t: t, app: s.app(t, register), stage: st, began: time.Now(), sends: s.sends, ctx: context.WithoutCancel(s.ctx)}
	id, err := uuid.NewV7()
	if err == nil {
		st.id = id
		err = p.app.StartSome(context.Background(), call.AnyCall.Name())
	}
	if err == nil {
		err = p.enqueue(s.ctx, runtime.With(call, s.call...), id)
	}
	if err != nil {
		p.stop()
		t.Fatalf("tasktest: %v", err)
	}
	return p
}

// wrap keeps the errors of the task's own runs.
func (s *stage) wrap(next runtime.Handler) runtime.Handler {
	main := s.main.wrap(next)
	return func(ctx *runtime.Context) error {
		if ctx.Metadata().TaskID == s.id {
			return main(ctx)
		}
		return next(ctx)
	}
}

// enqueue enqueues the call as the task of the id.
func (p *Playing[R]) enqueue(ctx context.Context, call runtime.Call[R], id uuid.UUID) error {
	_, err := call.Enqueue(ctx, p.app.Via(named{p.stage, id}))
	return err
}

// named is an [engine.Inserter] that gives a message its id, and keeps the record of
// the task for as long as a test may let pass.
type named struct {
	to engine.Inserter
	id uuid.UUID
}

// forGood is longer than any wait of a test.
const forGood = 100 * 365 * 24 * time.Hour

// Insert implements [engine.Inserter].
func (n named) Insert(ctx context.Context, ms []*engine.Message) ([]engine.Inserted, error) {
	ms[0].Meta.ID = n.id
	ms[0].Keep, ms[0].KeepFailed = forGood, forGood
	return n.to.Insert(ctx, ms)
}

// waitsFor returns the wait in a task's reason.
func waitsFor(reason string) string { return strings.TrimPrefix(reason, "waits for ") }
