package runtime_test

import (
	"encoding/json"
	"net/netip"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/glue"
	"github.com/taskctx/taskctx/runtime/memory"
	"github.com/taskctx/taskctx/runtime/wire"
)

type (
	customer struct{ Name string }

	// sum is zero, says its method, whatever the currency.
	sum struct {
		Cents    int
		Currency string
	}
	// account says so by its pointer.
	account struct{ Name string }

	invoice struct {
		Price  sum        `json:",omitzero"`
		At     time.Time  `json:",omitzero"`
		Due    *time.Time `json:",omitzero"`
		Ledger account    `json:"ledger,omitzero"`
		Note   string     `json:",omitzero"`
	}
	// maybe is null when it is empty.
	maybe string
	// quoted keeps its text in a field that nobody else can read.
	quoted struct{ text string }
)

func (s sum) IsZero() bool { return s.Cents == 0 }

func (l *account) IsZero() bool { return l.Name == "" || l.Name == "none" }

func (m maybe) MarshalJSON() ([]byte, error) {
	if m == "" {
		return []byte("null"), nil
	}
	return json.Marshal(string(m))
}

func (m *maybe) UnmarshalJSON(b []byte) error { return json.Unmarshal(b, (*string)(m)) }

func (q quoted) MarshalJSON() ([]byte, error) { return json.Marshal(q.text) }

func (q *quoted) UnmarshalJSON(b []byte) error { return json.Unmarshal(b, &q.text) }

// enqueueJSON enqueues a task with one parameter of a type that encoding/json
// writes.
func enqueueJSON[T any](t *testing.T, v T) error {
	t.Helper()
	app := runtime.New(memory.New(memory.Config{}), runtime.Config{})
	task := glue.NewTask[struct{}, runtime.Void](wire.Spec{Name: "exact", Params: []wire.Param{{Name: "v"}}}, nil)
	_, err := task.Call(func(f *wire.Fields) { f.JSON("v", &v) }, nil).Enqueue(t.Context(), app)
	return err
}

// Values that would come back as others are refused, whatever version of
// encoding/json writes them.
//
// Proves: RELIABILITY 13
func TestEnqueue_RefusesValuesThatComeBackAsOthers(t *testing.T) {
	const notUTF8 = "not valid UTF-8"
	zone := time.FixedZone("", 3600)
	for what, test := range map[string]struct {
		err  error
		want string
	}{
		"string in a struct":      {enqueueJSON(t, customer{"caf\xe9"}), notUTF8},
		"string in a slice":       {enqueueJSON(t, [][]string{{"a", "caf\xe9"}}), notUTF8},
		"key of a map":            {enqueueJSON(t, map[string]int{"caf\xe9": 1}), notUTF8},
		"string behind a pointer": {enqueueJSON(t, []*customer{{"\ufffd"}, {"caf\xe9"}}), notUTF8},
		"string of a marshaler":   {enqueueJSON(t, []quoted{{"caf\xe9"}}), notUTF8},
		"raw JSON":                {enqueueJSON(t, []json.RawMessage{[]byte("\"caf\xe9\"")}), notUTF8},
		"half a surrogate pair":   {enqueueJSON(t, []json.RawMessage{[]byte(`"\ud83d"`)}), notUTF8},

		"no cents":             {enqueueJSON(t, invoice{Price: sum{0, "EUR"}}), "field Price"},
		"zero time in a zone":  {enqueueJSON(t, []invoice{{At: time.Time{}.In(zone)}}), "field At"},
		"pointer to zero time": {enqueueJSON(t, &invoice{Due: new(time.Time)}), "field Due"},
		"IsZero of a pointer":  {enqueueJSON(t, map[string]invoice{"": {Ledger: account{"none"}}}), "field Ledger"},

		"pointer to null":   {enqueueJSON(t, new(maybe)), "encodes itself as null"},
		"pointers to nulls": {enqueueJSON(t, []*maybe{nil, new(maybe)}), "encodes itself as null"},

		"port alone":         {enqueueJSON(t, netip.AddrPortFrom(netip.Addr{}, 80)), "no address"},
		"port alone as key":  {enqueueJSON(t, map[netip.AddrPort]int{netip.AddrPortFrom(netip.Addr{}, 80): 1}), "no address"},
		"prefix too long":    {enqueueJSON(t, struct{ A [1]netip.Prefix }{[1]netip.Prefix{netip.PrefixFrom(netip.IPv4Unspecified(), 33)}}), "netip.Prefix"},
		"UUID that is null":  {enqueueJSON(t, struct{ ID uuid.NullUUID }{uuid.NullUUID{UUID: uuid.Max}}), "uuid.NullUUID"},
		"offset of a key":    {enqueueJSON(t, map[string]time.Time{"": time.Now().In(time.FixedZone("", 1))}), "zone offset"},
		"pointer to itself":  {enqueueJSON(t, itself()), "or itself"},
		"one within a slice": {enqueueJSON(t, []any{1, []any{itself()}}), "or itself"},
	} {
		assert.ErrorContains(t, test.err, test.want, what)
	}
}

func itself() any {
	var v any
	v = &v
	return v
}

// What looks like those values and comes back equal is not refused.
func TestEnqueue_TakesValuesThatComeBack(t *testing.T) {
	same := maybe("a")
	for what, err := range map[string]error{
		"U+FFFD in a struct":      enqueueJSON(t, customer{"\ufffd"}),
		"U+FFFD in a marshaler":   enqueueJSON(t, quoted{"\ufffd"}),
		"U+FFFD as a key":         enqueueJSON(t, map[string]int{"\ufffd": 1}),
		"U+FFFD in raw JSON":      enqueueJSON(t, []json.RawMessage{[]byte(`"\ufffd"`), []byte("\"\ufffd\"")}),
		"zero values":             enqueueJSON(t, invoice{}),
		"zero time in UTC":        enqueueJSON(t, invoice{At: time.Time{}.UTC()}),
		"others":                  enqueueJSON(t, invoice{Price: sum{1, "EUR"}, At: time.Now(), Due: new(time.Now()), Note: "a"}),
		"null by value":           enqueueJSON(t, []maybe{"", "a"}),
		"pointer to a value":      enqueueJSON(t, []*maybe{nil, &same}),
		"no address and no port":  enqueueJSON(t, []netip.AddrPort{{}, netip.MustParseAddrPort("[::1]:80")}),
		"no prefix":               enqueueJSON(t, []netip.Prefix{{}, netip.MustParsePrefix("10.0.0.0/8")}),
		"no UUID":                 enqueueJSON(t, []uuid.NullUUID{{}, {UUID: uuid.Max, Valid: true}}),
		"one pointer twice":       enqueueJSON(t, []any{&same, &same, map[string]any{"a": &same}}),
		"a pointer to an address": enqueueJSON(t, new(new(new(1)))),
	} {
		assert.NoError(t, err, what)
	}
}
