package runtime

import (
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"

	"github.com/taskctx/taskctx/runtime/engine"
)

// TestRun_Sizes: a run and arguments of a string and an int, made together, fill a
// size class of the allocator. One word more in the run is 32 bytes more a task.
func TestRun_Sizes(t *testing.T) {
	if unsafe.Sizeof(uintptr(0)) != 8 {
		t.Skip("the sizes are those of 64 bits")
	}
	type typed struct {
		run
		_ string
		_ int
	}
	assert.LessOrEqual(t, unsafe.Sizeof(typed{}), uintptr(256), "run")
	assert.LessOrEqual(t, unsafe.Sizeof(extras{}), uintptr(320), "extras")
	assert.LessOrEqual(t, unsafe.Sizeof(stepRun{}), uintptr(704), "the run of a step")
	assert.LessOrEqual(t, unsafe.Sizeof(engine.Delivery{}), uintptr(48), "delivery: with two words of an engine's, 64")
}

// TestMessage_Size: a handle and its message, made together, fill a size class.
func TestMessage_Size(t *testing.T) {
	if unsafe.Sizeof(uintptr(0)) != 8 {
		t.Skip("the sizes are those of 64 bits")
	}
	assert.LessOrEqual(t, unsafe.Sizeof(struct {
		handle
		engine.Message
	}{}), uintptr(384), "handle and message")
}
