package comingfrom

import (
	"context"
	"database/sql"
	"net/http"

	"github.com/taskctx/taskctx/runtime"
)

// DSN says where the database is. The app is given one at its start.
type DSN string

// DBContext is the context of tasks that write to the database.
type DBContext struct {
	*runtime.Context
	Tx *sql.Tx // from beginTx: one for each run of a task
}

// openDB opens the database, once for each worker.
//
//task:provide worker
func openDB(dsn DSN) (*sql.DB, func() error, error) {
	db, err := sql.Open("sqlite", string(dsn))
	if err != nil {
		return nil, nil, err
	}
	return db, db.Close, nil
}

// beginTx gives each run a transaction, which commits when the task succeeds,
// and rolls back when it fails or panics.
//
//task:provide task
func beginTx(ctx *runtime.Context, db *sql.DB) (*sql.Tx, func(error) error, error) {
	tx, err := db.BeginTx(ctx, nil)
	return tx, runtime.Commit(ctx, tx), err
}

// CreateUser adds a user.
//
//task:context queue=users retries=5
func CreateUser(ctx *DBContext, email, name string) error {
	m := ctx.Metadata() // a copy: task id, attempt, retries, when it was enqueued
	ctx.Logger().Info("create user", "attempt", m.Attempt, "of", m.MaxRetries, "since", m.EnqueuedAt)
	_, err := ctx.Tx.ExecContext(ctx, "INSERT INTO users (email, name) VALUES (?, ?)", email, name)
	return err
}

// signUp enqueues the task. The context is not among its arguments, and a wrong
// argument does not compile.
func signUp(ctx context.Context, app *runtime.App) error {
	_, err := EnqueueCreateUser(ctx, app, "ada@example.com", "Ada")
	return err
}

// clientKey is a value that a worker keeps from task to task.
var clientKey = runtime.NewKey("http client", runtime.PerWorker, func(c *http.Client) error {
	c.CloseIdleConnections()
	return nil
})

// Ping asks a site for its status.
//
//task:context
func Ping(ctx *runtime.Context, url string) (int, error) {
	client, err := runtime.Stored(ctx, clientKey, func(context.Context) (*http.Client, error) {
		return &http.Client{}, nil // by the first task of this worker that needs it
	})
	if err != nil {
		return 0, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	res, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	return res.StatusCode, res.Body.Close()
}
