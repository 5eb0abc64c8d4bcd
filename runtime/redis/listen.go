package redis

import (
	"context"
	"errors"
	"os"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"
)

// Listen implements [remote.Store]: on a connection of its own it listens to
// other processes' messages about new and cancelled tasks.
func (s *serve) Listen(ctx context.Context) error {
	sub := s.e.db.Subscribe(ctx, s.e.newChannel, s.e.controlChannel)
	defer sub.Close()
	stop := context.AfterFunc(ctx, func() { _ = sub.Close() }) // Receive does not see ctx end
	defer stop()
	for asked := false; ; {
		m, err := sub.ReceiveTimeout(ctx, listenTimeout)
		switch {
		case err == nil:
			asked = false
		case !asked && errors.Is(err, os.ErrDeadlineExceeded): // perhaps the server is gone
			if err := sub.Ping(ctx); err != nil {
				return err
			}
			asked = true
			continue
		default:
			return err
		}
		switch m := m.(type) {
		case *redis.Subscription:
			s.Listening()
		case *redis.Message:
			s.heard(m)
		}
	}
}

// listenTimeout is how long the connection is silent before the server is
// asked whether it is there, and how long the answer may take.
const listenTimeout = 5 * time.Second

// heard acts on a message.
func (s *serve) heard(m *redis.Message) {
	switch {
	case m.Channel == s.e.controlChannel:
		s.Check()
	case m.Payload == namesResumed:
		s.resumed.Store(true)
		s.News()
	case slices.Contains(s.Queues, m.Payload):
		s.NewsOf(m.Payload)
		s.dueIn(m.Payload) // it may be due later
	}
}
