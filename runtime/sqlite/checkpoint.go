package sqlite

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/taskctx/taskctx/runtime/sqlite/internal/lite"
)

// The write-ahead log is copied into the file beside the writer, on a
// connection of its own, since that waits for the disk. The writer then copies
// the frames that came meanwhile, and the log begins anew.
const (
	checkpointAt = 8000  // frames of the log, of a page each
	checkpointBy = 64000 // the writer does not go on without a checkpoint
	// checkpointAfter is the longest time that a commit is in the log alone,
	// however short that is.
	checkpointAfter = 10 * time.Second
	// carefulAt is the length at which all is copied before more is written, for
	// carefulFor after the disk was full: the log must not take the room that its copy
	// needs.
	carefulAt  = 256
	carefulFor = time.Hour
	// maxLog is the size in bytes that the log keeps on the disk when it begins
	// anew, however long it was.
	maxLog = 4 * checkpointAt * pageSize
)

// checkpointState is owned by the writer, except done.
type checkpointState struct {
	asked bool
	at    int         // the length at which to ask next
	by    int         // the length at which the writer copies by itself next
	due   time.Time   // when to ask, however short the log is; zero when all is copied
	first bool        // all is copied before more is written
	until time.Time   // the log is kept short so long, for the disk was full; zero if it was not
	done  atomic.Bool // set by the checkpointer
}

// askCheckpoint asks for a checkpoint when the log has grown. now is the time
// of the last commit.
func (e *Engine) askCheckpoint(now time.Time) {
	cp := &e.checkpoint
	if cp.due.IsZero() {
		cp.due = now.Add(checkpointAfter)
	}
	frames := e.db.c.WALFrames()
	switch {
	case cp.until.IsZero():
	case now.After(cp.until):
		cp.until = time.Time{}
		e.limitLog(maxLog)
	case frames >= carefulAt:
		cp.first = true
	}
	if frames < checkpointAt { // it began anew
		cp.at, cp.by = checkpointAt, checkpointBy
		return
	}
	if frames > cp.by {
		e.checkpointNow()
		cp.by = frames + checkpointAt/4
	}
	if frames >= cp.at {
		cp.at = frames + checkpointAt/4
		e.startCheckpoint()
	}
}

func (e *Engine) startCheckpoint() {
	if e.checkpoint.asked {
		return
	}
	e.checkpoint.asked = true
	select {
	case e.checkpoints <- struct{}{}:
	default:
	}
}

// finishCheckpoint copies the rest of the log after the checkpointer's turn,
// and decides when to ask for the next one.
func (e *Engine) finishCheckpoint(now time.Time) {
	cp := &e.checkpoint
	if cp.asked && cp.done.Swap(false) {
		cp.asked, cp.due = false, time.Time{}
		if left := e.checkpointNow(); left > 0 {
			cp.due = now.Add(checkpointAfter)
		}
	}
	if !cp.due.IsZero() && !now.Before(cp.due) && e.broken == nil {
		cp.due = now.Add(checkpointAfter)
		e.startCheckpoint()
	}
}

// checkpointNow copies all it can without waiting for others. It returns how
// many frames are left, since somebody reads earlier ones.
func (e *Engine) checkpointNow() (left int) {
	frames, copied, err := e.db.c.Checkpoint()
	if err != nil {
		e.fault(e.explain(err))
		return 0
	}
	if left = frames - copied; left > checkpointBy {
		e.complain("the write-ahead log grows, for another program has been reading the file for long",
			"MiB", left*pageSize>>20)
	}
	return left
}

// wasFull notes that the disk was full. All is copied before more is written, now and
// whenever the log has grown a little: what is written when others give room back could
// take that which the copy needs, and nothing go on ever again.
func (e *Engine) wasFull() {
	cp := &e.checkpoint
	if cp.until.IsZero() {
		e.limitLog(carefulAt * pageSize)
	}
	cp.first, cp.until = true, time.Now().Add(carefulFor)
}

// limitLog sets how many bytes the log keeps on the disk when it begins anew: what it
// took before the disk was full is room for the file.
func (e *Engine) limitLog(size int) {
	if err := e.db.c.Exec(fmt.Sprintf("PRAGMA journal_size_limit = %d", size)); err != nil {
		e.complain("cannot limit the size of the write-ahead log", "error", err)
	}
}

// makeRoom copies the log into the file before more is written, if the disk was full:
// the log begins anew then, in the room that it has.
func (e *Engine) makeRoom() error {
	if !e.checkpoint.first {
		return nil
	}
	frames, copied, err := e.db.c.Checkpoint()
	if lite.Code(err) == lite.Full {
		return e.explain(err)
	}
	e.checkpoint.first = err != nil || copied < frames
	return nil //nolint:nilerr // it is tried again before the next transaction
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
			_, _, err = c.Checkpoint()
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
