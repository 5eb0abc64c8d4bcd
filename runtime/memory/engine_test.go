package memory_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/enginetest"
	"github.com/taskctx/taskctx/runtime/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestEngine(t *testing.T) {
	open := func(t testing.TB, cfg memory.Config) engine.Engine {
		e := memory.New(cfg)
		t.Cleanup(func() {
			if err := e.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		})
		return e
	}
	enginetest.Run(t, func(t testing.TB) engine.Engine { return open(t, memory.Config{}) }, enginetest.Options{
		Bounded: func(t testing.TB, capacity int) engine.Engine { return open(t, memory.Config{Capacity: capacity}) },
		Tasks:   2000,
	})
}
