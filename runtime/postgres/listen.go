package postgres

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Listen implements [remote.Store]: it listens, on a connection of its own, to
// what River's clients and ours tell of new and cancelled tasks.
func (s *serve) Listen(ctx context.Context) error {
	conn, err := pgx.ConnectConfig(ctx, s.e.pool.Config().ConnConfig)
	if err != nil {
		return err
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = conn.Close(closing)
	}()
	for _, channel := range []string{s.e.sql.insertChannel, s.e.sql.controlChannel, s.e.sql.dueChannel} {
		if _, err := conn.Exec(ctx, "LISTEN "+pgx.Identifier{channel}.Sanitize()); err != nil {
			return err
		}
	}
	s.Listening()
	for {
		n, err := conn.WaitForNotification(ctx)
		if err != nil {
			return err
		}
		s.heard(n)
	}
}

// heard acts on a notification.
func (s *serve) heard(n *pgconn.Notification) {
	switch n.Channel {
	case s.e.sql.insertChannel:
		var told struct {
			Queue string `json:"queue"`
		}
		if json.Unmarshal([]byte(n.Payload), &told) != nil || slices.Contains(s.Queues, told.Queue) {
			s.News()
		}
	case s.e.sql.controlChannel: // a job cancelled, a queue paused or resumed
		s.Check()
	case s.e.sql.dueChannel:
		if us, err := strconv.ParseInt(n.Payload, 10, 64); err == nil {
			s.Due(time.Duration(us) * time.Microsecond)
		}
	}
}
