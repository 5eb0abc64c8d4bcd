// Package redis is the engine on Redis, for many machines that already run it.
// It keeps tasks as asynq does (github.com/hibiken/asynq, v0.26): the same keys,
// the same messages. A task's name is the task type, its arguments are the JSON
// payload, its queue, retries, result and retention are asynq's, so that
// asynqmon, asynq's command and its Inspector show tasks as they are, and
// asynq's clients, of programs without taskctx too, enqueue them. What asynq has
// no place for travels in one header, "taskctx", and stays in fields of the
// task's hash that begin with "taskctx".
//
// The worker is not asynq's. Its server completes a task without asking whether
// the task is still its own, frees the place of a handler that ignores its
// context while that still runs, cannot give a task back untouched, and makes
// several round trips for each task. Here one loop claims tasks and writes
// outcomes in lots, by scripts, and each outcome is written only if the run
// still owns the task.
//
// # Lost workers
//
// A worker counts up in a key of its own. One whose count stands still for
// Config.Lease, by the clock of the process that watches it, is taken for lost,
// and its tasks run again, at most a fifth of the lease later; each uses an
// attempt. No wall clock takes part, so none that is set can take a task from a
// worker that is alive. Asynq's own leases are set far ahead.
//
// While the server is away running tasks go on; their outcomes are written when
// it is back, however long that takes, and nobody is taken for lost meanwhile.
//
// # Lost answers
//
// The client sends a command again when its answer was lost, as often as its
// MaxRetries says. Storing tasks and writing outcomes take notice of what they
// have done before. A Retry or Delete whose answer was lost may say that the task
// is not in the state for it.
//
// # Durability
//
// A task is as durable as the server makes it. Redis by default loses what came
// after its last snapshot: set appendonly yes, and appendfsync always where no
// acknowledged task may be lost (everysec loses up to a second).
//
// # What this engine cannot do
//
//   - Priorities: a queue is a list. A priority other than 0 is
//     [runtime.ErrUnsupported]; use queues.
//   - An order by due time among tasks that are due already: they run in the
//     order in which they became due at the server.
//   - A Redis Cluster or a Ring: one step may touch several queues.
//   - More than 100,000 tasks in one call of Insert.
//   - Exact counts of states that asynq does not tell apart (pending and
//     retrying, failed and cancelled) past 10,000 tasks of a queue in one of
//     asynq's states.
//   - Looking up, by id, a foreign task whose asynq id is not a UUID. It runs, and
//     is listed.
//   - Records for longer than 90 days: asynq keeps no failed task longer. More
//     (WithKeep, Config.KeepResults) is [runtime.ErrUnsupported].
//   - More than 10,000 failed and cancelled tasks in a queue: as with asynq, the
//     oldest go first.
//
// The server must let the user publish to the channels that begin with
// "taskctx:". Channels are the same for all databases of a server: workers on
// another one look for tasks more often, no more.
//
// List reads the ids of all tasks in the states asked for, to sort them; on a
// queue with millions of tasks ask for states that have few.
//
// # Beside asynq
//
// An asynq server that serves the same queue also takes tasks of names that it
// does not know, and archives them when its retries are used up: give each
// kind of worker queues of its own. A queue that asynq's tools have paused is
// not served. Asynq's CancelProcessing does not reach tasks that run here:
// use App.Cancel.
package redis
