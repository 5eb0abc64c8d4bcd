// Package runtime runs typed background tasks: plain functions that taskgen
// found by the annotation //task:context, and for which it generated a typed
// Enqueue function and the registration.
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
// A task's first parameter is its context: a context.Context, a [*Context] with
// the task's metadata, logger and storage, or a pointer to a struct that embeds
// a *Context and has fields for what the task needs.
//
// In packages of their own are the engines, memory, sqlite, postgres and redis,
// and what not every program needs: cron for schedules, otel for traces and
// metrics, tasktest for tests, engine to open an engine by its URL. This one
// imports nothing but the standard library and google/uuid.
//
// The path of one task through this package: a generated function makes a
// [Call] (call.go), producer.go makes it an [engine.Message] and inserts it, the engine
// hands it to worker.go, which takes a slot (slot.go) and decodes the arguments
// (fields.go); execution.go builds the context and calls the function;
// decide.go says what becomes of the task, and handle.go gives its result to
// whoever waits for it.
package runtime
