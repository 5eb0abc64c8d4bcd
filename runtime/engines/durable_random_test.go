package engines_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engines"
	"github.com/taskctx/taskctx/runtime/glue"
	"github.com/taskctx/taskctx/runtime/local"
)

// program is what a durable task does.
type program struct {
	Ops   []operation
	Fails bool // at its end, for good
}

// operation is one call, or several.
type operation struct {
	Kind  string
	Value int
	Kids  []program // of spawn: children; of branches: what each does
}

// drawProgram draws a tree of programs.
func drawProgram(t *rapid.T, depth int, branch bool) program {
	kinds := []string{"step", "spawn", "ends", "all", "any", "rest", "signal"}
	if !branch {
		kinds = append(kinds, "branches")
	}
	var p program
	for range rapid.IntRange(0, 5).Draw(t, "operations") {
		o := operation{Kind: rapid.SampledFrom(kinds).Draw(t, "kind"), Value: rapid.IntRange(0, 3).Draw(t, "value")}
		if o.Kind == "spawn" && depth > 0 || o.Kind == "branches" {
			for range rapid.IntRange(1, 3).Draw(t, "kids") {
				o.Kids = append(o.Kids, drawProgram(t, depth-1, o.Kind == "branches"))
			}
		}
		p.Ops = append(p.Ops, o)
	}
	p.Fails = !branch && rapid.IntRange(0, 6).Draw(t, "fails") == 0
	return p
}

// plainly is the program's result, evaluated without tasks: false if it fails.
func (p program) plainly() (string, bool) {
	var said strings.Builder
	var kids []string
	all := true
	for _, o := range p.Ops {
		switch o.Kind {
		case "step":
			fmt.Fprint(&said, o.Value)
		case "signal":
			for v := range o.Value {
				fmt.Fprint(&said, "!", v)
			}
		case "spawn", "branches":
			for _, kid := range o.Kids {
				text, ok := kid.plainly()
				if o.Kind == "branches" {
					fmt.Fprintf(&said, "[%s]", text)
					continue
				}
				if !ok {
					text, all = "failed", false
				}
				kids = append(kids, text)
			}
		case "ends":
			fmt.Fprint(&said, kids)
		case "all":
			if all {
				fmt.Fprint(&said, kids)
			} else {
				fmt.Fprint(&said, "one failed")
			}
		}
	}
	fmt.Fprint(&said, kids)
	return said.String(), !p.Fails
}

// player runs programs, whose runs die now and then.
type player struct {
	t       *testing.T
	mu      sync.Mutex
	effects map[string]int
}

var (
	pressRandom = newPress[string]("Random", true)
	patient     = runtime.WithRetries(1000)
)

func (pl *player) play(ctx *runtime.Context, a *pressArgs) (string, error) {
	var p program
	if err := json.Unmarshal([]byte(a.how), &p); err != nil {
		return "", runtime.Permanent(err)
	}
	said, err := pl.run(ctx, p, "")
	if err == nil && p.Fails {
		err = runtime.Permanent(errors.New("as the program says"))
	}
	return said, err
}

// die fails now and then, in one way or the other.
func die() error {
	switch rand.IntN(40) {
	case 0, 1:
		return errors.New("died")
	case 2:
		panic("died")
	}
	return nil
}

// done counts an effect, which must be the only one of its task and name.
func (pl *player) done(id uuid.UUID, name string) {
	pl.mu.Lock()
	defer pl.mu.Unlock()
	if pl.effects[id.String()+name]++; pl.effects[id.String()+name] > 1 {
		pl.t.Errorf("%s of task %s is done %d times", name, id, pl.effects[id.String()+name])
	}
}

// same fails the test if a value is not the same in each run.
func (pl *player) same(ctx *runtime.Context, name string, v any) error {
	first, err := runtime.Step(ctx, name, func(context.Context) (string, error) { return fmt.Sprint(v), nil })
	if err == nil && first != fmt.Sprint(v) {
		pl.t.Errorf("%s of task %s is %v, and was %s in a run before", name, ctx.Metadata().TaskID, v, first)
	}
	return err
}

// ended is the text of a child's end, and whether it succeeded. Other errors it returns.
func ended(text string, err error) (string, bool, error) {
	var failed *runtime.TaskError
	if errors.As(err, &failed) {
		return "failed", false, nil
	}
	return text, err == nil, err
}

func (pl *player) run(ctx *runtime.Context, p program, prefix string) (string, error) {
	var said strings.Builder
	var kids []*runtime.Future[string]
	for i, o := range p.Ops {
		if err := die(); err != nil {
			return "", err
		}
		name := fmt.Sprint(prefix, o.Kind, i)
		switch o.Kind {
		case "spawn":
			for j, kid := range o.Kids {
				how, err := json.Marshal(kid)
				if err != nil {
					return "", err
				}
				kids = append(kids, runtime.Spawn(ctx, fmt.Sprint(name, "/", j), pressRandom.call(string(how), 0, patient)))
			}
			continue
		case "branches":
			texts, err := pl.branch(ctx, o, name)
			if err != nil {
				return "", err
			}
			said.WriteString(texts)
			continue
		}
		text, err := pl.do(ctx, o, name, kids)
		if err != nil {
			return "", err
		}
		said.WriteString(text)
	}
	text, err := pl.do(ctx, operation{Kind: "ends"}, "", kids)
	return said.String() + text, err
}

// branch runs the kids of an operation on goroutines of the task.
func (pl *player) branch(ctx *runtime.Context, o operation, name string) (string, error) {
	texts, children := make([]string, len(o.Kids)), make([]*local.Child, len(o.Kids))
	for j, kid := range o.Kids {
		children[j] = local.Go(ctx, local.Copy, func(c context.Context) (err error) {
			own, _ := runtime.FromContext(c)
			texts[j], err = pl.run(own, kid, fmt.Sprint(name, "/", j, "/"))
			return err
		})
	}
	var errs []error
	for _, child := range children {
		errs = append(errs, child.Wait())
	}
	if err := errors.Join(errs...); err != nil {
		return "", err
	}
	var said strings.Builder
	for _, text := range texts {
		fmt.Fprintf(&said, "[%s]", text)
	}
	return said.String(), nil
}

// do does an operation without kids of its own.
func (pl *player) do(ctx *runtime.Context, o operation, name string, kids []*runtime.Future[string]) (string, error) {
	id := ctx.Metadata().TaskID
	switch o.Kind {
	case "step":
		v, err := runtime.Step(ctx, name, func(context.Context) (int, error) {
			if err := die(); err != nil {
				return 0, err
			}
			pl.done(id, name)
			return o.Value, nil
		})
		return fmt.Sprint(v), err
	case "rest":
		return "", runtime.Rest(ctx, name, time.Duration(o.Value)*time.Millisecond)
	case "signal":
		return pl.signal(ctx, o, name)
	case "any":
		if len(kids) == 0 {
			return "", nil
		}
		i, text, err := runtime.AwaitAny(ctx, kids...)
		if text, _, err = ended(text, err); err != nil {
			return "", err
		}
		return "", pl.same(ctx, name, fmt.Sprint(i, text))
	case "all":
		texts, err := runtime.AwaitAll(ctx, kids...)
		_, ok, err := ended("", err)
		if err == nil && !ok {
			return "one failed", nil
		}
		return fmt.Sprint(texts), err
	}
	ends, err := runtime.AwaitEnds(ctx, kids...)
	texts := make([]string, len(ends))
	for i, end := range ends {
		texts[i], _, _ = ended(end.Result, end.Err)
	}
	return fmt.Sprint(texts), err
}

// signal sends the task signals, each once, and awaits them, with a timeout before.
func (pl *player) signal(ctx *runtime.Context, o operation, name string) (string, error) {
	signal := runtime.NewSignal[int](name)
	if _, err := signal.Await(ctx, time.Millisecond); !errors.Is(err, runtime.ErrAwaitTimeout) {
		return "", err
	}
	id := ctx.Metadata().TaskID
	if _, err := runtime.Step(ctx, name, func(ctx *runtime.Context) (int, error) {
		for v := range o.Value {
			if err := errors.Join(signal.Send(ctx, ctx.App(), id, v, runtime.WithSendKey(fmt.Sprint(v))), die()); err != nil {
				return 0, err
			}
		}
		return o.Value, nil
	}); err != nil {
		return "", err
	}
	var said strings.Builder
	for range o.Value {
		v, err := signal.Await(ctx, 0)
		if err != nil {
			return "", err
		}
		fmt.Fprint(&said, "!", v)
	}
	return said.String(), nil
}

// TestDurable_RandomPrograms: random trees of steps, children, branches, rests and signals,
// whose runs fail and panic anywhere, end as if they had been evaluated plainly: each step is done
// once, and each run reads what the ones before it have read.
//
// Proves: FEATURES 81, 82, 84, 85, 86
func TestDurable_RandomPrograms(t *testing.T) {
	for _, url := range []string{"memory:", "sqlite:" + filepath.Join(t.TempDir(), "tasks.db")} {
		name, _, _ := strings.Cut(url, ":")
		t.Run(name, func(t *testing.T) {
			e, err := engines.Open(t.Context(), url)
			require.NoError(t, err)
			defer func() { require.NoError(t, e.Close()) }()
			app := runtime.New(e, runtime.Config{Workers: 4, Logger: slog.New(slog.DiscardHandler)})
			pl := &player{t: t, effects: make(map[string]int)}
			glue.Register(app, pressRandom.task, pl.play)
			require.NoError(t, app.Start(t.Context()))
			defer func() { require.NoError(t, app.Stop(context.Background())) }()
			rapid.Check(t, func(rt *rapid.T) {
				p := drawProgram(rt, 2, false)
				how, err := json.Marshal(p)
				require.NoError(rt, err)
				ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
				defer cancel()
				h, err := pressRandom.call(string(how), 0, patient).Enqueue(ctx, app)
				require.NoError(rt, err)
				got, err := h.Wait(ctx)
				want, ok := p.plainly()
				if !ok {
					require.ErrorContains(rt, err, "as the program says")
					return
				}
				require.NoError(rt, err)
				require.Equal(rt, want, got)
			})
		})
	}
}
