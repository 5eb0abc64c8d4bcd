// Package edge has the cases at the edges of the rules: what is not certain is
// not reported, and a fix that would not compile is not suggested.
package edge

import (
	stdctx "context"
	"log"
	"sync"
	zeit "time"

	tasks "github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/local"
)

// Base is embedded by pointer, as context types are.
type Base struct{ *tasks.Context }

// Deep is a context type at two removes.
type Deep struct{ *Base }

// Money is a result that is a struct.
type Money struct{ Cents int64 }

// helper is no task, but only a task can call it.
func helper(ctx *Deep) (Money, error) {
	zeit.Sleep(zeit.Second) // want `time.Sleep in a task`
	return Money{}, nil
}

// named results, and a name for the error.
func named(ctx *Deep) (m Money, reason error) {
	zeit.Sleep(zeit.Second) // want `time.Sleep in a task`
	if m.Cents == 0 {
		tasks.Permanent(reason) // want `runtime.Permanent is an error that does nothing`
	}
	return m, nil
}

// without a name for the context there is nothing to write in a fix.
func without(*Deep) error {
	zeit.Sleep(zeit.Second)           // want `time.Sleep in a task`
	return called(stdctx.Background()) // want `context.Background in a task`
}

// Plain has a context that cannot sleep.
//
//task:context
func Plain(ctx stdctx.Context) error {
	zeit.Sleep(zeit.Second) // want `time.Sleep in a task`
	return called(ctx)
}

// wrong returns what is no error last: no fix.
func wrong(ctx *tasks.Context) (error, bool) {
	zeit.Sleep(zeit.Second) // want `time.Sleep in a task`
	log.Fatalln("over")     // want `log.Fatalln in a task`
	return nil, true
}

// shadowed: ctx means something else at the place.
func shadowed(ctx *tasks.Context) error {
	{
		ctx := "text"
		zeit.Sleep(zeit.Duration(len(ctx)))                      // want `time.Sleep in a task`
		if err := called(stdctx.Background()); err != nil { // want `context.Background in a task`
			return err
		}
	}
	local := 1
	go func() { // want `a panic in this goroutine`
		local++
	}()
	return nil
}

// inner: in a function literal a return would end that alone.
func inner(ctx *tasks.Context) error {
	var once sync.Once
	once.Do(func() {
		zeit.Sleep(zeit.Second) // want `time.Sleep in a task`
		log.Fatal(ctx.Err())    // want `log.Fatal in a task`
	})
	go func(n int) { _ = n }(1) // want `a panic in this goroutine`
	go func() { // want `a panic in this goroutine`
		if ctx.Err() != nil {
			return
		}
	}()
	child := local.Go(ctx, local.Copy, func(ctx stdctx.Context) error {
		return called(stdctx.TODO()) // want `context.TODO in a task`
	})
	return child.Wait()
}

// mine derives contexts; only what is the task's without doubt is reported.
func mine(ctx *Deep, h *tasks.Handle[int], other stdctx.Context) error {
	c := stdctx.WithValue(ctx, "k", 1)
	if _, err := h.Wait(c); err != nil { // want `Wait in a task is ErrWaitInTask`
		return err
	}
	if _, err := h.Wait(ctx.Context); err != nil { // want `Wait in a task is ErrWaitInTask`
		return err
	}
	if _, err := h.Wait(other); err != nil {
		return err
	}
	may := stdctx.WithValue(ctx, "k", 1)
	may = other
	_, err := h.Wait(may)
	return err
}

// passed makes of its parameter another one, which may be no task's.
func passed(ctx, other stdctx.Context, h *tasks.Handle[int]) error {
	ctx = other
	_, err := h.Wait(ctx)
	return err
}

// steps at the edges of names.
func steps(ctx *tasks.Context, kind int, names []string) error {
	switch kind {
	case 0:
		if err := tasks.Rest(ctx, "a", zeit.Second); err != nil {
			return err
		}
	case 1:
		if err := tasks.Rest(ctx, "a", zeit.Second); err != nil {
			return err
		}
	}
	for _, name := range names {
		if err := tasks.Rest(ctx, name, zeit.Second); err != nil {
			return err
		}
		if err := tasks.Rest(ctx, "loop", zeit.Second); err != nil { // want `Rest has the same name in each turn of the loop`
			return err
		}
	}
	_, err := tasks.Step(ctx, "last", func(stdctx.Context) (int, error) {
		return 0, called(ctx) // want `ctx is the context around the step`
	})
	if err != nil {
		log.Print(err)
		return nil // want `the task returns nil for the error of Step`
	}
	if err := tasks.Rest(ctx, "b", zeit.Second); err != nil {
		if tasks.ErrSuspended == err {
			return err
		}
		return nil
	}
	return nil
}

// turns of loops that have a step once, or twice.
func turns(ctx *tasks.Context, names []string, n int) error {
	for _, name := range names {
		if name == "found" {
			err := tasks.Rest(ctx, "found", zeit.Second)
			return err
		}
	}
	for {
		switch n {
		case 1:
			if err := tasks.Rest(ctx, "again", zeit.Second); err != nil { // want `Rest has the same name in each turn of the loop`
				return err
			}
			break
		case 2:
			if err := tasks.Rest(ctx, "returns", zeit.Second); err != nil {
				return err
			}
			return nil
		}
		if n == 3 {
			if err := tasks.Rest(ctx, "breaks", zeit.Second); err != nil {
				return err
			}
			break
		}
	}
	for range names {
		for {
			if err := tasks.Rest(ctx, "outer", zeit.Second); err != nil { // want `Rest has the same name in each turn of the loop`
				return err
			}
			break
		}
	}
	var later []func() error
	for range names {
		later = append(later, func() error { return tasks.Rest(ctx, "later", zeit.Second) })
	}
	return later[0]()
}

func called(ctx stdctx.Context) error { return ctx.Err() }
