package web

import "time"

// pauseIn names what is paused or resumed: a queue, or the tasks of a name.
type pauseIn struct {
	Queue string `json:"queue,omitempty" doc:"a queue"`
	Name  string `json:"name,omitempty" doc:"tasks of this name, in all queues"`
	// Schedule is one whose ticks are left out.
	Schedule string `json:"schedule,omitempty" doc:"a schedule, whose ticks are left out"`
}

// pauseOut lists the pauses.
type pauseOut struct {
	Paused []pausedInfo `json:"paused"`
}

type pausedInfo struct {
	Queue string    `json:"queue,omitempty"`
	Name  string    `json:"name,omitempty"`
	Since time.Time `json:"since,omitzero"`
}

// pause pauses or resumes, logs who did, and answers with the pauses after it.
func (q *request) pause(in *pauseIn, resume bool) (out pauseOut, err error) {
	what := "pause"
	if resume {
		what = "resume"
	}
	defer func() {
		q.h.audit(q.Request, Pause, err, "do", what, "queue", clean(in.Queue, maxName), "name", clean(in.Name, maxName),
			"schedule", clean(in.Schedule, maxName))
	}()
	said := 0
	for _, s := range []string{in.Queue, in.Name, in.Schedule} {
		if s != "" {
			said++
		}
	}
	if said != 1 {
		return out, badRequest("say one of queue, name and schedule")
	}
	do, name := q.h.app.Pause, in.Queue
	switch {
	case in.Schedule != "" && resume:
		do, name = q.h.app.ResumeSchedule, in.Schedule
	case in.Schedule != "":
		do, name = q.h.app.PauseSchedule, in.Schedule
	case in.Name != "" && resume:
		do, name = q.h.app.ResumeTask, in.Name
	case in.Name != "":
		do, name = q.h.app.PauseTask, in.Name
	case resume:
		do = q.h.app.Resume
	}
	ctx, cancel := q.store()
	defer cancel()
	if err := do(ctx, name); err != nil {
		return out, err
	}
	q.h.stale()
	return q.paused()
}

// paused lists the pauses.
func (q *request) paused() (pauseOut, error) {
	out := pauseOut{Paused: []pausedInfo{}}
	ctx, cancel := q.store()
	defer cancel()
	all, err := q.h.app.Paused(ctx)
	for _, p := range all {
		out.Paused = append(out.Paused, pausedInfo{p.Queue, p.Name, p.Since})
	}
	return out, err
}

// pauseForm pauses or resumes, and shows the queues.
func (q *request) pauseForm(resume bool) (*view, error) {
	in := &pauseIn{Queue: q.PostForm.Get("queue"), Name: q.PostForm.Get("name"), Schedule: q.PostForm.Get("schedule")}
	if _, err := q.run(Pause, func() (any, error) { return q.pause(in, resume) }); err != nil {
		return nil, err
	}
	to := "queues"
	if in.Schedule != "" {
		to = "schedules"
	}
	redirect(q.w, q.root+to)
	return nil, nil
}
