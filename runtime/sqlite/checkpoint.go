package sqlite

import (
	"sync/atomic"

	"github.com/taskctx/taskctx/runtime/sqlite/internal/lite"
)

// The write-ahead log is copied into the file beside the writer, on a
// connection of its own, since that waits for the disk. The writer then copies
// what came meanwhile, and the log begins anew.
const (
	checkpointAt = 8000  // frames of the log, of a page each
	checkpointBy = 64000 // the writer does not go on without one
)

type checkpointState struct {
	asked bool        // owned by the writer
	at    int         // owned by the writer: the length at which to ask next
	done  atomic.Bool // set by the checkpointer
}

// askCheckpoint asks for a checkpoint when the log has grown.
func (e *Engine) askCheckpoint() {
	frames := e.db.c.WALFrames()
	if frames < checkpointAt { // it began anew
		e.checkpoint.at = checkpointAt
		return
	}
	if frames > checkpointBy {
		e.checkpointNow()
	}
	if e.checkpoint.asked || frames < e.checkpoint.at {
		return
	}
	e.checkpoint.asked, e.checkpoint.at = true, frames+checkpointAt/4
	select {
	case e.checkpoints <- struct{}{}:
	default:
	}
}

// finishCheckpoint copies the rest of the log after the checkpointer's turn.
func (e *Engine) finishCheckpoint() {
	if e.checkpoint.asked && e.checkpoint.done.Swap(false) {
		e.checkpointNow()
		e.checkpoint.asked = false
	}
}

// checkpointNow copies what it can without waiting for others.
func (e *Engine) checkpointNow() {
	if err := e.db.c.Exec("PRAGMA wal_checkpoint(PASSIVE)"); err != nil {
		e.fault(e.explain(err))
	}
}

// runCheckpoints is the checkpointer goroutine. It ends when the writer does.
func (e *Engine) runCheckpoints() {
	var c *lite.Conn
	for range e.checkpoints {
		var err error
		if c == nil {
			c, err = lite.Open(e.path, false)
		}
		if err == nil {
			err = c.Exec("PRAGMA wal_checkpoint(PASSIVE)")
		}
		if err != nil && lite.Code(err) != lite.Busy {
			e.complain("cannot copy the write-ahead log into the file, and try again", "error", err)
		}
		e.checkpoint.done.Store(true)
		e.queue.ring()
	}
	if c != nil {
		c.Close()
	}
	close(e.checkpointed)
}
