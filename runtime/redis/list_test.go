package redis_test

import (
	"encoding/json"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/internal/servertest"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/redis"
)

// TestList_ManyQueues: the pages of a listing hold each task once, of so many queues
// that they are sorted as of so many that they are walked.
func TestList_ManyQueues(t *testing.T) {
	for _, n := range []int{300, 1200} {
		e := open(t, servertest.NewRedis(t).URL+"0", redis.Config{Logger: quiet})
		var ms []*engine.Message
		for i := range n {
			ms = append(ms, &engine.Message{Name: "task.a", Queue: "queue-" + strconv.Itoa(i), Args: json.RawMessage(`{}`)})
		}
		_, err := e.Insert(t.Context(), ms)
		require.NoError(t, err)
		for _, newest := range []bool{false, true} {
			seen := map[string]int{}
			q := engine.Query{Brief: true, Newest: newest}
			for more := true; more; more = q.Cursor != "" {
				entries, next, err := e.List(t.Context(), q)
				require.NoError(t, err)
				for _, entry := range entries {
					seen[entry.Message.Queue]++
				}
				q.Cursor = next
			}
			require.Len(t, seen, n)
			for queue, times := range seen {
				assert.Equal(t, 1, times, queue)
			}
		}
	}
}
