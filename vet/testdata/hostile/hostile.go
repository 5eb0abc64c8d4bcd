// Package hostile says the same things in other words: aliases, dot imports, shadowed names,
// generics, method expressions, contexts that travel. What is certain is found, and what is
// right is left alone.
package hostile

import (
	"context"
	"fmt"
	"log"
	"os"
	"runtime"
	"sync"
	. "time"

	tc "github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/local"
)

type (
	// Handle is a context by another name.
	Handle = *tc.Context
	// Base is embedded by value.
	Base struct{ *tc.Context }
	// Outer embeds a context type by value.
	Outer struct {
		Base
		Bank *Bank `task:"supply"`
		Tx   *Tx
	}
	// Of is a generic context.
	Of[T any] struct {
		*tc.Context
		value T
	}
)

// Bank is a supply.
type Bank struct{}

// Pay pays.
func (*Bank) Pay(ctx context.Context, cents int) (string, error) { return "", ctx.Err() }

// Tx is made for each run.
type Tx struct{}

// Exec executes.
func (*Tx) Exec(ctx context.Context) (string, error) { return "", ctx.Err() }

//task:provide task
func openTx(ctx *tc.Context) (*Tx, func() error, error) {
	unlock := func() error { return called(context.Background()) } // want `context.Background in a task knows nothing of it`
	return &Tx{}, unlock, nil
}

func alias(h Handle) error {
	Sleep(Second)       // want `time.Sleep in a task`
	runtime.Gosched()   // the other package of that name
	_ = <-After(Second) // want `<-time.After in a task`
	defer Sleep(Second) // want `time.Sleep in a task`
	select {
	case <-After(Second): // want `<-time.After in a task`
	}
	select {
	case <-After(Second):
	case <-h.Done():
	}
	select {
	case at := <-After(Second):
		fmt.Println(at)
	case <-h.Done():
		return called(context.Background()) // want `context.Background in a task knows nothing of it`
	}
	if h.Err() != nil {
		return called(context.TODO()) // want `context.TODO in a task knows nothing of it`
	}
	<-h.Done()
	return called(context.Background()) // want `context.Background in a task knows nothing of it`
}

func embedded(ctx *Outer) error {
	Sleep(Second) // want `time.Sleep in a task`
	return nil
}

func generic[T any](ctx *Of[T]) (T, error) {
	Sleep(Second) // want `time.Sleep in a task`
	return ctx.value, nil
}

// variable is a task's function without a declaration of its own.
var variable = func(ctx *Outer, n int) error {
	Sleep(Second) // want `time.Sleep in a task`
	return nil
}

// plain is no task: what it does is its own business.
func plain(ctx context.Context) error {
	Sleep(Second)
	go Sleep(Second)
	return called(context.Background())
}

// Nil is called outside of tasks as well.
//
//task:context
func Nil(ctx context.Context) error {
	if ctx == nil {
		ctx = context.Background()
	}
	stop := context.AfterFunc(ctx, func() {
		log.Print(called(context.Background())) // want `context.Background in a task knows nothing of it`
	})
	defer stop()
	return called(ctx)
}

func caught() {
	if r := recover(); r != nil {
		log.Print(r)
	}
}

// Loop recovers.
func (b *Bank) Loop() {
	defer caught()
	runtime.GC()
}

func (b *Bank) bare() { runtime.GC() }

func goroutines(ctx *Outer, b *Bank) error {
	go b.Loop() // it recovers
	go b.bare() // want `a panic in this goroutine`
	go func() {
		defer caught()
		b.bare()
	}()
	go func() {
		for range 3 {
			func() {
				defer func() { log.Print(recover()) }()
				b.bare()
			}()
		}
	}()
	go func() { // want `a panic in this goroutine`
		defer recover() // which recovers nothing
		b.bare()
	}()
	loop := func() { b.bare() }
	go loop() // want `a panic in this goroutine`
	safe := func() { defer caught(); b.bare() }
	go safe()
	bare := b.bare
	go bare() // want `a panic in this goroutine`
	free := context.WithoutCancel(ctx)
	go detached(free) // want `a panic in this goroutine`
	forked := local.Fork(ctx, local.Copy)
	go func() { detached(forked) }() // want `a panic in this goroutine`
	go func() {                      // want `a panic in this goroutine`
		log.Print(embedded(ctx)) // which takes no other context
	}()
	child := local.Go(ctx, local.Copy, func(ctx context.Context) error { return called(ctx) })
	return child.Wait()
}

func detached(ctx context.Context) { _ = ctx.Err() }

// holder has a context that came through two functions.
type holder struct{ ctx context.Context }

func hold(ctx context.Context) *holder { return &holder{ctx} }
func (h *holder) get() context.Context { return h.ctx }

// Waits waits for others.
//
//task:context
func Waits(ctx context.Context, id string) error {
	h := &tc.Handle[int]{}
	ctx, cancel := context.WithTimeout(ctx, Second)
	defer cancel()
	if _, err := h.Wait(ctx); err != nil { // want `Wait in a task is ErrWaitInTask`
		return err
	}
	if _, err := (*tc.Handle[int]).Wait(h, ctx); err != nil { // want `Wait in a task is ErrWaitInTask`
		return err
	}
	if _, err := h.Wait(context.WithoutCancel(local.With(ctx))); err != nil { // want `Wait in a task is ErrWaitInTask`
		return err
	}
	var c context.Context
	if id == "" {
		c = ctx
	} else {
		c = local.Fork(ctx, local.Overlay)
	}
	if _, err := h.Wait(c); err != nil { // want `Wait in a task is ErrWaitInTask`
		return err
	}
	if _, err := h.Wait(hold(ctx).get()); err != nil { // who knows
		return err
	}
	own, ok := tc.FromContext(ctx)
	if !ok {
		return nil
	}
	_, err := h.Wait(own) // want `Wait in a task is ErrWaitInTask`
	return err
}

var (
	keys  = tc.NewKey[int]("kept", tc.PerWorker, nil)
	late  *tc.Key[int]
	first sync.Once
)

func made(ctx *Outer) error {
	first.Do(func() { late = tc.NewKey[int]("late", tc.PerWorker, nil) })
	k := tc.NewKey[int]("each", tc.PerWorker, nil) // want `runtime.NewKey in a task makes another one in each run`
	_ = k
	return nil
}

func ends(ctx *Outer, inner func() *tc.App) error {
	app := inner()
	defer app.Stop(ctx) // the task's own
	defer func() {
		if ctx.Err() != nil {
			os.Exit(3) // want `os.Exit in a task ends the process`
		}
	}()
	return ctx.App().Stop(ctx) // want `Stop waits for running tasks`
}

func called(ctx context.Context) error { return ctx.Err() }
