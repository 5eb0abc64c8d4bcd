package remote

import (
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime/engine"
)

// plentyStore is a store of some tasks, which notes when it was asked for more.
type plentyStore struct {
	w     *Worker[int, struct{}]
	left  int // tasks to claim
	done  int // outcomes written
	asked []time.Time

	reviews, upkeeps int
}

func (s *plentyStore) Step(_ context.Context, st *Step[int, struct{}]) (more bool, err error) {
	s.asked = append(s.asked, time.Now())
	s.done += len(st.Outcomes)
	n := min(st.Want, s.left)
	var ds []*Delivery[int, struct{}]
	for range n {
		d := s.w.Deliver(s.left, struct{}{}, nil)
		d.Message = &engine.Message{Name: "t", Meta: engine.Meta{ID: uuid.New()}}
		ds = append(ds, d)
		s.left--
	}
	s.w.Start(ds)
	return st.Want > 0 && n == st.Want, nil
}

func (s *plentyStore) Join(context.Context) error           { return nil }
func (s *plentyStore) Leave(context.Context) error          { return nil }
func (s *plentyStore) Release(context.Context, []int) error { return nil }
func (s *plentyStore) Running(context.Context) (*Running[int], error) {
	s.reviews++
	return &Running[int]{}, nil
}

func (s *plentyStore) Beats(context.Context, map[string][]int) (map[string]string, error) {
	return nil, nil
}

func (s *plentyStore) TakeOver(context.Context, string, string, []int) (int, bool, error) {
	return 0, false, nil
}

func (s *plentyStore) SaveMemo(context.Context, int, json.RawMessage) (bool, error) {
	return true, nil
}

func (s *plentyStore) Upkeep(context.Context) (time.Duration, error) {
	s.upkeeps++
	return -1, nil
}

func (s *plentyStore) Listen(ctx context.Context) error {
	s.w.Listening()
	<-ctx.Done()
	return ctx.Err()
}

// TestServe_Cooldown: outcomes gather between two steps; but where a step claimed as
// many tasks as it could, the next one follows when all of those have ended.
func TestServe_Cooldown(t *testing.T) {
	const cooldown, slots = time.Second, 10
	for name, test := range map[string]struct {
		eager bool
		tasks int
		slow  int           // the number of a task that takes
		takes time.Duration // so long
		want  []time.Duration
	}{
		"set":           {false, 25, 0, 0, []time.Duration{0, 1 * cooldown, 2 * cooldown, 3 * cooldown}},
		"eager":         {true, 25, 0, 0, []time.Duration{0, 0, 0, cooldown}}, // the last claim was not full
		"one is slow":   {true, 20, 20, cooldown / 4, []time.Duration{0, cooldown / 4, cooldown / 4}},
		"one is slower": {true, 20, 20, cooldown * 5 / 2, []time.Duration{0, 1 * cooldown, 1 * cooldown, 2 * cooldown, cooldown * 3}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &plentyStore{left: test.tasks}
				closing, end := context.WithCancel(context.Background())
				defer end()
				began := time.Now()
				s.w = NewWorker(&engine.Worker{
					ID: "w", Slots: slots, Abandon: make(chan struct{}), Now: time.Now,
					RunInline: func(_ context.Context, d *engine.Delivery, o *engine.Outcome) {
						if claim := d.Memo.(*Delivery[int, struct{}]).Claim; claim == test.slow {
							time.Sleep(test.takes)
						}
						*o = engine.Outcome{Kind: engine.OutcomeSucceed}
					},
				}, s, Config{
					Engine: "test", Lease: time.Hour, PollInterval: time.Hour, Cooldown: cooldown, Eager: test.eager,
					UpkeepEvery: time.Hour, Closing: closing, Logger: slog.New(slog.DiscardHandler), Workers: new(Workers),
				})
				ctx, stop := context.WithCancel(t.Context())
				served := make(chan error, 1)
				go func() { served <- s.w.Serve(ctx) }()
				time.Sleep(10 * cooldown)
				stop()
				if err := <-served; err != nil {
					t.Error(err)
				}
				var at []time.Duration
				for _, a := range s.asked {
					at = append(at, a.Sub(began))
				}
				if !slices.Equal(at, test.want) || s.done != test.tasks {
					t.Errorf("steps at %v, %d outcomes written, want %v and %d", at, s.done, test.want, test.tasks)
				}
			})
		})
	}
}

// TestWorker_FloodOfSignals: whoever sends messages without end makes a worker look
// what was cancelled, and what is due, only so often.
func TestWorker_FloodOfSignals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(plentyStore)
		closing, end := context.WithCancel(context.Background())
		defer end()
		s.w = NewWorker(&engine.Worker{ID: "w", Slots: 1, Abandon: make(chan struct{}), Now: time.Now}, s, Config{
			Engine: "test", Lease: time.Hour, PollInterval: time.Hour, UpkeepEvery: time.Hour,
			Closing: closing, Logger: slog.New(slog.DiscardHandler), Workers: new(Workers),
		})
		ctx, stop := context.WithCancel(t.Context())
		served := make(chan error, 1)
		go func() { served <- s.w.Serve(ctx) }()
		for range 10_000 { // in a second
			s.w.Check()
			s.w.Due(0)
			time.Sleep(100 * time.Microsecond)
		}
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
		if s.reviews < 40 || s.reviews > 60 {
			t.Errorf("%d reviews in a second", s.reviews)
		}
		if s.upkeeps < 300 || s.upkeeps > 600 {
			t.Errorf("%d rounds of upkeep in a second", s.upkeeps)
		}
	})
}
