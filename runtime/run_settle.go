package runtime

import (
	"errors"
	"fmt"

	"github.com/taskctx/taskctx/runtime/internal/guard"
)

// closeScoped runs the cleanups of task scope with the task's error.
func (r *run) closeScoped(cause error) error {
	if x := r.extras(); x != nil {
		return x.scoped.Close(cause)
	}
	return nil
}

// waitChildren waits for the goroutines that the task started, and joins their
// errors to the task's. No more can start from then on.
func (r *run) waitChildren(err error) error {
	r.returned.Store(true)
	x := r.extras()
	if x == nil { // adopt, if it is called now, sees that the task has returned
		return err
	}
	c := &x.children
	c.wait()
	r.flags.broken = r.flags.broken || c.broken
	failed := c.failed
	c.failed = nil // said once
	for _, child := range failed {
		cerr, waited := child.Failed()
		if waited {
			continue
		}
		switch {
		case err == nil:
			return cerr
		case guard.Is(err, ErrSuspended) && !guard.Is(cerr, ErrSuspended):
			return errors.Join(err, fmt.Errorf("a child: %w", cerr)) // a branch that has failed
		}
		return fmt.Errorf("%w; then a child: %s", err, guard.Text(cerr))
	}
	return err
}

// settle ends the goroutines of the task and closes its values, and returns
// its error with theirs.
func (r *run) settle(err error) error {
	err = r.waitChildren(err)
	if d := r.remembered(); d != nil {
		err = d.leave(err)
	} else if err == nil {
		err = r.unspawned()
	}
	if r.taskErr = err; err == nil {
		r.taskErr = guard.ErrGoexit // unless the cleanups return
	}
	if cerr := r.closeScoped(err); cerr != nil {
		if err == nil {
			err = cerr
		} else {
			err = fmt.Errorf("%w; then %w", err, cerr)
		}
	}
	r.taskErr = err
	return err
}
