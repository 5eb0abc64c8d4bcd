package sqlite

import (
	"context"
	"sync"

	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/sqlite/internal/lite"
)

// maxReaders bounds the connections that only read. Readers and the writer do
// not wait for each other.
const maxReaders = 4

// reader is a connection that only reads.
type reader struct {
	c   *lite.Conn
	one *lite.Stmt // selects one task by id

	journalOf, ownJournal *lite.Stmt // nil until they are needed
}

// readerPool lends readers, and makes them when they are first needed.
type readerPool struct {
	path  string
	names string        // prefix of the names of the tables
	slots chan struct{} // one for each reader that is lent
	mu    sync.Mutex
	free  []*reader // guarded by mu
	shut  bool      // guarded by mu
}

func (p *readerPool) open(path, names string) error {
	p.path, p.names, p.slots = path, names, make(chan struct{}, maxReaders)
	r, err := p.get(context.Background()) // the first one shows whether reading works
	if err == nil {
		p.put(r)
	}
	return err
}

func (p *readerPool) get(ctx context.Context) (*reader, error) {
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	p.mu.Lock()
	if p.shut {
		p.mu.Unlock()
		<-p.slots
		return nil, engine.ErrClosed
	}
	if n := len(p.free); n > 0 {
		r := p.free[n-1]
		p.free = p.free[:n-1]
		p.mu.Unlock()
		return r, nil
	}
	p.mu.Unlock()
	r, err := newReader(p.path, p.names)
	if err != nil {
		<-p.slots
	}
	return r, err
}

// reader lends a connection that reads, within ctx. The caller puts it back.
func (e *Engine) reader(ctx context.Context) (*reader, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	r, err := e.readers.get(ctx)
	return r, e.explain(err)
}

func newReader(path, names string) (*reader, error) {
	c, err := lite.Open(path, false)
	if err != nil {
		return nil, err
	}
	c.Prefix = names
	c.BusyTimeout(1000) // readers wait only in moments of recovery
	r := &reader{c: c}
	err = c.Exec("PRAGMA query_only = 1; PRAGMA cache_size = -1000; PRAGMA wal_autocheckpoint = 0")
	if err == nil {
		r.one, err = c.Prepare(selectEntry + " WHERE id = ?")
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return r, nil
}

func (p *readerPool) put(r *reader) {
	p.mu.Lock()
	if p.shut {
		r.c.Close()
	} else {
		p.free = append(p.free, r)
	}
	p.mu.Unlock()
	<-p.slots
}

// close closes the readers, and waits for those that are lent.
func (p *readerPool) close() {
	p.mu.Lock()
	p.shut = true
	free := p.free
	p.free = nil
	p.mu.Unlock()
	for _, r := range free {
		r.c.Close()
	}
	for range maxReaders {
		p.slots <- struct{}{}
	}
	for range maxReaders {
		<-p.slots
	}
}
