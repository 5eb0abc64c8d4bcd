package enginetest

import (
	"errors"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime/engine"
)

// begin begins a transaction on the database of the engine.
func (b *bench) begin() (Transaction, joined) {
	b.Helper()
	tx := b.o.Begin(b, b.e)
	b.Cleanup(func() { _ = tx.Rollback() })
	return tx, b.join(tx)
}

// joined is the Inserter of Join.
type joined interface {
	engine.Inserter
	engine.Concluder
}

func (b *bench) join(tx Transaction) joined {
	b.Helper()
	t, ok := engine.As[engine.Transactor](b.e)
	if !ok {
		b.Fatal("Options.Begin is set, and the engine is no Transactor")
	}
	j, err := t.Join(b.ctx(), tx.Tx)
	if err != nil {
		b.Fatalf("Join of a transaction on the engine's own database: %v", err)
	}
	c, ok := j.(joined)
	if !ok {
		b.Fatal("what Join returns is no Concluder")
	}
	return c
}

func (b *bench) must(what string, err error) {
	b.Helper()
	if err != nil {
		b.Fatalf("%s: %v", what, err)
	}
}

// conclude writes the success of a run in the transaction.
func (b *bench) conclude(j joined, h *handed, o engine.Outcome) (committed func()) {
	b.Helper()
	o.Kind = engine.OutcomeSucceed
	committed, err := j.Conclude(b.ctx(), h.d, o)
	b.must("Conclude", err)
	return committed
}

func (b *bench) unknown(when string, id uuid.UUID) {
	b.Helper()
	if _, err := b.e.Get(b.ctx(), id); !errors.Is(err, engine.ErrNotFound) {
		b.Errorf("Get %s: %v, want ErrNotFound", when, err)
	}
}

// txTask is a run that is concluded in its transaction, at the second try if undo.
func (b *bench) txTask(h *handed, undo bool, children chan<- uuid.UUID) error {
	t, _ := engine.As[engine.Transactor](b.e)
	for {
		tx := b.o.Begin(b, b.e)
		err := func() error {
			defer func() { _ = tx.Rollback() }()
			if err := tx.Write(); err != nil {
				return err
			}
			in, err := t.Join(b.ctx(), tx.Tx)
			if err != nil {
				return err
			}
			j := in.(joined)
			ins, err := j.Insert(b.ctx(), []*engine.Message{b.message("task.child"), b.message("task.child")})
			if err != nil {
				return err
			}
			committed, err := j.Conclude(b.ctx(), h.d, engine.Outcome{Kind: engine.OutcomeSucceed})
			if err != nil || undo {
				return err
			}
			if err := tx.Commit(); err != nil {
				return err
			}
			committed()
			for _, in := range ins {
				children <- in.ID
			}
			return nil
		}()
		if err != nil || !undo {
			h.succeed()
			return err
		}
		undo = false
	}
}
