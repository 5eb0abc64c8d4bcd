package wiretype

// known is what there is to know about a type that its declaration does not
// tell.
type known struct {
	lossy   string // what a value loses; empty if nothing
	key     string // what goes wrong with it as the key of a map
	fix     string // what to use instead
	goodKey bool   // as a key it is equal to itself when it comes back
	pointer bool   // nothing is lost behind a pointer
	null    bool   // its JSON may be null
	method  string // its method of runtime.Fields, if it has one
}

// wellKnown are the types of the standard library, and of packages used
// everywhere, whose methods alone do not tell the truth.
var wellKnown = map[string]known{
	"time.Time": {
		method: "Time",
		key:    "is no good as a key: the same time in another zone, or when it comes back, is another key",
		fix:    "use the time's UnixNano or its text as the key",
	},
	"encoding/json.RawMessage": {null: true},
	"encoding/json.Number": {
		lossy: "that is empty comes back as 0",
		fix:   "use int64, float64 or string, or json.RawMessage for free JSON",
	},
	"math/big.Int": {
		lossy:   "by value encodes itself only where it can be addressed",
		fix:     "use *big.Int",
		pointer: true,
	},
	"math/big.Rat": {
		lossy:   "by value encodes itself only where it can be addressed",
		fix:     "use *big.Rat",
		pointer: true,
	},
	"math/big.Float": {
		lossy: "loses its precision and rounding mode",
		fix:   "pass its text as a string, or a *big.Rat",
	},
	"net/url.URL": {
		lossy: "loses its user and password",
		fix:   "pass its text as a string",
	},
	"net/netip.Addr":     {goodKey: true},
	"net/netip.AddrPort": {goodKey: true},
	"net/netip.Prefix":   {goodKey: true},
	"net.IP": {
		lossy: "of 4 bytes comes back with 16",
		fix:   "use netip.Addr",
	},
	"regexp.Regexp": {
		lossy: "loses whether it prefers the longest match",
		fix:   "pass its text as a string",
	},
	"github.com/google/uuid.NullUUID": {
		null: true,
		key:  "is no good as a key: a null one has no text that can be read back",
		fix:  "use uuid.UUID as the key",
	},
}
