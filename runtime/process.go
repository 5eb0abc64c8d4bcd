package runtime

import (
	"context"
	"reflect"
	"slices"
	"sync"

	"github.com/taskctx/taskctx/runtime/internal/link"
	"github.com/taskctx/taskctx/runtime/internal/store"
)

// processes are the stores of process scope of running apps. Apps that were
// supplied the same share one, so that a provider makes one value for the
// process. An app with other supplies, such as a test's fakes, has a store of
// its own.
var processes struct {
	mu   sync.Mutex // guards all below, and the fields of each
	list []*processStore
}

type processStore struct {
	store    store.Store
	supplies map[link.Type]any
	users    int
}

// joinProcess returns the store for apps with the supplies, made if no running
// app has it.
func joinProcess(ctx context.Context, supplies map[link.Type]any) *processStore {
	processes.mu.Lock()
	defer processes.mu.Unlock()
	for _, p := range processes.list {
		if sameSupplies(p.supplies, supplies) {
			p.users++
			return p
		}
	}
	p := &processStore{supplies: supplies, users: 1}
	p.store.Reopen(ctx)
	processes.list = append(processes.list, p)
	return p
}

// leave closes the store's values when no running app uses them any more.
func (p *processStore) leave() error {
	processes.mu.Lock()
	p.users--
	last := p.users == 0
	if last {
		processes.list = slices.DeleteFunc(processes.list, func(o *processStore) bool { return o == p })
	}
	processes.mu.Unlock()
	if !last {
		return nil
	}
	return p.store.Close(nil)
}

func sameSupplies(a, b map[link.Type]any) bool {
	if len(a) != len(b) {
		return false
	}
	for t, v := range a {
		w, ok := b[t]
		if !ok || !sameValue(reflect.ValueOf(v), reflect.ValueOf(w)) {
			return false
		}
	}
	return true
}

// sameValue reports whether two supplies are one: equal, or the same map or
// slice, since those cannot be compared. Two functions are never the same.
func sameValue(a, b reflect.Value) bool {
	if !a.IsValid() || !b.IsValid() || a.Type() != b.Type() {
		return a.IsValid() == b.IsValid() && !a.IsValid()
	}
	switch a.Kind() {
	case reflect.Map:
		return a.Pointer() == b.Pointer()
	case reflect.Slice:
		return a.Pointer() == b.Pointer() && a.Len() == b.Len()
	}
	return a.Comparable() && b.Comparable() && a.Equal(b)
}
