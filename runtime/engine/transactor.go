package engine

import "context"

// Transactor is implemented by engines that can write in a caller's
// transaction on the database of the tasks. Their writes commit and roll back
// with the caller's. The package enginetest tests a Transactor in the group
// Transaction.
type Transactor interface {
	// Join returns the engine within tx: a *sql.Tx, or what else the engine can
	// use. A tx of a kind that it does not know, or on another database than its
	// own, is [ErrUnsupported]. Nothing is written by then, and tx can be used and
	// committed as before.
	//
	// Tasks that the Inserter stores exist once the transaction has committed, and
	// never if it does not; a key that such a task takes may make others wait who
	// want it until the transaction ends. If the engine can end tasks in tx, the
	// Inserter is a [Concluder] too, and if it is a [Journaler] a [Recorder].
	//
	// Committing tx, and rolling it back, is the caller's. As tx itself the Inserter
	// is not for concurrent use, and after an error it may be that tx can only be
	// rolled back.
	Join(ctx context.Context, tx any) (Inserter, error)
}

// Concluder ends tasks in one transaction of the caller's.
type Concluder interface {
	// Conclude writes the success of a delivery's run, which has not returned yet:
	// o.Kind is [OutcomeSucceed]. All that a success writes elsewhere commits with
	// it: the result and the memo, the key, and the journal of a parent. When the
	// delivery does not own the task any more the error is [ErrLeaseLost]; otherwise
	// it still owns it when the transaction commits.
	//
	// The caller calls committed as soon as it knows that the transaction has
	// committed. The task's success is final then: whatever outcome the run
	// returns, the engine records nothing more, and does not call Worker.Refused.
	// If it is not called, the run's outcome counts as always: where the commit was
	// made although its answer was lost, that outcome is refused.
	Conclude(ctx context.Context, d *Delivery, o Outcome) (committed func(), err error)
}

// Recorder writes into journals in one transaction of the caller's.
type Recorder interface {
	// Record is [Journal.Record] of a delivery, for entries without children: they
	// are there once the transaction has committed.
	Record(ctx context.Context, d *Delivery, entries []NewEntry) ([]JournalEntry, error)
}
