package typetable

import (
	"context"
	"fmt"
	"go/token"
	"go/types"
	"log/slog"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/taskctx/taskctx/gen/wiretype"
	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/memory"
	"github.com/taskctx/taskctx/runtime/wire"
)

// node is a random type, as reflect and as go/types know it, with how to make
// and compare its values.
type node struct {
	rtype reflect.Type
	gtype types.Type
	draw  func(t *rapid.T) reflect.Value
	equal func(a, b reflect.Value) bool
	keyOf bool // it may be the key of a map in reflect
}

// Of any type that wiretype accepts all values come back equal, whatever the
// type is made of.
//
// Proves: FEATURES 75, RELIABILITY 13
func TestRandomTypes(t *testing.T) {
	pool := leaves(typesByLine(t))
	accepted, refused := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		n := drawType(t, pool, 3)
		problems := wiretype.Check(n.gtype, nil)
		if len(problems) > 0 {
			refused++
			return
		}
		accepted++
		if l := wire.LossesOf(n.rtype); l.Lost != "" {
			t.Fatalf("taskgen takes %s, and a step does not: %s", n.gtype, l.Lost)
		}
		print := wiretype.Fingerprint(n.gtype)
		if strings.ContainsAny(print, " \t\n") || print == "" {
			t.Fatalf("%s has the fingerprint %q", n.gtype, print)
		}
		if again := wiretype.Fingerprint(n.gtype); again != print {
			t.Fatalf("%s has the fingerprints %q and %q", n.gtype, print, again)
		}
		method, _ := wiretype.Kind(n.gtype)
		var trips []*trip
		for range 4 {
			v := n.draw(t)
			trips = append(trips, &trip{sent: v, same: func(got reflect.Value) bool { return n.equal(v, got) }})
		}
		limits := wiretype.LimitsOf(n.gtype, nil)
		for i, wrong := range runTrips(t, trips, method) {
			if wrong != "" && (len(limits.Refused) == 0 || !strings.HasPrefix(wrong, notEnqueued)) {
				t.Fatalf("accepted %s, but %s: %s", n.gtype, show(trips[i].sent), wrong)
			}
		}
	})
	t.Logf("%d types accepted and proven, %d refused", accepted, refused)
}

// TestStepTypes: a step refuses no type that taskgen takes, and of those that
// taskgen refuses each that has a part of which JSON keeps nothing.
func TestStepTypes(t *testing.T) {
	found := typesByLine(t)
	both := 0
	for _, g := range groups {
		for _, c := range g.categories {
			typ := c.values[0].Type()
			lost, problems := wire.LossesOf(typ).Lost, wiretype.Check(found[c.line], nil)
			if len(problems) == 0 {
				require.Empty(t, lost, "%s, which taskgen takes", typ)
			}
			for _, p := range problems {
				for _, reason := range []string{"not exported", "leaves it out", "JSON has no channels", "JSON has no functions"} {
					if strings.Contains(p.Reason, reason) {
						require.NotEmpty(t, lost, "%s, of which taskgen says %s: %s", typ, p.Path, p.Reason)
						both++
					}
				}
			}
		}
	}
	require.NotZero(t, both)
}

// runTrips runs trips through an app of their own and says what went wrong with
// each.
func runTrips(t *rapid.T, trips []*trip, method string) []string {
	ctx := context.Background()
	app := runtime.New(memory.New(memory.Config{}), runtime.Config{ParkFor: time.Nanosecond, Logger: slog.New(slog.DiscardHandler)})
	for i, trip := range trips {
		trip.register(app, fmt.Sprint("trip", i), method)
	}
	if err := app.Start(ctx); err != nil {
		t.Fatal(err)
	}
	var wrong []string
	for _, trip := range trips {
		wrong = append(wrong, trip.run(ctx, app))
	}
	if err := app.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	return wrong
}

// leaves are the types of the table, with their values, and the basic types
// with any value.
func leaves(found map[int]types.Type) (pool []node) {
	for _, g := range groups {
		for _, c := range g.categories {
			v := c.values[0]
			pool = append(pool, node{
				rtype: v.Type(),
				gtype: found[c.line],
				draw:  func(t *rapid.T) reflect.Value { return rapid.SampledFrom(c.values).Draw(t, c.what) },
				equal: c.equal,
				keyOf: v.Comparable() && v.Kind() != reflect.Interface,
			})
		}
	}
	add := func(kind types.BasicKind, draw func(t *rapid.T) any) {
		typ := reflect.TypeOf(draw(nil))
		pool = append(pool, node{
			rtype: typ, gtype: types.Typ[kind], keyOf: true,
			draw:  func(t *rapid.T) reflect.Value { return reflect.ValueOf(draw(t)) },
			equal: func(a, b reflect.Value) bool { return a.Equal(b) },
		})
	}
	add(types.String, drawn(rapid.String()))
	add(types.Int64, drawn(rapid.Int64()))
	add(types.Uint8, drawn(rapid.Uint8()))
	add(types.Bool, drawn(rapid.Bool()))
	add(types.Float64, drawn(rapid.Float64().Filter(func(v float64) bool { return !math.IsInf(v, 0) && !math.IsNaN(v) })))
	return pool
}

func drawn[T any](g *rapid.Generator[T]) func(t *rapid.T) any {
	return func(t *rapid.T) any {
		if t == nil { // only its type is asked for
			var zero T
			return zero
		}
		return g.Draw(t, "value")
	}
}

func drawType(t *rapid.T, pool []node, depth int) node {
	form := "leaf"
	if depth > 0 {
		form = rapid.SampledFrom([]string{"leaf", "struct", "struct", "pointer", "slice", "array", "map"}).Draw(t, "form")
	}
	switch form {
	case "struct":
		return drawStruct(t, pool, depth)
	case "pointer":
		return pointerTo(drawType(t, pool, depth-1))
	case "slice":
		return sliceOf(drawType(t, pool, depth-1))
	case "array":
		return arrayOf(drawType(t, pool, depth-1))
	case "map":
		return mapOf(drawKey(t, pool), drawType(t, pool, depth-1))
	}
	return rapid.SampledFrom(pool).Draw(t, "leaf")
}

func drawKey(t *rapid.T, pool []node) node {
	return rapid.SampledFrom(pool).Filter(func(n node) bool { return n.keyOf }).Draw(t, "key")
}

func pointerTo(n node) node {
	return node{
		rtype: reflect.PointerTo(n.rtype), gtype: types.NewPointer(n.gtype),
		draw: func(t *rapid.T) reflect.Value {
			p := reflect.New(n.rtype)
			if rapid.Bool().Draw(t, "nil") {
				return reflect.Zero(p.Type())
			}
			p.Elem().Set(n.draw(t))
			return p
		},
		equal: func(a, b reflect.Value) bool {
			return a.IsNil() == b.IsNil() && (a.IsNil() || n.equal(a.Elem(), b.Elem()))
		},
	}
}

func sliceOf(n node) node {
	typ := reflect.SliceOf(n.rtype)
	return node{
		rtype: typ, gtype: types.NewSlice(n.gtype),
		draw: func(t *rapid.T) reflect.Value {
			length := rapid.IntRange(-1, 3).Draw(t, "length")
			if length < 0 {
				return reflect.Zero(typ)
			}
			s := reflect.MakeSlice(typ, length, length)
			for i := range length {
				s.Index(i).Set(n.draw(t))
			}
			return s
		},
		equal: func(a, b reflect.Value) bool { return a.IsNil() == b.IsNil() && equalElems(n, a, b) },
	}
}

func equalElems(n node, a, b reflect.Value) bool {
	if a.Len() != b.Len() {
		return false
	}
	for i := range a.Len() {
		if !n.equal(a.Index(i), b.Index(i)) {
			return false
		}
	}
	return true
}

func arrayOf(n node) node {
	typ := reflect.ArrayOf(2, n.rtype)
	return node{
		rtype: typ, gtype: types.NewArray(n.gtype, 2),
		draw: func(t *rapid.T) reflect.Value {
			a := reflect.New(typ).Elem()
			a.Index(0).Set(n.draw(t))
			a.Index(1).Set(n.draw(t))
			return a
		},
		equal: func(a, b reflect.Value) bool { return equalElems(n, a, b) },
	}
}

func mapOf(key, elem node) node {
	typ := reflect.MapOf(key.rtype, elem.rtype)
	return node{
		rtype: typ, gtype: types.NewMap(key.gtype, elem.gtype),
		draw: func(t *rapid.T) reflect.Value {
			length := rapid.IntRange(-1, 2).Draw(t, "length")
			if length < 0 {
				return reflect.Zero(typ)
			}
			m := reflect.MakeMap(typ)
			for range length {
				m.SetMapIndex(key.draw(t), elem.draw(t))
			}
			return m
		},
		equal: func(a, b reflect.Value) bool {
			if a.IsNil() != b.IsNil() || a.Len() != b.Len() {
				return false
			}
			for k, v := range a.Seq2() {
				if got := b.MapIndex(k); !got.IsValid() || !elem.equal(v, got) {
					return false
				}
			}
			return true
		},
	}
}

var tags = []string{
	"", "", "", `json:"x"`, `json:"X"`, `json:"y,omitempty"`, `json:",omitempty"`, `json:",omitzero"`, `json:",string"`,
	`json:"z,string,omitempty"`, `json:"-"`, `json:"-,"`, `json:"a.b<&>"`, `json:"é"`, `json:"B"`, `json:"b"`, `xml:"q"`,
}

// embeddable are the types that reflect.StructOf embeds: without methods.
var embeddable = []reflect.Type{
	reflect.TypeFor[Base](), reflect.TypeFor[Other](), reflect.TypeFor[Money](), reflect.TypeFor[Extended](),
	reflect.TypeFor[ExtendedBy](), reflect.TypeFor[Private](), reflect.TypeFor[Shadowing](), reflect.TypeFor[Tree](),
}

func drawStruct(t *rapid.T, pool []node, depth int) node {
	var (
		parts   []node
		fields  []reflect.StructField
		vars    []*types.Var
		gotTags []string
	)
	for i := range rapid.IntRange(1, 4).Draw(t, "fields") {
		name := string(rune('A' + i))
		n := drawType(t, pool, depth-1)
		tag := rapid.SampledFrom(tags).Draw(t, "tag")
		embed := slices.Contains(embeddable, n.rtype) && rapid.Bool().Draw(t, "embed")
		if embed {
			name = n.rtype.Name()
		}
		for _, f := range fields {
			if f.Name == name {
				embed, name = false, name+string(rune('0'+i))
			}
		}
		parts = append(parts, n)
		fields = append(fields, reflect.StructField{Name: name, Type: n.rtype, Tag: reflect.StructTag(tag), Anonymous: embed})
		vars = append(vars, types.NewField(token.NoPos, nil, name, n.gtype, embed))
		gotTags = append(gotTags, tag)
	}
	typ := reflect.StructOf(fields)
	return node{
		rtype: typ, gtype: types.NewStruct(vars, gotTags),
		draw: func(t *rapid.T) reflect.Value {
			v := reflect.New(typ).Elem()
			for i, n := range parts {
				v.Field(i).Set(n.draw(t))
			}
			return v
		},
		equal: func(a, b reflect.Value) bool {
			for i, n := range parts {
				if !n.equal(a.Field(i), b.Field(i)) {
					return false
				}
			}
			return true
		},
	}
}
