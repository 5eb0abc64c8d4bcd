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

// listenLoop listens, on a connection of its own, to what River's clients and
// ours tell of new and cancelled tasks. Without it tasks are found by polling.
func (s *serve) listenLoop(ctx context.Context) {
	for pause := firstPause; ; pause = longer(pause) {
		began := time.Now()
		err := s.listen(ctx)
		s.listening.Store(false)
		if ctx.Err() != nil {
			return
		}
		s.warn("listen for notifications; polling meanwhile", err)
		if time.Since(began) > lastPause {
			pause = firstPause
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
	}
}

// listen listens until the connection fails.
func (s *serve) listen(ctx context.Context) error {
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
	s.listening.Store(true)
	signal(s.news) // and whatever was missed
	signal(s.check)
	s.sooner.at(0)
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
		if json.Unmarshal([]byte(n.Payload), &told) != nil || slices.Contains(s.w.Queues, told.Queue) {
			signal(s.news)
		}
	case s.e.sql.controlChannel: // a job cancelled, a queue paused or resumed
		signal(s.check)
	case s.e.sql.dueChannel:
		if us, err := strconv.ParseInt(n.Payload, 10, 64); err == nil {
			s.sooner.at(time.Duration(us) * time.Microsecond)
		}
	}
}

// nudge tells this process's own workers of new tasks, if nobody else can.
func (e *Engine) nudge() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for s := range e.serves {
		if !s.listening.Load() {
			signal(s.news)
		}
	}
}
