package redis

import (
	"context"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"
)

// listenLoop listens, on a connection of its own, to what other processes tell
// of new and cancelled tasks. Without it tasks are found by polling.
func (s *serve) listenLoop(ctx context.Context) {
	for pause := firstPause; ; pause = longer(pause) {
		began := time.Now()
		err := s.listen(ctx)
		s.listening.Store(false)
		if ctx.Err() != nil {
			return
		}
		s.warn("listen for news; polling meanwhile", err)
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
	sub := s.e.db.Subscribe(ctx, newChannel, controlChannel)
	defer sub.Close()
	stop := context.AfterFunc(ctx, func() { _ = sub.Close() }) // Receive does not see ctx end
	defer stop()
	for {
		m, err := sub.Receive(ctx)
		if err != nil {
			return err
		}
		switch m := m.(type) {
		case *redis.Subscription:
			s.listening.Store(true)
			signal(s.news) // and whatever was missed
			signal(s.check)
			s.sooner.at(0)
		case *redis.Message:
			s.heard(m)
		}
	}
}

// heard acts on a message.
func (s *serve) heard(m *redis.Message) {
	switch {
	case m.Channel == controlChannel:
		signal(s.check)
	case slices.Contains(s.w.Queues, m.Payload):
		signal(s.news)
		s.sooner.at(0) // it may be due later
	}
}
