// Package tasktest runs tasks in a user's tests, without an engine, and
// asserts what was enqueued.
//
// [Run] runs one attempt of a task in one line, through everything a worker
// does: the arguments are encoded and decoded, the context is built, middleware
// and cleanups run.
//
//	receipt, err := tasktest.Run(t, billing.RegisterTasks, billing.ChargeCardCall("c-1", 100),
//		tasktest.WithAttempt(2), tasktest.Supply[mail.Sender](fake))
//
// [Context] and [ContextOf] make a context with which a test calls a task
// function itself. [NewRecorder] is an Enqueuer that only keeps what was
// enqueued. It runs nothing, so a task that waits for another gets an error at
// once, unless [Recorder.Answer] says what became of that one. With [Start] and [Idle]
// a test runs a whole app, and within testing/synctest in no time, whatever the
// tasks' delays.
//
// [Play] runs a durable task through all its runs, in virtual time, with its
// children answered by [Answer] and its signals sent by [Send]; [DyingEverywhere]
// kills it wherever it has recorded something. [Begin] takes it from wait to wait.
package tasktest
