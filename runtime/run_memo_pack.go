package runtime

import (
	"bytes"
	"compress/flate"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/hook"
	"github.com/taskctx/taskctx/runtime/inspect"
	"github.com/taskctx/taskctx/runtime/internal/guard"
)

// mostLogText bounds, in bytes, the text of the compressed log lines, and so
// the memory for reading them back.
const mostLogText = 512 << 10

// encodeMemo merges this run's notes into the memo and encodes it. Log lines
// that are too large are compressed. If the memo is still too large, it drops
// the oldest log lines, which it counts, then the oldest errors. The caller
// holds x.reading.
func (r *run) encodeMemo(x *extras) json.RawMessage {
	m := *r.loadMemo(x)
	r.mergeNotes(&m)
	m.dropLogs(len(m.Logs) - len(lastThatFit(m.Logs, mostLogText)))
	for {
		b, err := r.app.writeMemo(r.msg, m)
		if err == nil && len(b) > engine.MaxMemo && len(m.Logs) > 0 {
			packed := m
			if packed.pack() == nil {
				b, err = r.app.writeMemo(r.msg, packed)
			}
		}
		switch {
		case err != nil:
			r.app.logMemo(r, "encode what is kept with the task", err)
			m.kept = kept{}
			b, _ = json.Marshal(m)
			return b
		case len(b) <= engine.MaxMemo:
			return b
		case len(m.Logs) > 0:
			m.dropLogs(len(m.Logs) - len(m.Logs)*engine.MaxMemo/len(b)*9/10)
		case len(m.Errors) > 1:
			m.Errors = m.Errors[(len(m.Errors)+1)/2:]
		default:
			m.Errors, m.Progress = nil, nil
		}
	}
}

// dropLogs drops the n oldest lines.
func (k *kept) dropLogs(n int) {
	k.Logs, k.Dropped = k.Logs[n:], k.Dropped+n
}

// lastThatFit returns the last lines whose text has at most n bytes. As JSON
// they may still be too large.
func lastThatFit(lines []inspect.LogLine, n int) []inspect.LogLine {
	for i, l := range slices.Backward(lines) {
		if n -= len(l.Message) + len(l.Attrs); n < 0 {
			return lines[i+1:]
		}
	}
	return lines
}

// pack compresses the log lines.
func (k *kept) pack() error {
	raw, err := json.Marshal(k.Logs)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.DefaultCompression)
	if err != nil {
		return err
	}
	if _, err := w.Write(raw); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	k.Logs, k.Packed = nil, b.Bytes()
	return nil
}

// unpack undoes pack.
func (k *kept) unpack() error {
	if len(k.Packed) == 0 {
		return nil
	}
	raw, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(k.Packed)), 8*mostLogText))
	if err == nil {
		err = json.Unmarshal(raw, &k.Logs)
	}
	if k.Packed = nil; err != nil {
		return fmt.Errorf("kept log lines: %w", err)
	}
	return nil
}

// writeMemo encodes a memo, and seals the parts of Config.Sealed.
func (a *App) writeMemo(msg *engine.Message, m memo) (b json.RawMessage, err error) {
	logs, errs := a.seals(hook.PartLogs), a.seals(hook.PartReason)
	if !logs && !errs {
		return json.Marshal(m)
	}
	var inner kept
	if logs {
		inner.Logs, inner.Packed, inner.Dropped, inner.Progress = m.Logs, m.Packed, m.Dropped, m.Progress
		m.Logs, m.Packed, m.Dropped, m.Progress = nil, nil, 0, nil
	}
	if errs {
		inner.Errors, m.Errors = m.Errors, nil
	}
	plain, err := json.Marshal(inner)
	if err != nil || string(plain) == "{}" {
		return json.Marshal(m)
	}
	err = guard.Isolated(func() (err error) {
		m.Sealed, err = a.encodePart(msg, hook.PartLogs, plain)
		return err
	})
	if err != nil {
		return nil, err
	}
	return json.Marshal(m)
}

// readMemo undoes writeMemo, whether this app seals or not. With an error it
// may return the readable rest.
func (a *App) readMemo(msg *engine.Message, raw json.RawMessage) (*memo, error) {
	if len(raw) > 4*engine.MaxMemo {
		return nil, errors.New("it is too large")
	}
	m := new(memo)
	if err := json.Unmarshal(raw, m); err != nil {
		return nil, err
	}
	var inner kept
	if len(m.Sealed) > 0 {
		err := guard.Isolated(func() error {
			plain, err := a.decodePart(msg, hook.PartLogs, m.Sealed)
			if err != nil {
				return err
			}
			return json.Unmarshal(plain, &inner)
		})
		if m.Sealed = nil; err != nil {
			return m, fmt.Errorf("codec: %w", err)
		}
	}
	err := errors.Join(m.unpack(), inner.unpack())
	m.Errors = append(m.Errors, inner.Errors...)
	m.Logs = append(m.Logs, inner.Logs...)
	m.Dropped += inner.Dropped
	if inner.Progress != nil {
		m.Progress = inner.Progress
	}
	return m, err
}
