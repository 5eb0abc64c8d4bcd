//go:build unix

package redis_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/taskctx/taskctx/internal/servertest"
	"github.com/taskctx/taskctx/internal/servertest/process"
	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/redis"
)

func TestMain(m *testing.M) {
	process.Main(work)
	goleak.VerifyTestMain(m)
}

// These tell a worker process of its database, and of another for the ledger if that is not
// there.
const envURL, envLedger = "REDIS_TEST_URL", "REDIS_TEST_LEDGER"

// ledger is a hash with a field for each run of a step: what makes it unlike
// any other, and the run. Noting a run twice is noting it once.
const ledger = "test:ledger"

// work is a worker process.
func work(ctx context.Context, slots int) error {
	url := os.Getenv(envURL)
	db, err := client(cmp.Or(os.Getenv(envLedger), url))
	if err != nil {
		return err
	}
	e, err := redis.Open(ctx, url, redis.Config{Lease: process.WorkerLease()})
	if err != nil {
		return errors.Join(err, db.Close())
	}
	app := runtime.New(e, runtime.Config{Workers: slots})
	process.Register(app, func(ctx context.Context, id string, r process.Run) error {
		return db.HSet(ctx, ledger, id, fmt.Sprint(r.N, r.Attempt, r.PID)).Err()
	})
	return errors.Join(app.Run(ctx), e.Close(), db.Close())
}

// storage is a database, or the shard of a cluster, with a ledger there or elsewhere.
type storage struct {
	db, ledger  *goredis.Client
	queue, ours string // how keys begin
}

// newCrew returns worker processes on the database.
func newCrew(tb testing.TB, url string) *process.Crew {
	tb.Helper()
	db, err := client(url)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = db.Close() })
	e := open(tb, url, redis.Config{Lease: process.Lease})
	app := runtime.New(e, runtime.Config{Logger: testLog(tb)})
	return process.NewCrew(tb, storage{db, db, "asynq:{" + engine.DefaultQueue + "}:", "taskctx:"}, app, envURL+"="+url)
}

// newClusterCrew returns worker processes on a cluster.
func newClusterCrew(tb testing.TB, servers []*servertest.Server) *process.Crew {
	tb.Helper()
	url, _ := servertest.Redis(tb)
	ledger, err := client(url)
	require.NoError(tb, err)
	tb.Cleanup(func() { _ = ledger.Close() })
	shard, _ := holderOf(tb, servers, redis.DefaultHashTag)
	db, err := client(shard.URL + "0")
	require.NoError(tb, err)
	tb.Cleanup(func() { _ = db.Close() })
	app := runtime.New(open(tb, servers[0].URL, redis.Config{Lease: process.Lease}), runtime.Config{Logger: testLog(tb)})
	const tag = redis.DefaultHashTag
	s := storage{db, ledger, "asynq:{" + tag + "}" + engine.DefaultQueue + "}:", "taskctx:{" + tag + "}:"}
	return process.NewCrew(tb, s, app, envURL+"="+servers[1].URL, envLedger+"="+url)
}

// size returns how many tasks asynq's collections of a queue hold.
func (s storage) size(collections ...string) (n int, err error) {
	p := s.db.TxPipeline()
	var sizes []*goredis.IntCmd
	for _, name := range collections {
		key := s.queue + name
		if name == "pending" || name == "active" {
			sizes = append(sizes, p.LLen(context.Background(), key))
		} else {
			sizes = append(sizes, p.ZCard(context.Background(), key))
		}
	}
	_, err = p.Exec(context.Background())
	for _, s := range sizes {
		n += int(s.Val())
	}
	return n, err
}

// Left implements [process.Storage].
func (s storage) Left() (int, error) { return s.size("pending", "active", "scheduled", "retry") }

// Succeeded implements [process.Storage].
func (s storage) Succeeded() (int, error) { return s.size("completed") }

// Workers implements [process.Storage].
func (s storage) Workers() (int, error) {
	keys, err := s.db.Keys(context.Background(), s.ours+"beat:*").Result()
	return len(keys), err
}

// Runs implements [process.Storage].
func (s storage) Runs() ([]process.Run, error) {
	noted, err := s.ledger.HVals(context.Background(), ledger).Result()
	if err != nil {
		return nil, err
	}
	rs := make([]process.Run, len(noted))
	for i, n := range noted {
		if _, err := fmt.Fscan(strings.NewReader(n), &rs[i].N, &rs[i].Attempt, &rs[i].PID); err != nil {
			return nil, fmt.Errorf("the ledger has %q: %w", n, err)
		}
	}
	return rs, nil
}

func TestServe_KilledWorkers(t *testing.T) {
	slow(t)
	process.Killed(t, newCrew(t, server(t)))
}

// TestServe_KilledWorkersOfCluster is the same on a cluster of three shards.
//
// Proves: FEATURES 117
func TestServe_KilledWorkersOfCluster(t *testing.T) {
	slow(t)
	t.Parallel()
	process.Killed(t, newClusterCrew(t, servertest.NewRedisCluster(t, 3)))
}

func TestServe_Recovery(t *testing.T) {
	slow(t)
	process.Recovery(t, newCrew(t, server(t)))
}

func TestServe_ThreeProcesses(t *testing.T) {
	slow(t)
	process.Three(t, newCrew(t, server(t)))
}

func TestServe_SuspendedWorker(t *testing.T) {
	slow(t)
	process.Suspended(t, newCrew(t, server(t)))
}

func TestServe_ServerRestart(t *testing.T) {
	slow(t)
	t.Parallel()
	server := servertest.NewRedis(t)
	process.Restarted(t, newCrew(t, server.URL+"0"), server)
}

// Proves: FEATURES 95
func TestLimit_KilledWorkers(t *testing.T) {
	slow(t)
	t.Parallel()
	url := servertest.NewRedis(t).URL + "0" // the test wants no other limits there
	process.Limited(t, newCrew(t, url), open(t, url, redis.Config{Lease: process.Lease}))
}

// Proves: FEATURES 96
func TestRate_Processes(t *testing.T) {
	slow(t)
	t.Parallel()
	process.Rated(t, newCrew(t, servertest.NewRedis(t).URL+"0"))
}

// Proves: FEATURES 97
func TestOrder_KilledWorkers(t *testing.T) {
	slow(t)
	t.Parallel()
	url := servertest.NewRedis(t).URL + "0"
	process.InOrder(t, newCrew(t, url), open(t, url, redis.Config{Lease: process.Lease}))
}
