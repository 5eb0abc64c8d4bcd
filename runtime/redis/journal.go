package redis

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/internal/remote"
)

var (
	_ engine.Journaler           = (*Engine)(nil)
	_ remote.JournalStore[claim] = (*serve)(nil)
)

// Journal implements [engine.Journaler].
func (e *Engine) Journal(ctx context.Context, id uuid.UUID) ([]engine.JournalEntry, error) {
	p, err := e.find(ctx, id)
	if err != nil {
		return nil, err
	}
	fields, err := e.db.HGetAll(ctx, e.journalKey(p.place)).Result()
	if err = spoilt(err); err != nil {
		return nil, e.failed("read journal", err)
	}
	return entriesOf(fields), nil
}

// ReadJournal implements [remote.JournalStore]. A task that runs though its failure or
// its cancellation is noted was made due by another program: its journal is made what
// a retry by hand makes of it.
func (s *serve) ReadJournal(ctx context.Context, c claim) ([]engine.JournalEntry, error) {
	fields, err := s.readJournal(ctx, c)
	if err == nil && (fields["_bereft"] != "" || fields["_bereaved"] != "") {
		if err := s.e.run(ctx, redoScript, c.queue, c.id, s.ID, c.fence).Err(); err != nil {
			return nil, s.e.failed("begin the journal again", err)
		}
		fields, err = s.readJournal(ctx, c)
	}
	if err != nil {
		return nil, err
	}
	return entriesOf(fields), nil
}

// readJournal reads the fields of the journal of a run.
func (s *serve) readJournal(ctx context.Context, c claim) (map[string]string, error) {
	p := s.e.db.TxPipeline()
	own := p.HMGet(ctx, s.e.taskKey(c.queue, c.id), "state", "taskctx_owner", "taskctx_fence")
	all := p.HGetAll(ctx, s.e.journalKey(place{c.queue, c.id}))
	if _, err := p.Exec(ctx); spoilt(err) != nil {
		return nil, s.e.failed("read journal", err)
	}
	if v := own.Val(); len(v) < 3 || text(v[0]) != asynqActive || text(v[1]) != s.ID || text(v[2]) != c.fence {
		return nil, engine.ErrLeaseLost
	}
	return all.Val(), nil
}

// numbered is an entry with its number.
type numbered struct {
	seq int64
	engine.JournalEntry
}

// entriesOf returns the entries among the fields of a journal, in the order in
// which they were recorded.
func entriesOf(fields map[string]string) []engine.JournalEntry {
	all := make([]numbered, 0, len(fields))
	for field, v := range fields {
		if field == "" || field[0] != 'e' && field[0] != 'g' {
			continue
		}
		if en, ok := parseEntry(field[1:], v); ok {
			all = append(all, en)
		}
	}
	slices.SortFunc(all, func(a, b numbered) int { return cmp.Compare(a.seq, b.seq) })
	entries := make([]engine.JournalEntry, len(all))
	for i := range all {
		entries[i] = all[i].JournalEntry
	}
	return entries
}

// parseEntry reads an entry as the scripts store it; see journalPrelude.
func parseEntry(name, stored string) (en numbered, ok bool) {
	head, body, _ := strings.Cut(stored, "\n")
	h := entryHead{rest: head}
	en.seq, en.Attempt = h.number(), int(h.number())
	kind, _ := h.word(), h.word() // and whether it is an orphan
	en.Came = h.number()
	state, child := h.word(), h.word()
	queue, value, result := int(h.number()), int(h.number()), int(h.number())
	if h.bad || queue < 0 || value < 0 || result < 0 || len(body)-queue-value < result {
		return en, false
	}
	en.Name, en.Kind = name, engine.EntryKind(kind[0])
	if en.Kind == engine.EntrySignal {
		en.Name = body[:queue]
	}
	if state != "-" {
		en.State = engine.State(state)
	}
	if child != "-" {
		en.Child = taskID(child)
	}
	body = body[queue:]
	en.Value, en.Result, en.Reason = jsonOf(body[:value]), jsonOf(body[value:value+result]), body[value+result:]
	return en, true
}

// entryHead reads the head of a stored entry: words, and numbers among them.
type entryHead struct {
	rest string
	bad  bool // a word is missing, or no number
}

func (h *entryHead) word() (w string) {
	if w, h.rest, _ = strings.Cut(h.rest, " "); w == "" {
		h.bad = true
	}
	return w
}

func (h *entryHead) number() int64 {
	n, err := strconv.ParseInt(h.word(), 10, 64)
	h.bad = h.bad || err != nil
	return n
}

// jsonOf returns stored JSON, nil for none.
func jsonOf(s string) json.RawMessage {
	if s == "" {
		return nil
	}
	return json.RawMessage(s)
}

// perEntry is how many arguments of the record script an entry has.
const perEntry = 4 + perMessage

// Record implements [remote.JournalStore].
func (s *serve) Record(ctx context.Context, c claim, attempt int, entries []engine.NewEntry) ([]engine.JournalEntry, error) {
	now := time.Now()
	args := make([]any, 0, 6+perEntry*len(entries))
	args = append(args, s.ID, c.queue, c.id, c.fence, attempt, now.UnixNano())
	children := make([]uuid.UUID, len(entries))
	for i, n := range entries {
		value := bytes.TrimSpace(n.Value)
		args = append(args, n.Name, string(rune(n.Kind)), value, flag(n.Spawn != nil && n.Spawn.Meta.Orphan))
		if n.Spawn == nil {
			args = append(args, "", "", "", "", "", "", "", "", "")
			continue
		}
		l := s.e.newLot()
		if err := s.e.Check(n.Spawn); err != nil {
			return nil, fmt.Errorf("%s: %w", n.Spawn.Name, err)
		}
		if err := l.add(n.Spawn, now); err != nil {
			return nil, err
		}
		s.e.enlist(ctx, n.Spawn.Queue)
		args, children[i] = append(args, l.args...), l.ids[0]
	}
	answer, err := s.e.run(ctx, recordScript, args...).Slice()
	switch {
	case redis.HasErrorPrefix(err, "OOM"):
		return nil, fmt.Errorf("%w: %w", engine.ErrQueueFull, err)
	case err != nil:
		return nil, s.e.failed("record in the journal", err)
	case len(answer) == 0:
		return nil, s.e.failed("record in the journal", errAnswer)
	}
	switch how, _ := answer[0].(int64); {
	case how == 0:
		return nil, engine.ErrLeaseLost
	case how == 2 && len(answer) == 3:
		return nil, &engine.KeyHeldError{Entry: text(answer[1]), Holder: taskID(text(answer[2]))}
	case how != 1 || len(answer) != 1+len(entries):
		return nil, s.e.failed("record in the journal", errAnswer)
	}
	return s.recorded(entries, children, answer[1:], attempt)
}

// recorded returns the journal's entries after a Record. An answer of "" is for a
// new one.
func (s *serve) recorded(entries []engine.NewEntry, children []uuid.UUID, stored []any, attempt int) ([]engine.JournalEntry, error) {
	out, fresh := make([]engine.JournalEntry, len(entries)), make(map[string]int)
	for i, n := range entries {
		if old := text(stored[i]); old != "" {
			en, ok := parseEntry(n.Name, old)
			if !ok {
				return nil, s.e.failed("read the entry "+n.Name+" of a journal", errAnswer)
			}
			out[i] = en.JournalEntry
			continue
		}
		if first, twice := fresh[n.Name]; twice {
			out[i] = out[first]
			continue
		}
		fresh[n.Name] = i
		out[i] = engine.JournalEntry{Name: n.Name, Kind: n.Kind, Value: n.Value, Attempt: attempt, Child: children[i]}
		if n.Spawn != nil {
			s.e.queues.use(n.Spawn.Queue)
		}
	}
	if len(fresh) > 0 {
		s.e.workers.Nudge()
	}
	return out, nil
}

// Signal implements [engine.Journaler].
func (e *Engine) Signal(ctx context.Context, id uuid.UUID, name, key string, value json.RawMessage) error {
	p, err := e.find(ctx, id)
	if err != nil {
		return err
	}
	why, err := e.run(ctx, signalScript, p.queue, p.id, name, key, []byte(value), time.Now().UnixNano(),
		engine.MaxJournalEntries, engine.MaxJournalBytes).Text()
	switch {
	case errors.Is(err, redis.Nil):
		return engine.ErrNotFound
	case redis.HasErrorPrefix(err, "OOM"):
		return fmt.Errorf("%w: %w", engine.ErrQueueFull, err)
	case err != nil:
		return e.failed("signal", err)
	case why == "gone":
		return engine.ErrNotFound
	case why == "ended":
		return fmt.Errorf("%w: it has ended", engine.ErrState)
	case why == "full":
		return engine.ErrJournalFull
	}
	e.workers.Nudge()
	return nil
}
