// Package postgres is an engine on PostgreSQL, for many machines. Its tasks are
// the jobs of River, https://riverqueue.com: the tables, states, notifications
// and migrations are River's, so that River UI, River's command, River clients
// and producers in other languages show, cancel, retry, pause and enqueue them.
//
//	e, err := postgres.Open(ctx, "postgres://app@db/app?schema=taskctx", postgres.Config{})
//	app := runtime.New(e, runtime.Config{Workers: 50})
//
// With app.In(tx) tasks are enqueued in a transaction of the caller's, a pgx.Tx or
// a *sql.Tx of pgx's driver: they exist if, and only if, it commits. With
// runtime.Commit the end of a task is written in the task's own.
//
// In a schema of its own, [Config.Schema], River's programs need its name: River
// UI reads it from the environment, as in RIVER_SCHEMA=taskctx, and River's
// command takes --schema taskctx.
//
// # What a task is to River
//
// The task's name is the job's kind, its arguments are the job's JSON, and its
// queue is the job's. Priorities 0 to 3 are River's 4 to 1. Tags are River's
// tags, as "key:value", where they fit. What else a task has is in the metadata
// under the one key "taskctx"; its result is under "output", where River's
// RecordOutput puts results. The task's id is a UUID made of the job's number.
// A job that a River client enqueued, of a kind that the worker knows, is run
// with the defaults of the task's registration.
//
// # Workers
//
// Workers are not River's. A River client was tried as the base and given up,
// for what a task is promised cannot be kept on it from outside: it has no
// lease, and takes the result of a worker that lost its job; it rescues by the
// time a job has run; it has a number of slots for each queue, not for a
// worker; it writes completions up to 250 ms later, and runs again what had
// ended when it was killed meanwhile; it cannot give a running job back. What
// could mend some of that is an interface that River marks as not for use.
//
// Instead one loop in each worker writes what has ended and claims as many
// tasks as slots are free, in one round trip and one commit, or, where there
// are many of both, on two connections at once. Such statements set what the
// planner may do, for their transaction: a plan that Postgres made for a small
// table has to serve a large one. What a run writes is fenced by its worker and
// attempt. A worker counts up in a row of its own while it lives; when the
// count has stood still for [Config.Lease], by the clock of whoever watches it,
// its tasks are given to others. So no clock that is set, on any machine, takes
// a task from a worker that is alive. A task of a worker that was killed runs
// again after the lease and about a fifth of it.
//
// Calls that enqueue at the same time are stored with one statement and one
// commit. Numbers of jobs are reserved before, some at a time, so that an enqueue
// whose answer is lost is sent again and stored once. When it cannot be found out
// in time whether it was stored, or the caller's context ends meanwhile, the error
// is a [engine.UncertainError] with the ids that the tasks would have. Tasks that
// several processes enqueue within seconds may be listed in another order.
//
// # Connections
//
// The engine connects by itself, with the configuration of the URL or of the pool
// that [New] was given: up to 8 connections, or as many as the pool may have, and
// one more for each worker that listens. It takes none of the caller's, so that
// a pool of any size can be used by handlers and for transactions.
//
// Each request has a bound in time, 5 s for most, although its context has none.
// After one that was not answered, and when a server has become read-only, all
// connections are made anew, so that a failover needs no restart.
//
// # What holds up nobody
//
// A transaction elsewhere that keeps an old snapshot, such as a backup, makes Postgres
// keep the dead versions of all jobs that have run since. A worker that has to read
// many of them begins each look where the last one has got to, and searches what
// may have come below a part at a time: such a task, one that another process has
// given back or let in, or whose caller's transaction took over a second to commit, may
// wait for five times as long as a search through the dead rows works. A snapshot that is held for over 5 minutes
// is a warning in the log, with who holds it; to see other roles' sessions the
// engine's role needs pg_read_all_stats.
//
// Where the server refuses to change a job, because of a trigger, a constraint or
// damage, the others go on. The log and the job's reason say why; it is tried again
// after 10 s, and then more rarely. A task whose end the server refuses fails, or, if
// that is refused too, goes on as running until it can be given back.
//
// # Keys and records
//
// Whether a key is held is asked of its holder's job when another task wants it:
// what River's tools end or delete frees its key. An enqueue with a key waits for
// a transaction that holds the same key, as long as any request.
//
// A record is forgotten by the engine after its own times; see [runtime.WithKeep]
// and [runtime.WithKeepFailed].
//
// # Limits
//
// A task that waits for a place under a limit is one of River's pending jobs, with
// the limit's rule in our metadata. Places are rows of a table of ours. Who gives
// or takes one locks the row of its key, in one order, and lets the next task in
// within the same transaction. A worker begins no run whose places it does not
// hold: what another program has made available waits again. A scan frees the
// places of tasks that another program has ended or deleted, of up to 5,000 keys
// of limits within each lease and worker.
//
// # Beside River
//
// By default everything is in a schema of its own, "taskctx", and touches
// nothing of a River that the database may have elsewhere. Name that River's
// schema in [Config.Schema] to share its tables, and mind:
//
//   - Give River's workers other queues than taskctx's, or set their
//     FetchOnlyKnownKinds: they fail jobs of kinds that they do not know.
//   - River's leader takes any job that has run for RescueStuckJobsAfter, 1 h
//     by default, for stuck, and discards kinds that it does not know. Set it
//     above the longest task.
//   - River's leader forgets ended jobs after its own times, 24 h by default for
//     those that succeeded and were cancelled, 7 days for those that failed,
//     however long the task is to be kept.
//   - Tasks of unknown kinds without our metadata are left for River's workers.
//
// # What the engine cannot do
//
//	option or promise             what happens
//	----------------------------  ---------------------------------------------
//	priorities other than 0 to 3  ErrUnsupported
//	names that River refuses      ErrUnsupported: 2 to 127 letters, digits and
//	                              _-[]<>/.·:+
//	queues over 127 characters    ErrUnsupported
//	over 30,000 retries           ErrUnsupported: River counts in 16 bits
//	a NUL character in arguments  an error from Enqueue; in results and memos it
//	                              is kept
//	a number that numeric cannot  an error from Enqueue; as a result the task
//	hold, such as 1e400000        fails
//	ErrQueueFull                  never: the table is not bounded
//	order of equal tasks          by due time and insertion, up to what workers
//	                              claim at the same time
//	a worker's own clock          tasks are due by the server's clock
//	JSON as it was written        jsonb reorders keys and rewrites numbers (1e2
//	                              is 100); values stay, a negative zero too
//	River's retry of a task that  counts as an attempt: with no retries left it
//	succeeded                     fails
//
// Notifications need a session of their own: through a pooler of transactions
// (PgBouncer), which the engine finds out, tasks are found by polling, every
// [Config.PollInterval], and no statement is prepared. A pooler of statements is
// refused with [engine.ErrUnsupported] when opening. What is enqueued in a
// transaction goes over the caller's connection: pgx has to be told there not to
// prepare statements.
//
// Whatever isolation level, DateStyle and TimeZone a database or role has by
// default, the engine works. The database's encoding is to be UTF8: in another one a
// text with a character that it lacks is an error from Enqueue, and as a result the
// task fails.
//
// # Versions
//
// A schema that a later version has changed says from which version on it can be
// read: where that version has only added tables or columns, this one works on.
// So a rollback needs nothing done. Else opening is [ErrNewerSchema].
package postgres
