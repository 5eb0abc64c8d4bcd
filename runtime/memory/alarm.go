package memory

import (
	"fmt"
	"time"
)

// maxAlarm is the longest time between two looks at due tasks, while there are
// later ones: setting the wall clock makes a timer wrong.
const maxAlarm = time.Minute

// alarm is the one timer of an engine. It runs while somebody serves.
type alarm struct {
	timer *time.Timer
	at    time.Time
}

func (a *alarm) stop() {
	if a.timer != nil {
		a.timer.Stop()
		*a = alarm{}
	}
}

// setAlarm makes the alarm fire at the time, if it would fire later.
func (e *Engine) setAlarm(at, now time.Time) {
	if len(e.serves) == 0 {
		return
	}
	if latest := now.Add(maxAlarm); at.After(latest) {
		at = latest
	}
	switch {
	case e.alarm.timer == nil:
		e.alarm.timer = time.AfterFunc(at.Sub(now), e.tick)
	case e.alarm.at.IsZero() || at.Before(e.alarm.at):
		e.alarm.timer.Reset(at.Sub(now))
	default:
		return
	}
	e.alarm.at = at
}

// tick is called by the alarm.
func (e *Engine) tick() {
	for more := true; more; {
		e.lock()
		more = false
		if len(e.serves) > 0 {
			e.alarm.at = time.Time{}
			more = e.moveOn()
		}
		e.unlock()
	}
}

// moveOn does some of the due work, and reports whether there is more: it
// hands over tasks whose time has come, and gives up tasks that no worker
// could run for too long. Then it sets the alarm.
func (e *Engine) moveOn() (more bool) {
	now := e.now()
	e.scatter(now)
	more = e.moveDue(now) || len(e.lanes.scattered) > 0
	more = e.openRates(now) || more
	for _, g := range e.lanes.parked {
		more = e.giveUp(g, now) || more
	}
	return more
}

// moveDue hands over some of the tasks whose time has come, and reports
// whether there are more.
func (e *Engine) moveDue(now time.Time) (more bool) {
	for range lotTasks {
		t := e.later.top()
		if t == nil {
			return false
		}
		if t.due.After(now) {
			e.setAlarm(t.due, now)
			return false
		}
		if t.state == suspended {
			e.resume(t, now)
			continue
		}
		e.later.remove(int(t.pos))
		e.enter(t, false, now)
	}
	return true
}

// giveUp ends some of the tasks that no worker could run for too long.
func (e *Engine) giveUp(g *group, now time.Time) (more bool) {
	for range lotTasks {
		t := g.longest()
		if t == nil {
			return false
		}
		if end := t.due.Add(g.parkFor); end.After(now) {
			e.setAlarm(end, now)
			return false
		}
		e.dequeue(t)
		t.setReason(fmt.Sprintf("no worker of queue %q has known a task named %q for %v",
			t.msg.Queue, t.msg.Name, g.parkFor))
		e.end(t, failed, now, nil)
	}
	return true
}

// scatter brings some of the tasks of a dissolved group to their new groups,
// in the order in which they are to run.
func (e *Engine) scatter(now time.Time) {
	for n := 0; n < scatterTasks && len(e.lanes.scattered) > 0; n++ {
		g := e.lanes.scattered[0]
		t := g.head()
		if t == nil {
			e.lanes.scattered = e.lanes.scattered[1:]
			continue
		}
		g.remove(t)
		e.ready.Add(-1) // enter counts it again
		e.enter(t, false, now)
	}
}

// workersChanged sorts the due tasks by the workers that can run them now, and
// has them run.
func (e *Engine) workersChanged() {
	e.inbox.shut()
	e.regroup()
	e.giveUpPlaces()
	if len(e.serves) == 0 {
		e.alarm.stop()
		return
	}
	for _, g := range e.lanes.groups {
		if g.n > 0 {
			e.wakes.add(g.summon())
		}
	}
	if e.moveOn() { // the rest, once others have had the lock
		now := e.now()
		e.setAlarm(now, now)
	}
}
