//go:build unix

package engines_test

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
)

var durableKills = flag.Int("durablekills", 3, "how many worker processes TestDurable_Kills kills")

// The environment of a worker process of durable tasks.
const (
	envDurableURL    = "TASKCTX_DURABLE_URL"
	envDurableLedger = "TASKCTX_DURABLE_LEDGER"
)

func init() {
	next := asWorker
	asWorker = func() (bool, error) {
		if url := os.Getenv(envDurableURL); url != "" {
			return true, durableWorker(url, os.Getenv(envDurableLedger))
		}
		if next == nil {
			return false, nil
		}
		return next()
	}
}

// durableWorker is a worker process, which ends when its input does. Each effect of a step is
// a line of the ledger.
func durableWorker(url, ledger string) error {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	file, err := os.OpenFile(ledger, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	e, err := openShort(ctx, url)
	switch {
	case err != nil && ctx.Err() != nil: // the test was over before this process had begun
		return file.Close()
	case err != nil:
		return err
	}
	app := runtime.New(e, runtime.Config{Workers: 16, Logger: slog.New(slog.DiscardHandler)})
	w := &world{
		die: func() error {
			if rand.IntN(10) == 0 {
				return errDied
			}
			time.Sleep(rand.N(3 * time.Millisecond))
			return nil
		},
		did: func(step string) { fmt.Fprintln(file, step) },
	}
	w.register(app)
	return errors.Join(app.Run(ctx), e.Close(), file.Close())
}

// TestDurable_Kills: worker processes of durable tasks are killed again and again.
// Each child is enqueued once, and no parent waits for ever.
//
// Proves: FEATURES 82, 85, 87, RELIABILITY 38
func TestDurable_Kills(t *testing.T) {
	onJournals(t, func(t *testing.T, e engine.Engine, url string) {
		if url == "memory:" {
			t.Skip("its tasks are gone with the process")
		}
		ledger := filepath.Join(t.TempDir(), "ledger")
		app := runtime.New(e, runtime.Config{Logger: slog.New(slog.DiscardHandler)})
		began := time.Now()
		hs := enqueueParents(t, app, *parents, 0)
		var killed atomic.Int64
		done := make(chan struct{})
		var crew sync.WaitGroup
		for range 2 {
			crew.Go(func() {
				for {
					cmd := exec.Command(os.Args[0])
					cmd.Env = append(os.Environ(), envDurableURL+"="+url, envDurableLedger+"="+ledger)
					cmd.Stderr = os.Stderr
					in, err := cmd.StdinPipe()
					if err := errors.Join(err, cmd.Start()); err != nil {
						t.Error(err)
						return
					}
					life := time.Hour
					if killed.Load() < int64(*durableKills) {
						life = 300*time.Millisecond + rand.N(time.Second)
					}
					select {
					case <-time.After(life):
						_ = cmd.Process.Kill()
						_ = cmd.Wait()
						killed.Add(1)
					case <-done:
						_ = in.Close() // it may not have begun yet
						assert.NoError(t, cmd.Wait())
						return
					}
				}
			})
		}
		for killed.Load() < int64(*durableKills) { // or too few tasks run to kill them
			time.Sleep(50 * time.Millisecond)
			hs = append(hs, enqueueParents(t, app, 5, len(hs))...)
		}
		allEnd(t, app, hs)
		took := time.Since(began)
		close(done)
		crew.Wait()
		effects, most := readLedger(t, ledger)
		assert.Len(t, effects, 3*len(hs), "steps that had their effect")
		t.Logf("%d parents of 10 children, %d worker processes killed, in %v: each child enqueued once; %d steps, an effect at most %d times",
			len(hs), killed.Load(), took.Round(time.Millisecond), len(effects), most)
	})
}

// readLedger returns how often each step had its effect, and the most.
func readLedger(t *testing.T, path string) (effects map[string]int, most int) {
	t.Helper()
	file, err := os.Open(path)
	require.NoError(t, err)
	defer file.Close()
	effects = make(map[string]int)
	for s := bufio.NewScanner(file); s.Scan(); {
		effects[s.Text()]++
		most = max(most, effects[s.Text()])
	}
	return effects, most
}
