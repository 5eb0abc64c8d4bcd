package runtime_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	goruntime "runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/wire"
)

// bombs are JSON values of about 1 MB that are expensive to take apart.
func bombs() map[string]string {
	strs := make([]string, 60_000)
	same := make([]string, 9_000)
	for i := range strs {
		strs[i] = fmt.Sprintf("value-%07d", i)
	}
	for i := range same {
		same[i] = strings.Repeat("s", 90) + fmt.Sprint(i)
	}
	list := func(l any) string { b, _ := json.Marshal(l); return string(b) }
	return map[string]string{
		"nested, and long":       strings.Repeat("[", 9900) + `"` + strings.Repeat("x", 900_000) + `"` + strings.Repeat("]", 9900),
		"60,000 strings":         list(strs),
		"strings that are alike": list(same),
		"one string":             list(strings.Repeat("a", 1_000_000)),
		"lines":                  list(strings.Repeat("line of a document\n", 50_000)),
		"escapes":                `"` + strings.Repeat(`\u0041`, 160_000) + `"`,
		"base64":                 list(base64.StdEncoding.EncodeToString([]byte(strings.Repeat("bytes", 140_000)))),
		"digits":                 strings.Repeat("7", 1_000_000),
		"numbers":                list(make([]int, 400_000)),
	}
}

// bombTask has a redacted parameter, and bombTexts are what its arguments are
// looked for in.
func bombTask() unitTask[json.RawMessage, runtime.Void] {
	return newUnit[json.RawMessage, runtime.Void]("test.Bomb", func(s *wire.Spec) { s.Params[0].Redact = true })
}

func bombTexts() map[string]string {
	return map[string]string{
		"short": "open /etc/card: no such file", "alike": strings.Repeat("s", 20_000), "also": strings.Repeat("a", 20_000),
		"base64": strings.Repeat("YWFh", 5_000), "escapes": strings.Repeat(`\\u0041`, 3_000), "numbers": strings.Repeat("97 ", 7_000),
	}
}

// TestRedact_LinearInTheArguments: what it takes is bounded by their size, in any
// text. BenchmarkRedact_Bombs has the time.
//
// Proves: RELIABILITY 23
func TestRedact_LinearInTheArguments(t *testing.T) {
	u := bombTask()
	for name, bomb := range bombs() {
		call := u.call(json.RawMessage(bomb))
		for kind, text := range bombTexts() {
			bytes := uint64(1 << 40)
			for range 3 {
				var before, after goruntime.MemStats
				goruntime.ReadMemStats(&before)
				call.AnyCall.Redact(text)
				goruntime.ReadMemStats(&after)
				bytes = min(bytes, after.TotalAlloc-before.TotalAlloc)
			}
			assert.Less(t, bytes, uint64(10<<20), "%s, %s: bytes", name, kind)
		}
	}
}

// BenchmarkRedact_Bombs: 10 ms and 10 MB at most, for 1 MB of arguments.
func BenchmarkRedact_Bombs(b *testing.B) {
	u := bombTask()
	for name, bomb := range bombs() {
		call := u.call(json.RawMessage(bomb))
		for kind, text := range bombTexts() {
			b.Run(name+"/"+kind, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					call.AnyCall.Redact(text)
				}
			})
		}
	}
}

// Proves: RELIABILITY 23
func TestRedact_HostileMessagesEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		eng := newMemory(t)
		app := runtime.New(eng, runtime.Config{Logger: silent, Workers: 1, ParkFor: 3 * time.Minute, MaxPayload: 2 << 20})
		u := newUnit[string, runtime.Void]("test.Bomb", func(s *wire.Spec) { s.Params[0].Redact = true })
		u.handle(app, func(_ *runtime.Context, s string) (runtime.Void, error) {
			return runtime.Void{}, errors.New("charge " + s)
		})
		all := bombs()
		all["nested 100,000 deep"] = strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000)
		all["not JSON"] = strings.Repeat(`"\`, 1000)
		ctx := context.Background()
		handles := make(map[string]*runtime.Handle[runtime.Void])
		for name, bomb := range all {
			ins, err := eng.Insert(ctx, []*engine.Message{{Name: "test.Bomb", Queue: "default", Args: json.RawMessage(`{"v":` + bomb + `}`)}})
			require.NoError(t, err)
			handles[name] = runtime.HandleOf[runtime.Void](app, ins[0].ID)
		}
		start(t, app)
		for name, h := range handles {
			_, err := h.Wait(ctx)
			require.Error(t, err, name)
			assert.NotContains(t, err.Error(), "aaaaaaaa", name)
			assert.NotContains(t, err.Error(), "document", name)
			rec, err := h.Record(ctx)
			require.NoError(t, err, name)
			_, err = json.Marshal(rec)
			require.NoError(t, err, name)
		}
		require.NoError(t, app.Stop(ctx))
	})
}

// What is too large for this worker may be right for another: it is parked, and
// says why.
func TestMaxPayload_ParksWhatIsTooLargeHere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine := newMemory(t)
		u := newUnit[string, runtime.Void]("test.Large", func(s *wire.Spec) { s.Params[0].Redact = true })
		h, err := u.call(strings.Repeat("x", 2000)).Enqueue(context.Background(), runtime.New(engine, runtime.Config{}))
		require.NoError(t, err)
		small := runtime.New(engine, runtime.Config{Logger: silent, MaxPayload: 1000})
		u.handle(small, func(*runtime.Context, string) (runtime.Void, error) { return runtime.Void{}, nil })
		start(t, small)
		synctest.Wait()
		rec, err := small.Lookup(context.Background(), h.ID())
		require.NoError(t, err)
		assert.False(t, rec.State.Final())
		assert.Equal(t, "arguments are 2008 bytes, the limit here is 1000 (Config.MaxPayload)", rec.Reason)
		require.NoError(t, small.Stop(context.Background()))

		large := runtime.New(engine, runtime.Config{Logger: silent})
		u.handle(large, func(*runtime.Context, string) (runtime.Void, error) { return runtime.Void{}, nil })
		start(t, large)
		_, err = runtime.HandleOf[runtime.Void](large, h.ID()).Wait(context.Background())
		require.NoError(t, err)
		require.NoError(t, large.Stop(context.Background()))
	})
}
