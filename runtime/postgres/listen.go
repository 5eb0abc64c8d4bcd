package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Bounds of the listener's connection.
const (
	// proveEvery is how often the server is asked whether the connection still
	// works.
	proveEvery = 10 * time.Second
	// quietTimeout bounds its requests.
	quietTimeout = 5 * time.Second
)

// Listen implements [remote.Store]: it listens, on a connection of its own, to
// the notifications of River's clients and ours about new and cancelled tasks.
func (s *serve) Listen(ctx context.Context) error {
	conn, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = conn.Close(closing)
	}()
	pooled, err := s.behindPooler(ctx, conn)
	if err != nil {
		return err
	}
	if pooled {
		s.Warn("listen for news; polling instead",
			errors.New("a connection pooler shares each session among its clients, so that no notification arrives"))
		return s.lookNowAndThen(ctx)
	}
	for _, channel := range []string{s.e.sql.insertChannel, s.e.sql.controlChannel, s.e.sql.dueChannel} {
		if err := execWithin(ctx, conn, "LISTEN "+pgx.Identifier{channel}.Sanitize()); err != nil {
			return err
		}
	}
	if err := s.lookSince(ctx, time.Since(s.deaf)+time.Second); err != nil {
		return err
	}
	s.Listening()
	for {
		s.deaf = time.Now() // until here it has heard all, if it fails now
		waiting, cancel := context.WithTimeout(ctx, proveEvery)
		n, err := conn.WaitForNotification(waiting)
		over := waiting.Err() != nil && ctx.Err() == nil
		cancel()
		switch {
		case err == nil:
			s.heard(n)
		case !over || conn.IsClosed():
			return err
		default:
			if err := proveWriter(ctx, conn); err != nil {
				return err
			}
		}
	}
}

// lookSince lets the upkeep look at tasks that were cancelled or failed within the time
// before, in which nobody may have heard of it.
func (s *serve) lookSince(ctx context.Context, d time.Duration) error {
	return s.e.steered(ctx, s.e.sql.journal.missed, []any{d.Microseconds(), missedLot}, func(scan func(...any) error) error {
		var job int64
		err := scan(&job)
		s.lookLater(job)
		return err
	})
}

// lookNowAndThen is lookSince again and again, where no notification arrives.
func (s *serve) lookNowAndThen(ctx context.Context) error {
	t := time.NewTicker(proveEvery)
	defer t.Stop()
	for {
		began := time.Now()
		if err := s.lookSince(ctx, time.Since(s.deaf)+time.Second); err != nil {
			return err
		}
		s.deaf = began
		select {
		case <-t.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// connect makes the listener's connection.
func (s *serve) connect(ctx context.Context) (*pgx.Conn, error) {
	cc := s.e.pool.Config().ConnConfig
	cc.OnNotification = nil // the listener waits for those
	ctx, cancel := context.WithTimeout(ctx, quietTimeout)
	defer cancel()
	return pgx.ConnectConfig(ctx, cc)
}

func execWithin(ctx context.Context, conn *pgx.Conn, text string) error {
	ctx, cancel := context.WithTimeout(ctx, quietTimeout)
	defer cancel()
	_, err := conn.Exec(ctx, text)
	return err
}

// proveWriter fails unless the server answers and can write: after a failover
// the old server has no writers, and so no notifications.
func proveWriter(ctx context.Context, conn *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, quietTimeout)
	defer cancel()
	var standby bool
	const isStandby = "SELECT pg_is_in_recovery() OR current_setting('transaction_read_only')::bool"
	if err := conn.QueryRow(ctx, isStandby).Scan(&standby); err != nil {
		return err
	}
	if standby {
		return errors.New("the server cannot write")
	}
	return nil
}

// behindPooler reports whether the connection's session is shared with others,
// as by a pooler of transactions or statements.
func (s *serve) behindPooler(ctx context.Context, conn *pgx.Conn) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, quietTimeout)
	defer cancel()
	session := func(q interface {
		QueryRow(context.Context, string, ...any) pgx.Row
	}) (pid uint32, err error) {
		err = q.QueryRow(ctx, "SELECT pg_backend_pid()").Scan(&pid)
		return pid, err
	}
	first, err := session(conn)
	if err != nil || first == conn.PgConn().PID() {
		return false, err
	}
	// There is a pooler. If it shares sessions, it gives this one to a
	// transaction of another connection, or another one to us meanwhile.
	for range 3 {
		other, err := s.e.pool.Begin(ctx)
		if err != nil {
			return false, err
		}
		theirs, err := session(other)
		var ours uint32
		if err == nil {
			ours, err = session(conn)
		}
		_ = other.Rollback(ctx)
		if err != nil {
			return false, err
		}
		if theirs == first || ours != first {
			return true, nil
		}
	}
	return false, nil
}

// heard acts on a notification.
func (s *serve) heard(n *pgconn.Notification) {
	switch n.Channel {
	case s.e.sql.insertChannel:
		var told struct {
			Queue string `json:"queue"`
		}
		if json.Unmarshal([]byte(n.Payload), &told) != nil {
			s.News()
		} else if slices.Contains(s.Queues, told.Queue) {
			s.NewsOf(told.Queue)
		}
	case s.e.sql.controlChannel: // a job cancelled, a queue paused or resumed
		s.Check()
		var told struct {
			Action string `json:"action"`
			Job    int64  `json:"job_id"`
		}
		if json.Unmarshal([]byte(n.Payload), &told) == nil && told.Action == "cancel" {
			s.lookLater(told.Job)
		}
	case s.e.sql.dueChannel:
		if n.Payload == namesChanged {
			s.Check()
			return
		}
		if us, err := strconv.ParseInt(n.Payload, 10, 64); err == nil {
			s.Due(time.Duration(us) * time.Microsecond)
		}
	}
}
