package web

import "github.com/taskctx/taskctx/runtime/inspect"

type none struct{}

func get(path, summary string) operation {
	return operation{method: "GET", path: path, action: View, summary: summary}
}

func post(a Action, path, summary string) operation {
	return operation{method: "POST", path: path, action: a, summary: summary}
}

// endpoints adds the API.
func (h *handler) endpoints() {
	h.readEndpoints()
	h.taskEndpoints()
	h.controlEndpoints()
	h.mux.HandleFunc("GET /api/events", h.events)
	h.describe()
}

func (h *handler) readEndpoints() {
	endpoint(h, get("/api/queues", "How many tasks each queue has in each state, and since when the oldest of them is due."),
		func(q *request, _ *none) (queuesOut, error) {
			ctx, cancel := q.store()
			defer cancel()
			s, err := q.h.snapshot(ctx)
			if err != nil {
				return queuesOut{}, err
			}
			return queuesOut{Queues: s.queues()}, nil
		})
	endpoint(h, get("/api/health", "Whether the store answers: 503 while it does not."),
		func(q *request, _ *none) (healthOut, error) { return q.health() })
	endpoint(h, get("/api/workers", "The workers that are alive."),
		func(q *request, _ *none) (workersOut, error) { return q.workers() })
	endpoint(h, get("/api/tasks", "Tasks that a filter selects, page by page."), (*request).list)
	endpoint(h, get("/api/tasks/{id}", "One task, with all that is known of it."), (*request).lookup)
	endpoint(h, get("/api/tasks/{id}/metadata",
		"What the store has with a task beside its arguments and its result, without what is redacted."), (*request).metadata)
	endpoint(h, get("/api/tasks/{id}/journal", "What a durable task remembers: steps, children, signals and times."), (*request).journal)
	endpoint(h, get("/api/count", "How many tasks a filter selects, to 10,000."), (*request).count)
	endpoint(h, get("/api/causes", "Why tasks failed, of the newest that did; with the state retrying why tasks are retried."),
		(*request).causes)
	endpoint(h, get("/api/definitions", "The tasks that can be enqueued by name, with their parameters."),
		func(q *request, _ *none) (definitionsOut, error) {
			return definitionsOut{Tasks: append([]inspect.TaskInfo{}, q.h.app.Tasks()...)}, nil
		})
}

func (h *handler) taskEndpoints() {
	endpoint(h, post(Enqueue, "/api/tasks", "Enqueues a task by its name. Its arguments are checked as a worker would."),
		(*request).enqueue)
	endpoint(h, post(Retry, "/api/tasks/{id}/retry", "Runs a task once more that failed or was cancelled."),
		func(q *request, in *taskIn) (done, error) { return q.act(Retry, in.ID, "") })
	endpoint(h, post(Run, "/api/tasks/{id}/run", "Runs a task now that is scheduled or to be retried. Pauses and limits hold."),
		func(q *request, in *taskIn) (done, error) { return q.act(Run, in.ID, "") })
	endpoint(h, post(Cancel, "/api/tasks/{id}/cancel", "Cancels a task. One that runs is told to stop."),
		func(q *request, in *cancelIn) (done, error) { return q.act(Cancel, in.ID, in.Reason) })
	endpoint(h, post(Delete, "/api/tasks/{id}/delete", "Forgets a task that does not run."),
		func(q *request, in *taskIn) (done, error) { return q.act(Delete, in.ID, "") })
	for a, summary := range map[Action]string{
		Retry:  "Runs those of many tasks once more that failed or were cancelled.",
		Run:    "Runs those of many tasks now that are scheduled or to be retried.",
		Cancel: "Cancels those of many tasks that have not ended.",
		Delete: "Forgets those of many tasks that do not run.",
	} {
		endpoint(h, post(a, "/api/"+string(a), summary), func(q *request, in *bulkIn) (bulkOut, error) { return q.bulk(a, in) })
	}
}

func (h *handler) controlEndpoints() {
	endpoint(h, get("/api/schedules", "The schedules of this process, and those whose tasks are found."),
		func(q *request, _ *none) (schedulesOut, error) { return q.schedules() })
	endpoint(h, post(Enqueue, "/api/schedules/run", "Enqueues the task of a schedule of this process now."), (*request).runSchedule)
	endpoint(h, get("/api/paused", "What is paused."), func(q *request, _ *none) (pauseOut, error) { return q.paused() })
	endpoint(h, post(Pause, "/api/pause", "Pauses a queue, or the tasks of a name: those that run go on."),
		func(q *request, in *pauseIn) (pauseOut, error) { return q.pause(in, false) })
	endpoint(h, post(Pause, "/api/resume", "Ends a pause."),
		func(q *request, in *pauseIn) (pauseOut, error) { return q.pause(in, true) })
	endpoint(h, get("/api/limits", "How many tasks run and wait under each limit."),
		func(q *request, _ *none) (limitsOut, error) { return q.limits() })
	endpoint(h, post(Limit, "/api/limits", "Sets how many tasks of each key of a rule may run at a time."), (*request).setLimit)
	endpoint(h, get("/api/history", "What became of tasks over time, and how long they waited and ran, if workers count it."),
		(*request).history)
	endpoint(h, get("/api/graph", "Which queues have which tasks, and which tasks enqueue which, as the newest tell."),
		func(q *request, _ *none) (graphOut, error) { return q.graph() })
	decode := get("/api/tasks/{id}/args", "The arguments of a task as they were before the app's codec, without what is redacted.")
	decode.action = Decode
	endpoint(h, decode, (*request).decodedArgs)
}
