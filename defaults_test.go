package taskctx_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/taskctx/taskctx/annotations"
	"github.com/taskctx/taskctx/runtime/wire"
)

// taskgen leaves out what the runtime takes for granted, and its help says what
// that is.
func TestDefaults_AreTheSameWhenGeneratingAndWhenRunning(t *testing.T) {
	assert.Equal(t, annotations.DefaultDelay, wire.DefaultDelay)
	assert.Equal(t, float64(annotations.DefaultBackoff), wire.DefaultBackoff)
	assert.Equal(t, annotations.DefaultMaxDelay, wire.DefaultMaxDelay)
	help := annotations.Help(annotations.Context)
	for _, text := range []string{`retries=N .*\(default 3\)`, `delay=.*\(default 1s\)`, `backoff=.*\(default 2\)`, `maxdelay=.*\(default 1h\)`} {
		assert.Regexp(t, text, help)
	}
}
