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

// setAlarm makes the alarm fire when the next task is due, or has waited too
// long for a worker that knows it.
func (e *Engine) setAlarm(now time.Time) {
	if len(e.serves) == 0 {
		e.alarm.stop()
		return
	}
	var at time.Time
	if t := e.later.top(); t != nil {
		at = t.due
	}
	for _, g := range e.lanes.groups {
		if g.parks && g.n > 0 {
			if end := g.longest().due.Add(g.parkFor); at.IsZero() || end.Before(at) {
				at = end
			}
		}
	}
	if at.IsZero() {
		return
	}
	if latest := now.Add(maxAlarm); at.After(latest) {
		at = latest
	}
	if e.alarm.timer == nil {
		e.alarm.timer = time.AfterFunc(at.Sub(now), e.tick)
	} else if e.alarm.at.IsZero() || at.Before(e.alarm.at) {
		e.alarm.timer.Reset(at.Sub(now))
	} else {
		return
	}
	e.alarm.at = at
}

// tick is called by the alarm.
func (e *Engine) tick() {
	e.mu.Lock()
	var wakes wakeList
	if len(e.serves) > 0 {
		e.alarm.at = time.Time{}
		wakes = e.tickLocked()
	}
	e.mu.Unlock()
	wakes.do()
}

// tickLocked moves on what the time, or a change of the workers, has moved on:
// tasks that are due now, and tasks that nobody knew for too long.
func (e *Engine) tickLocked() wakeList {
	var wakes wakeList
	now := e.now()
	for t := e.later.top(); t != nil && !t.due.After(now); t = e.later.top() {
		e.later.remove(t)
		e.lanes.group(t.msg.Queue, t.msg.Name, e.serves).insert(t)
		e.ready.Add(1)
	}
	for _, g := range e.lanes.groups {
		for g.parks && g.n > 0 {
			t := g.longest()
			if t.due.Add(g.parkFor).After(now) {
				break
			}
			e.dequeue(t)
			t.setReason(fmt.Sprintf("no worker of queue %q has known a task named %q for %v",
				t.msg.Queue, t.msg.Name, g.parkFor))
			e.end(t, failed, now, nil)
		}
		if g.n > 0 {
			wakes.add(g.summon())
		}
	}
	e.setAlarm(now)
	return wakes
}
