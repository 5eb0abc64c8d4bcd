package locals

import (
	"encoding/json"
	"fmt"
	"sync/atomic"
)

// Header is the key of Meta.Headers under which locals travel: an object
// of arrivals by name.
const Header = "taskctx-locals"

// AnyTravels says that this process has a local that travels.
var AnyTravels atomic.Bool

// Arrival is one value on its way.
type Arrival struct {
	V   json.RawMessage `json:"v"`
	Log bool            `json:"log,omitempty"`
}

// Header encodes the values of the scope that travel, empty for none.
func (t *Table) Header() (string, error) {
	values, arrived := t.all()
	out := make(map[string]json.RawMessage)
	for _, e := range values {
		o := e.key.Options()
		if e.v == nil || !o.Travel {
			continue
		}
		raw, err := e.v.Encode(o.InLogs)
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
