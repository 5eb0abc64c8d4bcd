package engines_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/glue"
	"github.com/taskctx/taskctx/runtime/hook"
)

// bytesCodec makes one string of the arguments, as a cipher would, which is no
// object any more.
type bytesCodec struct{}

func (bytesCodec) Encode(_ hook.Binding, args json.RawMessage) (json.RawMessage, error) {
	return json.Marshal([]byte(args))
}

func (bytesCodec) Decode(_ hook.Binding, args json.RawMessage) (b json.RawMessage, err error) {
	var plain []byte
	err = json.Unmarshal(args, &plain)
	return plain, err
}

// What a codec makes of the arguments is what an engine stores and hands out,
// whatever JSON it is.
//
// Proves: FEATURES 62
func TestEngines_Codec(t *testing.T) {
	for name, url := range engineURLs {
		t.Run(name, func(t *testing.T) {
			p := newPair(t, url(t), func() runtime.Config {
				return runtime.Config{
					Queues: []string{"asked"}, Codec: bytesCodec{}, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
				}
			})
			glue.Register(p.worker, askTask, func(_ *runtime.Context, a *askArgs) (answers, error) {
				return answers{Name: a.secret, Attempt: a.depth}, nil
			})
			p.start(t)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			h, err := askCall(7, "canary").Enqueue(ctx, p.web)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := h.Wait(ctx); err != nil || got.Name != "canary" || got.Attempt != 7 {
				t.Errorf("the task got %q and %d, %v", got.Name, got.Attempt, err)
			}
			entry, err := p.web.Engine().Get(ctx, h.ID())
			if err != nil {
				t.Fatal(err)
			}
			if stored := string(entry.Message.Args); !strings.HasPrefix(stored, `"`) || strings.Contains(stored, "canary") {
				t.Errorf("stored is %s", stored)
			}
		})
	}
}
