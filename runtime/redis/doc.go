// Package redis is the engine on Redis, for many machines that already run it.
// It keeps tasks as asynq does (github.com/hibiken/asynq, v0.26): the same
// keys, the same messages. A task's name is the task type, its arguments are
// the JSON payload, its queue, retries, result and retention are asynq's. So
// asynqmon, asynq's command and its Inspector show tasks as they are, and
// asynq's clients, of programs without taskctx too, enqueue them. The rest
// travels in one header, "taskctx", and stays in fields of the task's hash
// that begin with "taskctx".
//
// The worker is not asynq's. Asynq's server completes a task without asking
// whether it still owns it, frees the place of a handler that ignores its
// context while that still runs, cannot give a task back untouched, and makes
// several round trips for each task. Here one loop claims tasks and writes
// outcomes in lots, by scripts, and each outcome is written only if the run
// still owns the task.
//
// # Lost workers
//
// A worker counts up in a key of its own, its beat. If the beat stands still
// for Config.Lease, by the clock of the process that watches it, the worker is
// taken for lost, and its tasks run again, at most a fifth of the lease later;
// each uses an attempt. No wall clock takes part, so setting one cannot take a
// task from a worker that is alive. Asynq's own leases are set far ahead.
//
// While the server is away running tasks go on. Their outcomes are written
// when it is back, however long that takes, and no worker is taken for lost
// meanwhile.
//
// A server that falls silent, or becomes read-only after a failover, is left:
// the connections of an engine from Open are closed and made anew, and waiting
// goes on. An engine from New has the timeouts of its client.
//
// # Keys
//
// When another task wants a key, the record of its holder decides: a task that
// asynq's tools delete or archive frees its key, too. The record of a
// succeeded task stays as long as a key that it holds for a time. A key held
// for a time expires on the server. A key held until a task begins or ends is
// deleted then, and leftovers are searched for now and then.
//
// # Tasks that no worker knows
//
// A task of a name that a worker does not know holds up no other: the worker
// puts it among asynq's retries at once, with the reason. A worker that knows
// the name takes it from there at once. Until then it is looked at again at
// growing intervals, of 10 s to 5 min, and fails after Config.ParkFor. Many of
// them cost the others nothing.
//
// # Durable tasks
//
// A suspended task is in asynq's scheduled set, for the end of its wait; one
// that waits for ever for the year 2200. Its journal is a hash beside its own,
// and goes with its record. What comes for a task and its suspension are a
// script each, so that no wake-up is lost between them. The end of a child is
// written into its parent's journal by the script that ends the child.
//
// Asynq's tools may run a suspended task, which then looks at its journal and
// waits again; archive it, so that it has failed; and delete it. Ends of
// children that they have brought about are noticed when the parent's wait is
// over; if it has no end, by a look at all journals, every 5 minutes.
//
// # Lost answers
//
// If an answer is lost, the client sends its command again, up to its
// MaxRetries. Storing tasks and writing outcomes recognize their earlier
// attempts: a task is stored once, as long as its record stays, which is 10 s
// at least. When the tasks may or may not be stored, Insert returns an
// [engine.UncertainError] with their ids. An engine from New cannot
// distinguish a lost answer from a request that was never sent, so every error
// that is not the server's is an UncertainError. A Retry or Delete whose
// answer was lost may answer that the task is in the wrong state.
//
// # Durability
//
// A task is as durable as the server makes it. Redis by default loses changes
// since its last snapshot: set appendonly yes, and appendfsync always where no
// acknowledged task may be lost (everysec loses up to a second).
//
// # What this engine cannot do
//
//   - Priorities: a queue is a list. A priority other than 0 is
//     [engine.ErrUnsupported]; use queues.
//   - An order by due time among tasks that are due already: they run in the
//     order in which they became due at the server.
//   - More than one shard of a Redis Cluster for an app. A Ring is
//     [engine.ErrUnsupported].
//   - More than 100,000 tasks in one call of Insert.
//   - An exact count, for a minute or more after asynq's tools have moved or
//     deleted tasks, of the states that are one for asynq (pending and
//     retrying, failed and cancelled).
//   - Looking up, by id, a foreign task whose asynq id is not a UUID. It runs, and
//     is listed.
//   - Records of failed and cancelled tasks for longer than 90 days: asynq keeps none
//     longer. More (WithKeepFailed, Config.KeepFailed) is [engine.ErrUnsupported].
//   - More than 10,000 failed and cancelled tasks in a queue: as with asynq, the
//     oldest go first.
//
// The server must let the user publish to the channels that begin with
// "taskctx:", or the engine does not open (ACL SETUSER app &taskctx:*).
// Channels are the same for all databases of a server: workers on another
// database look for tasks more often, no more. A full server (noeviction)
// answers an enqueue with [engine.ErrQueueFull]; running tasks go on, and
// their outcomes are written.
//
// List sorts up to 10,000 tasks by age. Beyond that it goes queue by queue
// through asynq's collections (succeeded, failed and cancelled, running,
// pending, waiting for a retry, scheduled), each in its own order: tasks to be
// forgotten next, waiting longest, or due next come first. A call looks at
// 5,000 tasks and reads 4 MiB at most, and returns a cursor if there are more.
// It may miss a task that moves from one collection to another between two
// pages.
//
// The last two bytes of a task's id are a hash of its queue, so that Get need
// not ask all queues; for tasks of asynq's clients it asks all.
//
// A task that is cancelled or deleted while more than 10,000 wait in its queue
// leaves its entry in asynq's list, where asynq's tools show it until workers
// have come to it. This does not happen while servers of asynq are there.
//
// # Limits and rates
//
// A task with limits that is due is in asynq's scheduled set, with a time in the year
// 2200, so that no server of asynq runs it regardless of them: either ready, or until
// the end of another lets it in. The keys taskctx:limit... and taskctx:{limit:...}...
// are theirs. What asynq's tools delete, archive or run gives up its place within a
// lease, or later where more than 5,000 keys have places: a scan finds it. A rate goes
// by the server's clock. Pausing a queue looks through its tasks that are ready.
//
// # Clusters
//
// On a Redis Cluster all keys have one hash tag, Config.HashTag, so that they are in one
// slot, on one shard with its replicas: asynq:{tag}mail}:... for the queue mail, which
// asynq's tools call "tag}mail", asynq:{tag}:... for the queue tag, and taskctx:{tag}:... for
// our own. Apps of different tags do not see each other, and may be on different shards. All
// else is as on one server. docs/engines.md says more. Opened on a cluster of one shard
// by the URL of one server, an engine without a tag takes it for one server, and
// fails when the cluster gets more shards: set a tag before.
//
// A replica that takes the place of a shard, or of the server behind Sentinels, may not
// have the last writes: min-replicas-to-write bounds how many they can be.
//
// # Beside asynq
//
// An asynq server on the same queue also takes tasks of names that it does not
// know, and archives them when their retries are used up: give each kind of
// worker queues of its own. A queue that asynq's tools have paused is not
// served. Asynq's CancelProcessing does not reach tasks that run here: use
// App.Cancel.
package redis
