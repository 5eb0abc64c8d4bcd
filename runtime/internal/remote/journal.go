package remote

import (
	"context"
	"errors"

	"github.com/taskctx/taskctx/runtime/engine"
)

// JournalStore is a Store whose tasks have journals.
type JournalStore[C comparable] interface {
	// ReadJournal returns the entries of a task that runs here, at one moment, or
	// [engine.ErrLeaseLost].
	ReadJournal(ctx context.Context, claim C) ([]engine.JournalEntry, error)
	// Record adds entries, as [engine.Journal] says. attempt is the run's.
	Record(ctx context.Context, claim C, attempt int, entries []engine.NewEntry) ([]engine.JournalEntry, error)
}

var errNoJournals = errors.New("this engine has no journals")

// ReadJournal implements [engine.Journal].
func (d *Delivery[C, T]) ReadJournal(ctx context.Context) ([]engine.JournalEntry, error) {
	j, err := d.journals()
	if err != nil {
		return nil, err
	}
	return j.ReadJournal(ctx, d.Claim)
}

// Record implements [engine.Journal].
func (d *Delivery[C, T]) Record(ctx context.Context, entries []engine.NewEntry) ([]engine.JournalEntry, error) {
	j, err := d.journals()
	if err != nil {
		return nil, err
	}
	return j.Record(ctx, d.Claim, d.Attempt, entries)
}

// journals returns the store, unless it has no journals or the run is over.
func (d *Delivery[C, T]) journals() (JournalStore[C], error) {
	j, ok := d.store.(JournalStore[C])
	switch {
	case !ok:
		return nil, errNoJournals
	case d.over.Load():
		return nil, engine.ErrLeaseLost
	}
	return j, nil
}
