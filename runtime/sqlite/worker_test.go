//go:build unix

package sqlite_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/glue"
	"github.com/taskctx/taskctx/runtime/sqlite"
)

// workerFile, in the environment, makes the test binary a worker on the file of
// that name.
const workerFile = "TASKCTX_SQLITE_WORKER"

// workerApp, in the environment, makes it an App's worker.
const workerApp = "TASKCTX_SQLITE_APP"

// crashTask kills its worker process.
var crashTask = newAddTask("process.Crash")

// processSlots is how many tasks a worker process runs at a time.
const processSlots = 10

// The tasks of a worker process. Each run is a line in the journal, the file
// beside the tasks': who, when it starts and when it ends.
const (
	stepTask = "process.step" // takes about a millisecond
	holdTask = "process.hold" // ends when the file named in its arguments is there
	rateTask = "process.rate" // ends at once, and notes in another file when it began
)

// workerLease, in the environment, is the worker's lease, testLease by default.
const workerLease = "TASKCTX_SQLITE_LEASE"

func processConfig() sqlite.Config {
	lease := testLease
	if d, err := time.ParseDuration(os.Getenv(workerLease)); err == nil {
		lease = d
	}
	return sqlite.Config{Lease: lease, PollInterval: 5 * time.Millisecond}
}

// workerMain is the worker process. It ends at SIGTERM or when it is killed.
func workerMain(path string) {
	fail := func(err error) {
		fmt.Fprintln(os.Stderr, "worker:", err)
		os.Exit(1)
	}
	journal, err := os.OpenFile(path+".journal", os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		fail(err)
	}
	note := func(what string, d *engine.Delivery) {
		line := fmt.Sprintf("%s %s %07d %d\n", what, d.Message.Meta.ID, os.Getpid(), d.Attempt)
		if _, err := journal.WriteString(line); err != nil {
			fail(err)
		}
	}
	heeds := os.NewFile(3, "heeds")
	e, err := sqlite.Open(path, processConfig())
	if err != nil {
		fail(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	_ = heeds.Close()
	if os.Getenv(workerApp) != "" {
		app := runtime.New(e, runtime.Config{Workers: 2, Logger: discard})
		glue.Register(app, crashTask, func(*runtime.Context, *addArgs) (int, error) {
			return 0, syscall.Kill(os.Getpid(), syscall.SIGKILL)
		})
		if err := app.Run(ctx); err != nil {
			fail(err)
		}
		return
	}
	run := func(_ context.Context, d *engine.Delivery) engine.Outcome {
		if d.Message.Name == rateTask {
			if err := noteRate(path, d.Message.Limits[0].Key); err != nil {
				fail(err)
			}
			return engine.Outcome{Kind: engine.OutcomeSucceed}
		}
		note("start", d)
		switch d.Message.Name {
		case stepTask:
			time.Sleep(time.Duration(500+rand.IntN(1000)) * time.Microsecond)
		case holdTask:
			var file string
			_ = json.Unmarshal(d.Message.Args, &file)
			for !exists(file) {
				time.Sleep(time.Millisecond)
			}
		}
		note("end", d)
		return engine.Outcome{Kind: engine.OutcomeSucceed, Result: json.RawMessage(strconv.Itoa(os.Getpid()))}
	}
	err = e.Serve(ctx, &engine.Worker{
		ID: fmt.Sprintf("process-%d", os.Getpid()), Slots: processSlots, Queues: []string{"default"},
		Names: []string{holdTask, rateTask, stepTask}, ParkFor: time.Hour,
		Run:     run,
		Refused: func(d *engine.Delivery, _ engine.Outcome) { note("refused", d) },
	})
	if err == nil {
		err = e.Close()
	}
	if err != nil {
		fail(err)
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// suspend stops a worker process for a while, at a moment at which it does not
// write: one that does keeps the file locked, and everybody waits for it.
func (p *place) suspend(cmd *exec.Cmd) {
	p.t.Helper()
	db, err := sql.Open("sqlite", "file:"+p.path+"?_txlock=immediate&_pragma=busy_timeout(100)")
	if err != nil {
		p.t.Fatal(err)
	}
	defer db.Close()
	p.await("a moment at which the worker does not write", func() bool {
		if err := cmd.Process.Signal(syscall.SIGSTOP); err != nil {
			p.t.Fatal(err)
		}
		if _, err := syscall.Wait4(cmd.Process.Pid, nil, syscall.WUNTRACED, nil); err != nil { // it has stopped
			p.t.Fatal(err)
		}
		tx, err := db.Begin()
		if err == nil {
			err = tx.Rollback()
		}
		if err != nil {
			_ = cmd.Process.Signal(syscall.SIGCONT)
		}
		return err == nil
	})
}
