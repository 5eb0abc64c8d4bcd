package hostile

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"time"

	"github.com/taskctx/taskctx/runtime"
)

func branches(ctx *Outer, pages []string, n int) error {
	asked := false
	for i, page := range pages {
		if i == 0 {
			if err := runtime.Rest(ctx, "first", time.Second); err != nil {
				return err
			}
		}
		if page == "cover" {
			if err := runtime.Rest(ctx, "cover", time.Second); err != nil {
				return err
			}
		}
		if !asked {
			asked = true
			if err := runtime.Rest(ctx, "ask", time.Second); err != nil {
				return err
			}
		}
		switch page {
		case "index":
			if err := runtime.Rest(ctx, "index", time.Second); err != nil {
				return err
			}
		}
		if n > 3 {
			if err := runtime.Rest(ctx, "each", time.Second); err != nil { // want `Rest has the same name in each turn of the loop`
				return err
			}
		}
	}
	return nil
}

func labels(ctx *Outer, pages [][]int) error {
	for range pages {
	inner:
		for {
			if err := runtime.Rest(ctx, "labelled", time.Second); err != nil { // want `Rest has the same name in each turn of the loop`
				return err
			}
			break inner
		}
	}
outer:
	for i, page := range pages {
		for j := range page {
			if j > i {
				if err := runtime.Rest(ctx, "next", time.Second); err != nil { // want `Rest has the same name in each turn of the loop`
					return err
				}
				continue outer
			}
		}
	}
once:
	for range pages {
		for range pages {
			if err := runtime.Rest(ctx, "once", time.Second); err != nil {
				return err
			}
			break once
		}
	}
	for i := range pages {
		for j := range pages[i] {
			if err := runtime.Rest(ctx, "nested", time.Second); err != nil { // want `Rest has the same name in each turn of the loop`
				return err
			}
			_ = j
		}
	}
	for runtime.Rest(ctx, "head", time.Second) == nil { // want `Rest has the same name in each turn of the loop`
	}
	if err := runtime.Rest(ctx, "again", time.Second); err != nil {
		return err
	}
	if len(pages) > 3 {
		return runtime.Rest(ctx, "again", time.Second) // want `the name "again" is used twice in a run`
	}
	return nil
}

func inSteps(ctx *Outer) (string, error) {
	a, err := runtime.Step(ctx, "a", func(c context.Context) (string, error) {
		slog.InfoContext(c, "paying", "task", ctx.Metadata().TaskID)
		return ctx.Bank.Pay(c, 1) // a supply is the same everywhere
	})
	if err != nil {
		return "", err
	}
	b, err := runtime.Step(ctx, "b", func(c *Outer) (string, error) {
		return ctx.Tx.Exec(c) // want `ctx is the context around the step`
	})
	if err != nil {
		return "", err
	}
	return a + b, nil
}

func swallows(ctx *Outer) error {
	if err := runtime.Rest(ctx, "told", time.Second); err != nil { // want `the task goes on after the error of Rest`
		log.Print(err)
	}
	for i := range 3 {
		if err := runtime.Rest(ctx, fmt.Sprint("told/", i), time.Second); err != nil { // want `the task goes on after the error of Rest`
			ctx.Logger().Warn("not rested", "err", err)
			continue
		}
	}
	var all []error
	if err := runtime.Rest(ctx, "kept", time.Second); err != nil {
		all = append(all, err)
	}
	if err := runtime.Rest(ctx, "asked", time.Second); errors.Is(err, runtime.ErrSuspended) {
		return err
	} else if err != nil {
		log.Print(err)
	}
	err := runtime.Rest(ctx, "later", time.Second)
	if err != nil {
		log.Print(err)
	}
	defer runtime.Rest(ctx, "deferred", time.Second) // want `the error of Rest is dropped`
	return errors.Join(append(all, err)...)
}
