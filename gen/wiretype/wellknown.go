package wiretype

import (
	"go/types"
	"path"
)

// known is knowledge about a type that its declaration does not show.
type known struct {
	lossy   string // what a value loses; empty if nothing
	key     string // its fault as the key of a map
	fix     string // what to use instead
	goodKey bool   // as a key it comes back equal to itself
	pointer bool   // nothing is lost behind a pointer
	null    bool   // its JSON may be null
	method  string // its method of wire.Fields, if it has one
	values  string // the values that Enqueue refuses, if any
	note    string // how its methods change a value without an error
}

// wellKnown are types by their usual import path and name: all self-encoding
// types of the standard library, so that their names on the wire stay when one
// moves (a test looks for missing ones), and widely used types whose methods
// alone would mislead.
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
	"net/netip.AddrPort": {goodKey: true, values: "a port of no address"},
	"net/netip.Prefix":   {goodKey: true, values: "an address with a length that it cannot have"},
	"crypto/x509.OID": {
		lossy: "that is empty cannot be read back",
		fix:   "pass its text as a string",
	},
	"log/slog.Level": {},
	"log/slog.LevelVar": {
		lossy:   "by value encodes itself only where it can be addressed",
		fix:     "use slog.Level",
		pointer: true,
	},
	"uuid.UUID": {},
	"net.IP": {
		lossy: "of 4 bytes comes back with 16",
		fix:   "use netip.Addr",
	},
	"regexp.Regexp": {
		lossy: "loses whether it prefers the longest match",
		fix:   "pass its text as a string",
	},
	"github.com/google/uuid.UUID": {},
	"github.com/google/uuid.NullUUID": {
		null:   true,
		key:    "is no good as a key: a null one has no text that can be read back",
		fix:    "use uuid.UUID as the key",
		values: "a UUID that is not valid",
	},
	"k8s.io/apimachinery/pkg/apis/meta/v1.Time": {
		key:  "is no good as a key: it has no text",
		fix:  "use the time's text as the key",
		note: "keeps whole seconds and no zone",
	},
	"k8s.io/apimachinery/pkg/apis/meta/v1.MicroTime": {
		key:  "is no good as a key: it has no text",
		fix:  "use the time's text as the key",
		note: "keeps microseconds and no zone",
	},
}

// moved are well-known types by their path and name since Go 1.27, where the
// usual name is an alias.
var moved = map[string]string{
	"encoding/json/jsontext.Value": "encoding/json.RawMessage",
}

// qualified returns the import path and name of a type that has one, "" for
// others. A moved well-known type keeps its old name, whether t is the alias
// or the type itself.
func qualified(t types.Type) string {
	for {
		alias, ok := t.(*types.Alias)
		if !ok {
			break
		}
		if q := pathAndName(alias.Obj()); named(q) {
			return q
		}
		t = alias.Rhs()
	}
	n, ok := t.(*types.Named)
	if !ok {
		return ""
	}
	q := pathAndName(n.Obj())
	if old := moved[q]; old != "" {
		return old
	}
	return q
}

// named reports whether fingerprints use the type's name although its shape
// may not be in its code.
func named(qualified string) bool {
	_, ok := wellKnown[qualified]
	return ok || qualified == "time.Duration"
}

func pathAndName(obj *types.TypeName) string {
	if obj.Pkg() == nil {
		return obj.Name()
	}
	return obj.Pkg().Path() + "." + obj.Name()
}

// short returns a qualified name with the package's name for its path.
func short(qualified string) string { return path.Base(qualified) }
