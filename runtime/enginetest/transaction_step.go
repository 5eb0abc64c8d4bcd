package enginetest

import "github.com/taskctx/taskctx/runtime/engine"

// testTxRecorded: an entry of a journal is there with the transaction.
func testTxRecorded(b *bench) {
	id := b.insert("task.tx")
	s := b.serve([]string{"task.tx"})
	h := s.next()
	step := []engine.NewEntry{{Name: "step", Kind: engine.EntryStep, Value: []byte(`{"n":12345678901234567890}`)}}
	for _, commit := range []bool{false, true} {
		tx, j := b.begin()
		b.must("write a row", tx.Write())
		out, err := j.(engine.Recorder).Record(b.ctx(), h.d, step)
		b.must("Record", err)
		if len(out) != 1 || out[0].Name != "step" || string(out[0].Value) != string(step[0].Value) {
			b.Errorf("Record answered with %+v", out)
		}
		if es := b.journal(id); len(es) != 0 {
			b.Errorf("before the commit the journal is %+v, want nothing", es)
		}
		if commit {
			b.must("commit", tx.Commit())
			continue
		}
		b.must("rollback", tx.Rollback())
	}
	if es := h.read(); len(es) != 1 || es[0].Name != "step" || !exactJSON(es[0].Value, step[0].Value) {
		b.Errorf("after the commit the journal is %+v", es)
	}
	h.record(engine.NewEntry{Name: "more", Kind: engine.EntryStep})
	h.succeed()
	s.mustStop()
}

func testTxRecordedLate(b *bench) {
	id := b.insert("task.tx")
	s := b.serve([]string{"task.tx"})
	h := s.next()
	h.succeed()
	b.until(id, engine.StateSucceeded)
	s.mustStop()
	_, j := b.begin()
	_, err := j.(engine.Recorder).Record(b.ctx(), h.d, []engine.NewEntry{{Name: "step", Kind: engine.EntryStep}})
	b.is("Record of a run that was concluded", err, engine.ErrLeaseLost)
}
