package hostile

import . "context"

func dotted(ctx *Outer) error {
	defer called(Background()) // want `context.Background in a task knows nothing of it`
	return called(TODO())      // want `context.TODO in a task does not stop with it`
}
