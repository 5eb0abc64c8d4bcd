package memory

import (
	"fmt"
	"time"
)

// maxAlarm is the longest time between two looks at what is due, while
// something will be: a wall clock may be set, and then a timer that was right
// no longer is.
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
	e.lock()
	if len(e.serves) > 0 {
		e.alarm.at = time.Time{}
		e.moveOn()
	}
	e.unlock()
}

// moveOn does what is due: it hands over tasks whose time has come, and gives
// up those that no worker could run for too long. Then it sets the alarm.
func (e *Engine) moveOn() {
	now := e.now()
	for t := e.later.top(); t != nil; t = e.later.top() {
		if t.due.After(now) {
			e.setAlarm(t.due, now)
			break
		}
		e.later.remove(t)
		e.enter(t, false, now)
	}
	for _, g := range e.lanes.parked {
		for t := g.longest(); t != nil; t = g.longest() {
			if end := t.due.Add(g.parkFor); end.After(now) {
				e.setAlarm(end, now)
				break
			}
			e.dequeue(t)
			t.setReason(fmt.Sprintf("no worker of queue %q has known a task named %q for %v",
				t.msg.Queue, t.msg.Name, g.parkFor))
			e.end(t, failed, now, nil)
		}
	}
}

// workersChanged sorts the due tasks by who can run them now, and has them run.
func (e *Engine) workersChanged() {
	e.inbox.shut()
	e.regroup()
	if len(e.serves) == 0 {
		e.alarm.stop()
		return
	}
	for _, g := range e.lanes.groups {
		if g.n > 0 {
			e.wakes.add(g.summon())
		}
	}
	e.moveOn()
}
