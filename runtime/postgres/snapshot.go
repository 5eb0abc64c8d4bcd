package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
)

// snapshotAge is the age from which on the log names a snapshot that keeps
// dead rows.
var snapshotAge = 5 * time.Minute // a variable for tests

// snapshotEvery is how often the log names one, in ages.
const snapshotEvery = 3

// snapshot is the oldest snapshot that the upkeep knows of.
type snapshot struct {
	id    string    // its holder, and its transaction
	since time.Time // when it was first seen
	told  time.Time
}

// watchSnapshots logs a snapshot that has been the oldest for long.
func (s *serve) watchSnapshots(ctx context.Context) (bool, error) {
	var kind, name, detail, xid string
	var seconds float64
	err := s.e.row(ctx, s.e.sql.holders, nil, &kind, &name, &detail, &xid, &seconds)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return false, fmt.Errorf("look for old snapshots: %w", err)
	}
	now := time.Now()
	if id := kind + " " + name + " " + xid; id != s.snapshot.id {
		s.snapshot.id, s.snapshot.since = id, now
	}
	if now.Sub(s.snapshot.told) < snapshotEvery*snapshotAge {
		return false, nil
	}
	const text = "an old snapshot keeps dead rows: tables grow, and looking for tasks costs more"
	age := now.Sub(s.snapshot.since)
	switch {
	case err == nil && age >= snapshotAge:
		age = max(age, time.Duration(seconds*float64(time.Second)))
		s.Log(slog.LevelWarn, text, slog.String(kind, name), slog.String("age", age.Round(time.Second).String()),
			slog.String("holder", detail))
	case s.dead.knownFor() >= snapshotAge:
		s.Log(slog.LevelWarn, text, slog.String("holder", "not to be seen: the engine's role may lack pg_read_all_stats"),
			slog.String("age", s.dead.knownFor().Round(time.Second).String()))
	default:
		return false, nil
	}
	s.snapshot.told = now
	return false, nil
}
