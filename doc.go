// Package taskctx is the root of a toolkit for typed background tasks; the
// code is in the packages below it.
//
// A task is a plain function under the directive //task:context. The generator,
// run as
//
//	//go:generate go tool taskgen
//
// writes for each a typed function that enqueues it, and the registration by
// which a worker builds its context and calls it. Package runtime runs tasks on
// an engine: runtime/memory in this process, runtime/sqlite on a file,
// runtime/postgres on PostgreSQL by River, runtime/redis on Redis by asynq.
//
// Begin with examples/hello, the smallest whole program.
package taskctx
