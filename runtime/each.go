package runtime

import (
	"context"
	"iter"
)

// Collect returns the values of an iterator, up to its first error. Generated
// code calls it for a task that returns an iterator.
func Collect[T any](seq iter.Seq2[T, error]) ([]T, error) {
	all := []T{}
	if seq == nil {
		return all, nil
	}
	for v, err := range seq {
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, nil
}

// Each calls do with each value of an iterator, in order, and returns what it
// makes of them. The first error, of the iterator or of do, ends it, and so does
// the end of ctx. Generated code calls it for a task with each=.
func Each[C context.Context, T, U any](ctx C, seq iter.Seq2[T, error], do func(C, T) (U, error)) ([]U, error) {
	all := []U{}
	err := EachDo(ctx, seq, func(ctx C, v T) error {
		u, err := do(ctx, v)
		if err == nil {
			all = append(all, u)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

// EachDo is Each for a do that returns an error only.
func EachDo[C context.Context, T any](ctx C, seq iter.Seq2[T, error], do func(C, T) error) error {
	if seq == nil {
		return nil
	}
	for v, err := range seq {
		if err == nil {
			err = context.Cause(ctx)
		}
		if err == nil {
			err = do(ctx, v)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
