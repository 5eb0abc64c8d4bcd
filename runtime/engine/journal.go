package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/google/uuid"
)

// Journaler is implemented by engines whose tasks have journals. A journal is
// the memory of a durable task from run to run, with the messages that came
// meanwhile: the ends of its children, and signals. It lives as long as the
// record of its task. The package enginetest tests a Journaler in the groups
// Journal, Suspend, Ends and Signal.
//
// An engine that implements it also
//   - hands out deliveries whose Memo is a [Journal];
//   - understands [OutcomeSuspend];
//   - writes the end of a task with a Meta.Entry into the journal of its
//     Meta.Parent, in the very step that ends or deletes the task: a worker's,
//     Cancel, Delete, a lost lease, parking, a limit on records. It sets State,
//     Result, Reason and Came of the entry whose Child is the task, once, and
//     wakes the parent if it waits for that. It does so after the parent has
//     ended too, as long as its record stays, and then wakes nobody. A task that
//     was deleted before its end has [StateDeleted];
//   - cancels, soon after a task has failed or was cancelled, the children in its
//     journal that have not ended, with [ParentEnded] as the reason, except those
//     with Meta.Orphan. It does so in lots, and also if this process dies
//     meanwhile. Ending the parent itself takes no longer for many children;
//   - on Retry of a task stops such a cancelling where it has not happened yet,
//     and forgets the entries of children that did not succeed or cannot be
//     found, and of running ones that were asked to stop, so that they are
//     spawned anew. The end of a child without an entry goes nowhere;
//   - shows a suspended task as [StateWaiting], counts it as such, cancels and
//     deletes it like any task that does not run.
type Journaler interface {
	// Signal adds an entry of kind [EntrySignal] to the journal of a task, and
	// wakes the task if it waits for that. It may come before the first run, and
	// while the task runs. A task that has ended is [ErrState], an unknown id
	// [ErrNotFound], a journal with [MaxJournalEntries] or [MaxJournalBytes]
	// [ErrJournalFull]. Of several signals of one name with the same key, if it is
	// not empty, the first counts: for the others nothing happens, without an
	// error.
	Signal(ctx context.Context, id uuid.UUID, name, key string, value json.RawMessage) error

	// Journal returns all entries of a task in any state, in the order in which
	// they were recorded. A task without any has none; an unknown id is
	// [ErrNotFound].
	Journal(ctx context.Context, id uuid.UUID) ([]JournalEntry, error)
}

// Journal is how a run reads and writes the journal of its task. Its methods may
// be called concurrently.
type Journal interface {
	// ReadJournal returns all entries as they are at one moment, in the order in
	// which they were recorded. When the delivery no longer owns the task the
	// error is [ErrLeaseLost].
	ReadJournal(ctx context.Context) ([]JournalEntry, error)

	// Record adds entries, and inserts the children that they spawn, as one
	// step: all or none. It answers for each, in order, with the journal's
	// entry of that name. It does not change the entries, and does not keep
	// the slice. An existing entry stays as it is, and its child is not
	// inserted again: so the next run can repeat a Record whose answer was
	// lost. The names of signals are apart from those of other entries.
	//
	// When the delivery no longer owns the task nothing is written and the
	// error is [ErrLeaseLost]. A child whose key another task holds is a
	// [*KeyHeldError]. It returns soon after ctx has ended.
	Record(ctx context.Context, entries []NewEntry) ([]JournalEntry, error)
}

// Bounds of a journal. The App keeps to them in its records, by the journal as
// last read; [Journaler.Signal] checks the last two. The end of a child is
// never refused.
const (
	// MaxJournalChildren is how many children a task has at most.
	MaxJournalChildren = 100_000
	// MaxJournalEntries is how many other entries there are at most.
	MaxJournalEntries = 25_000
	// MaxJournalBytes bounds the names, values, results and reasons of all entries.
	MaxJournalBytes = 16 << 20
)

// EntryKind is the kind of a journal's entry.
type EntryKind byte

// The kinds of entries. The letters are for engines to store.
const (
	EntryStep   EntryKind = 's' // a value that the task computed
	EntryChild  EntryKind = 'c' // a task that it spawned
	EntrySignal EntryKind = 'g' // a message sent to it
	EntryTimer  EntryKind = 't' // a time that it chose
)

// String names the kind.
func (k EntryKind) String() string {
	switch k {
	case EntryStep:
		return "step"
	case EntryChild:
		return "child"
	case EntrySignal:
		return "signal"
	case EntryTimer:
		return "rest"
	}
	return fmt.Sprintf("kind %d", byte(k))
}

// NewEntry is an entry to record.
type NewEntry struct {
	// Name is unique in the journal, valid UTF-8 without NUL bytes, not empty, and
	// of at most [MaxEntryName] bytes.
	Name string
	Kind EntryKind
	// Value is JSON, or nil. The engine may keep it.
	Value json.RawMessage
	// Spawn is the message of the child, of an [EntryChild]. Its Meta.Parent is
	// the task and its Meta.Entry is Name.
	Spawn *Message
}

// MaxEntryName bounds, in bytes, the names of entries, and the names and keys of
// signals.
const MaxEntryName = 512

// JournalEntry is an entry of a journal. Its value and result may be shared: treat
// them as read-only.
type JournalEntry struct {
	// Name is as in NewEntry; for a signal, the name it was sent under, which
	// other signals may share.
	Name string
	Kind EntryKind
	// Value is the recorded or sent value. It never changes.
	Value json.RawMessage
	// Attempt is that of the delivery that recorded the entry; 0 for a signal.
	Attempt int
	// Came is the place among signals and ends of children, in the order of
	// their arrival: from 1, and greater than all others in the journal at the
	// time. It is 0 for other entries.
	Came int64
	// Child is the task that was spawned. State, Result and Reason are those of
	// its end, zero before.
	Child  uuid.UUID
	State  State
	Result json.RawMessage
	Reason string
}

// Failed reports whether the entry is the end of a child that did not succeed.
func (e *JournalEntry) Failed() bool {
	return e.Kind == EntryChild && e.Came > 0 && e.State != StateSucceeded
}

// StateDeleted is the State in a journal of a child that was deleted, or lost,
// before it had ended. No task has it.
const StateDeleted State = "deleted"

// ReasonDeleted is the Reason in a journal of a child with [StateDeleted].
const ReasonDeleted = "the task was deleted before its end"

// ParentEnded is the reason with which the children of a task that has failed or
// was cancelled are cancelled.
func ParentEnded(parent uuid.UUID, s State) string {
	if s == StateCancelled {
		return fmt.Sprintf("its parent, task %s, was cancelled", parent)
	}
	return fmt.Sprintf("its parent, task %s, has failed", parent)
}

// Wait is a suspended task's condition to go on. Arrivals from before the run
// has read the journal count as well as later ones, so that nothing is lost in
// between. Its zero value waits only for the time, Outcome.After.
type Wait struct {
	// Seen is the greatest Came that the run knows, and Failed is how many entries
	// it knows for which [JournalEntry.Failed] is true.
	Seen, Failed int64
	// Need is how many more must come; the task is due when the greatest Came of
	// its journal is Seen + Need or more. With 0 nothing that comes counts.
	Need int64
	// FailFast makes the task due, too, when there are more than Failed entries
	// for which [JournalEntry.Failed] is true.
	FailFast bool
	// Name, if set, is of the only child or signal that counts: the task is
	// due when one of the name has a Came greater than Seen, regardless of
	// Need and FailFast.
	Name string
}

// Met reports whether the arrivals make the task due: came is the greatest
// Came of the journal, failed how many entries are Failed, and named the
// greatest Came of those called w.Name, 0 if there is none. It is for engines.
func (w *Wait) Met(came, failed, named int64) bool {
	switch {
	case w.Need <= 0:
		return false
	case w.Name != "":
		return named > w.Seen
	default:
		return came >= w.Seen+w.Need || w.FailFast && failed > w.Failed
	}
}

// ErrJournalFull means that the task remembers as much as it may.
var ErrJournalFull = errors.New("journal is full: go on in a successor, a task of the same function that is enqueued " +
	"with what it has to know, under runtime.WithKey of this task's id; then return")

// KeyHeldError says that a child was not spawned since another task holds its
// key.
type KeyHeldError struct {
	Entry  string    // the name in the journal
	Holder uuid.UUID // the other task
}

// Error names the child and the holder.
func (e *KeyHeldError) Error() string {
	return fmt.Sprintf("child %s was not spawned: its key is held by task %s", e.Entry, e.Holder)
}
