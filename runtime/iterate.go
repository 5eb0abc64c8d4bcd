package runtime

import (
	"context"
	"errors"
	"fmt"
	"iter"
)

// errNilIterator is the error of an iterator task that returned nil.
var errNilIterator = errors.New("the task returned a nil iterator")

// Each calls each for every value of seq, in order, and returns its results.
// It ends at the first error: of the iterator; of each, with the index of its
// value; or, between two values, of ctx. Generated code calls it for tasks
// that return an iterator and name an each function.
func Each[C context.Context, T, U any](
	ctx C, seq iter.Seq2[T, error], each func(C, T) (U, error),
) ([]U, error) {
	results := []U{}
	err := EachDo(ctx, seq, func(ctx C, v T) error {
		u, err := each(ctx, v)
		if err == nil {
			results = append(results, u)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return results, nil
}

// EachDo is Each for an each function without results.
func EachDo[C context.Context, T any](ctx C, seq iter.Seq2[T, error], each func(C, T) error) error {
	if seq == nil {
		return errNilIterator
	}
	i := 0
	for v, err := range seq {
		if err != nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := each(ctx, v); err != nil {
			return fmt.Errorf("value %d: %w", i, err)
		}
		i++
	}
	return nil
}

// Collect returns the values of seq, in order, or its first error. Generated
// code calls it for tasks that return an iterator and name no each function.
func Collect[T any](seq iter.Seq2[T, error]) ([]T, error) {
	if seq == nil {
		return nil, errNilIterator
	}
	values := []T{}
	for v, err := range seq {
		if err != nil {
			return nil, err
		}
		values = append(values, v)
	}
	return values, nil
}
