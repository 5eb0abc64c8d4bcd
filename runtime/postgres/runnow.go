package postgres

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime/engine"
)

var _ engine.NowRunner = (*Engine)(nil)

// runNowSQL makes a job due now that waits for its time. One with a key of River's
// own stays scheduled, for promoteUniqueSQL to look at, and one that waits for its
// turn goes on waiting. It answers with the job's state before, "" if there is
// none, and whether it was suspended.
const runNowSQL = `
WITH moved AS (
	UPDATE {s}.river_job j SET scheduled_at = now(),
		state = CASE WHEN j.unique_key IS NULL AND j.state <> 'pending' THEN 'available' ELSE j.state END
	WHERE j.id = $1 AND (j.state IN ('scheduled', 'retryable') OR {aside}) AND NOT {isparked} AND j.scheduled_at > now()
	RETURNING j.queue, j.state::text AS state
), told AS (
	SELECT pg_notify($2::text, json_build_object('queue', queue)::text) FROM moved WHERE state = 'available'
	UNION ALL
	SELECT pg_notify($3::text, '0') FROM moved WHERE state IN ('scheduled', 'retryable')
)
SELECT coalesce(max(j.state::text), ''), coalesce(bool_or({waits}), false), (SELECT count(*) FROM told)
FROM {s}.river_job j WHERE j.id = $1`

// RunNow implements [engine.NowRunner].
func (e *Engine) RunNow(ctx context.Context, id uuid.UUID) error {
	job, err := e.find(id)
	if err != nil {
		return err
	}
	var state string
	var waits bool
	var told int
	if err := e.row(ctx, e.sql.runNow, []any{job, e.sql.insertChannel, e.sql.dueChannel}, &state, &waits, &told); err != nil {
		return e.failed("postgres", err)
	}
	switch state {
	case "":
		return engine.ErrNotFound
	case riverScheduled, riverRetryable, riverAvailable:
		return nil
	case riverPending:
		if !waits {
			return nil
		}
		return fmt.Errorf("%w: it is %s", engine.ErrState, engine.StateWaiting)
	}
	return fmt.Errorf("%w: it runs or has ended", engine.ErrState)
}
