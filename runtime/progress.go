package runtime

import (
	"time"

	"github.com/taskctx/taskctx/runtime/hook"
	"github.com/taskctx/taskctx/runtime/inspect"
)

// saveEvery is the least time between two saves of a run's progress and log
// lines.
const saveEvery = time.Second

// Progress says how far the task has come. It is shown on the task's record: at
// most once a second while the task runs, and the last one when it ends.
// It does not wait for the engine. Outside a task it does nothing.
func (c *Context) Progress(done, total int64, note string) {
	r := c.runOrNil()
	if r == nil || r.life.Ended.Load() {
		return
	}
	r = r.whole()
	p := inspect.Progress{Done: done, Total: total, Note: clip(r.redactor().Clean(note)), At: time.Now().UTC()}
	x := r.more()
	x.mu.Lock()
	x.note().progress = &p
	r.saveLater(x, max(saveEvery-p.At.Sub(x.saved), 0))
	x.mu.Unlock()
	r.app.observe(event{Event: hook.Event{Kind: hook.EventProgress, Progress: p}, run: r})
}
