// Package sqlite is the engine that keeps tasks in one SQLite file: durable,
// on one machine, with no server. The library is pure Go.
//
//	engine, err := sqlite.Open("tasks.db", sqlite.Config{})
//
// # Durability
//
// When Insert returns, the tasks are in the file and outlive the process,
// however it ends. With [SyncNormal], the default, a power failure or a crash
// of the operating system can undo the newest commits, back to the last
// checkpoint of the write-ahead log. It never leaves the file damaged, and
// tasks whose end was undone run again. With [SyncFull] each commit is on the
// disk before its caller goes on. The default suits tasks that a request can
// enqueue again, at a tenth of the cost; choose the other one where a power
// failure must lose nothing.
//
// # Several processes
//
// Any number of processes on one machine may enqueue into and serve one file.
// Inside a process an enqueued task starts at once, and nothing polls. To find
// tasks of other processes, and their requests to cancel, a process asks
// SQLite every Config.PollInterval, 20 ms by default, whether the file has
// changed.
//
// One process writes at a time. All operations that wait in a process at the
// same moment share one transaction, and a process that is always busy lets
// the others have their turn every few milliseconds.
//
// # Lost workers
//
// A worker changes its row in the file, which is its beat, every fifth of
// Config.Lease, 15 s by default. A worker of another process takes its tasks
// over if it sees that beat unchanged while it makes as many beats of its own
// as fill the lease. They run again at the latest 7/5 of the lease after the
// crash, with one attempt used. If no other worker serves the file, that time
// begins when one does. No clock is compared between processes: neither a step
// of a clock nor a suspended machine takes a task from a worker that lives. A
// worker that was taken for lost cannot write an outcome any more.
//
// A process that is suspended, rather than killed, during a commit keeps
// SQLite's write lock until it goes on or ends. Until then nobody else can
// write: Enqueue in other processes answers [ErrBusy] after
// Config.BusyTimeout, and outcomes are kept and written later.
//
// A slot is free again once the outcome of its run is written. So the kill of
// a worker repeats at most as many runs as it has slots.
//
// # The file
//
// The sqlite3 command, of version 3.32 or later, can read the file at any
// time. The view "task" shows tasks in words:
//
//	sqlite3 tasks.db "SELECT id, name, state, attempt, reason, json_extract(tags, '$.plan') FROM task WHERE state = 'failed'"
//
// Its columns are seq, id, name, queue, state, attempt, retries, priority,
// args, tags, result and memo (JSON), reason, worker, and enqueued_at, due,
// started_at and ended_at as RFC 3339 text. The tables below it are described
// in schema/001.sql. A task may be enqueued by hand too:
//
//	sqlite3 tasks.db "INSERT INTO tasks(name, args) VALUES ('billing.Remind', '{\"customer\":\"c-42\"}')"
//
// While a worker serves, a task that succeeded is deleted after Message.Keep,
// one that failed or was cancelled after Message.KeepFailed. The room in the
// file is used again; the file does not shrink. The record of a task that
// holds a key stays as long as the key.
//
// Beside the file stand its write-ahead log, "-wal", and "-shm". They are part
// of it while it is open: copy it with sqlite3's .backup, not with cp. The log
// is usually below 20 MiB, and copied into the file every 10 s at least. While
// another program reads for long it grows, and a warning says so. A path that
// is a symbolic link means the file it leads to.
//
// A newer version of this package migrates an older file when it opens it. The
// file says from which version on it can still be read, in the table
// taskctx_schema and in SQLite's user_version: a program of such a version
// goes on, so that an update can be rolled back. A program that is too old
// ends with [ErrNewer] and leaves the file alone.
//
// # Failures
//
// Full disks, files that are read-only, damaged or locked have errors of their
// own, below. Every call ends with its context, even while another program
// holds the write lock: operations that the writer had not begun are not
// written. A full disk is used again once it has room. When the file, or its
// log, is deleted or replaced while it is open, Insert answers [ErrGone], and
// Serve returns it.
//
// A row that cannot be changed, by a trigger of another program for instance,
// is set aside for a minute, and parked with the reason if that can be
// written. Insert stores all or nothing. An outcome that cannot be written is
// kept and tried again until it is, since its task has run. Once the file
// turns out to be damaged, nothing more is written, and Serve returns.
package sqlite
