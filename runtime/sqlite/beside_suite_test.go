//go:build unix && !race

package sqlite_test

import (
	"testing"

	"github.com/taskctx/taskctx/runtime/sqlite"
)

// TestEngine_Beside holds the engine to the contract in a file of an app's own tables.
// Other statements run there than in TestEngine and the same code, of which that one has
// the race detector look at all.
func TestEngine_Beside(t *testing.T) { testEngine(t, sqlite.Config{Beside: true}) }
