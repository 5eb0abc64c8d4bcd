// Package runtime runs typed background tasks: plain functions with the
// annotation //task:context, for which taskgen generates a typed Enqueue
// function and the registration.
//
// An [App] enqueues tasks on an [engine.Engine] and, once started, runs them:
//
//	app := runtime.New(memory.New(memory.Config{}), runtime.Config{Workers: 8})
//	billing.RegisterTasks(app)                                // generated
//	if err := app.Start(ctx); err != nil { ... }
//	defer app.Stop(context.Background())
//
//	h, err := billing.EnqueueChargeCard(ctx, app, "c-42", 1999) // generated
//	receipt, err := h.Wait(ctx)
//
// A task's first parameter is its context: a context.Context, a [*Context]
// with the task's metadata, logger and storage, or a pointer to a struct that
// embeds a *Context and has a field for each thing the task needs.
//
// Packages of their own are the engines, memory, sqlite, postgres and redis,
// and optional parts: local for task-local values, cron for schedules, otel for
// traces and metrics, tasktest for tests, engines to open an engine by its URL.
// hook has the types of what is plugged into an App, inspect those of what it says
// of itself; glue and wire are for generated code. This package imports only the
// standard library and google/uuid.
//
// The path of one task through this package: a generated function makes a
// [Call] (call.go). enqueue.go, enqueue_prepare.go and enqueue_insert.go make it
// an [engine.Message] and store it. The engine hands it to run_begin.go, which
// takes a slot (slot.go) and decodes the arguments (package wire). run_call.go
// builds the context and calls the function, run_settle.go waits for its
// goroutines and closes what it opened, run_decide.go turns its error into an
// outcome, and run_conclude.go hands that over. handle.go returns the result to
// the waiting caller. generated.go has what only generated code and the package glue call.
package runtime
