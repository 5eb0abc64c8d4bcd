package runtime

import (
	"maps"
	"slices"
)

// worker is one start of an App: the slots, and the registered tasks, frozen.
type worker struct {
	app     *App
	id      string
	slots   *slots
	tasks   map[string]*registration // by name and alias
	handler Handler                  // the middleware around the task

	periodic []periodic // the calls of Every
	history  *history   // of Config.History, nil without it
}

// names returns the names that the worker can run, sorted.
func (w *worker) names() []string { return slices.Sorted(maps.Keys(w.tasks)) }
