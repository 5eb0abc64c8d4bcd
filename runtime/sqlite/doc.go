// Package sqlite is the engine that keeps tasks in one SQLite file: durable,
// for one machine, without a server. Any number of processes may share a file.
//
//	engine, err := sqlite.Open("tasks.db")
//
// A task is stored when its Enqueue returns. One goroutine of each process
// writes; what callers and workers want written at the same moment shares a
// commit. Inside a process nothing polls; a change by another process is
// noticed within [WithPoll]. The driver is pure Go.
package sqlite
