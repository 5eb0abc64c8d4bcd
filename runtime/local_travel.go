package runtime

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync/atomic"

	"github.com/google/uuid"
)

// localsHeader is the key of Meta.Headers under which locals travel: an object
// of arrivals by name.
const localsHeader = "taskctx-locals"

// anyTravels says that this process has a local that travels.
var anyTravels atomic.Bool

// arrival is one value on its way.
type arrival struct {
	V   json.RawMessage `json:"v"`
	Log bool            `json:"log,omitempty"`
}

// arrivals reads what traveled here with the task.
func (r *run) arrivals(header string) map[string]arrival {
	if header == "" {
		return nil
	}
	var m map[string]arrival
	if err := json.Unmarshal([]byte(header), &m); err != nil {
		r.app.log(slog.LevelError, "read the local values that came with the task",
			append(r.logAttrs(), slog.String("error", message(err)))...)
		return nil
	}
	return m
}

// carryLocals sends the locals of ctx along with a message.
func (a *App) carryLocals(ctx context.Context, m *Message) error {
	if !anyTravels.Load() && m.Meta.Parent == uuid.Nil {
		return nil
	}
	t, _ := scopeOf(ctx, false)
	if t == nil {
		return nil // there are none to carry
	}
	header, err := t.header()
	switch {
	case err != nil:
		return err
	case len(header) > a.cfg.MaxPayload:
		return fmt.Errorf("%w: the local values that travel are %d bytes, the limit is %d (Config.MaxPayload)",
			ErrPayloadTooLarge, len(header), a.cfg.MaxPayload)
	case header == "":
		return nil
	}
	if m.Meta.Headers == nil {
		m.Meta.Headers = make(map[string]string, 1)
	}
	m.Meta.Headers[localsHeader] = header
	return nil
}

// header encodes the values of the scope that travel, empty for none.
func (t *locals) header() (string, error) {
	values, arrived := t.all()
	out := make(map[string]json.RawMessage)
	for _, e := range values {
		o := e.key.options()
		if e.v == nil || !o.travel {
			continue
		}
		raw, err := e.v.encode(o.inLogs)
		if err != nil {
			return "", fmt.Errorf("local %s cannot travel: %w", e.key, err)
		}
		out[e.key.String()] = raw
	}
	for _, name := range unread(values, arrived) {
		raw, err := json.Marshal(arrived[name])
		if err != nil {
			return "", fmt.Errorf("local %s cannot travel on: %w", name, err)
		}
		out[name] = raw
	}
	if len(out) == 0 {
		return "", nil
	}
	b, err := json.Marshal(out)
	return string(b), err
}
