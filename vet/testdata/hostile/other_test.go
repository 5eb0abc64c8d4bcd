package hostile

import (
	"context"
	"testing"

	"github.com/taskctx/taskctx/runtime"
)

func TestNil(t *testing.T) {
	runtime.Permanent(nil)
	NilCall()
	if err := Nil(context.Background()); err != nil {
		t.Fatal(err)
	}
}
