package sqlite_test

import (
	"path/filepath"
	"sync"
	"testing"

	"github.com/taskctx/taskctx/runtime/sqlite"
)

// TestOpen_Together: processes that open a new file at the same moment all find
// it whole, whoever makes its schema.
func TestOpen_Together(t *testing.T) {
	for round := range 30 {
		path := filepath.Join(t.TempDir(), "tasks.db")
		start := make(chan struct{})
		var opening sync.WaitGroup
		for range 6 {
			opening.Go(func() {
				<-start
				e, err := sqlite.Open(path, sqlite.Config{})
				if err != nil {
					t.Errorf("round %d: %v", round, err)
					return
				}
				if err := e.Close(); err != nil {
					t.Errorf("round %d: %v", round, err)
				}
			})
		}
		close(start)
		opening.Wait()
	}
}
