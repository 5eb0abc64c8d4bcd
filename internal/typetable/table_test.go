// Package typetable proves which Go types survive as parameters and results of
// tasks. For each category of types it runs values through an app and compares
// what the generator says of the type with what became of them. The outcome is
// the document docs/types.md.
package typetable

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	goruntime "runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/taskctx/taskctx/gen/wiretype"
	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/glue"
	"github.com/taskctx/taskctx/runtime/memory"
	"github.com/taskctx/taskctx/runtime/wire"
)

// category is one row of the table: a type, and values of it to send.
type category struct {
	what    string
	line    int    // of its declaration, by which its type is found
	meaning bool   // it comes back, but means nothing there
	version string // what goes wrong, if it depends on the version of Go
	note    string
	values  []reflect.Value // of the type itself, also if it is an interface
	refused []reflect.Value // those that Enqueue refuses, though the type survives
	equal   func(a, b reflect.Value) bool
}

// of declares a category of the type T. The zero value is sent too.
func of[T any](what string, values ...T) *category {
	return newCategory(what, caller(), values, func(a, b reflect.Value) bool {
		return reflect.DeepEqual(a.Interface(), b.Interface())
	})
}

// ofEqual is of for types with an equality of their own.
func ofEqual[T any](what string, equal func(a, b T) bool, values ...T) *category {
	return newCategory(what, caller(), values, func(a, b reflect.Value) bool {
		return equal(a.Interface().(T), b.Interface().(T))
	})
}

// caller is the line that calls its caller.
func caller() int {
	_, _, line, _ := goruntime.Caller(2)
	return line
}

func newCategory[T any](what string, line int, values []T, equal func(a, b reflect.Value) bool) *category {
	c := &category{what: what, line: line, equal: equal}
	var zero T
	for _, v := range append(values, zero) {
		c.values = append(c.values, reflect.ValueOf(&v).Elem())
	}
	return c
}

func (c *category) noted(note string) *category {
	c.note = note
	return c
}

// refusing adds values that Enqueue refuses.
func refusing[T any](c *category, values ...T) *category {
	for _, v := range values {
		c.refused = append(c.refused, reflect.ValueOf(&v).Elem())
	}
	return c
}

// byVersion says what goes wrong, which the version of Go that runs the test may
// not show.
func (c *category) byVersion(wrong string) *category {
	c.version = wrong
	return c
}

// meaningless says that values come back, but mean nothing in another process.
func (c *category) meaningless() *category {
	c.meaning = true
	return c
}

// trip is one value on its way through a task, by itself or inside of another
// type.
type trip struct {
	inside string
	refuse bool // by Enqueue
	sent   reflect.Value
	same   func(got reflect.Value) bool
	task   *glue.Task[parcel, runtime.Void]
	list   func(*parcel, *wire.Fields)
}

// parcel is the arguments of the tasks: one value, of a type that the task
// knows.
type parcel struct{ value reflect.Value }

// trips are all ways that the category's values go.
func (c *category) trips() (trips []*trip) {
	for i, v := range slices.Concat(c.values, c.refused) {
		refuse := i >= len(c.values)
		t := v.Type()
		same := func(got reflect.Value) bool { return c.equal(v, got) }
		first := func(got reflect.Value) bool { return got.Len() == 1 && c.equal(v, got.Index(0)) }

		slice := reflect.MakeSlice(reflect.SliceOf(t), 1, 1)
		slice.Index(0).Set(v)
		array := reflect.New(reflect.ArrayOf(2, t)).Elem()
		array.Index(1).Set(v)
		key := reflect.ValueOf("k")
		m := reflect.MakeMap(reflect.MapOf(key.Type(), t))
		m.SetMapIndex(key, v)
		object := reflect.New(reflect.StructOf([]reflect.StructField{{Name: "V", Type: t}})).Elem()
		object.Field(0).Set(v)

		trips = append(trips,
			&trip{inside: "", sent: v, same: same},
			&trip{inside: "struct", sent: object, same: func(got reflect.Value) bool { return same(got.Field(0)) }},
			&trip{inside: "slice", sent: slice, same: first},
			&trip{inside: "array", sent: array, same: func(got reflect.Value) bool { return same(got.Index(1)) }},
			&trip{inside: "map", sent: m, same: func(got reflect.Value) bool {
				return got.Len() == 1 && got.MapIndex(key).IsValid() && same(got.MapIndex(key))
			}},
			&trip{inside: "pointer", sent: v.Addr(), same: func(got reflect.Value) bool {
				return !got.IsNil() && same(got.Elem())
			}},
		)
		for _, trip := range trips[len(trips)-6:] {
			trip.refuse = refuse
		}
	}
	return trips
}

// register makes the trip's task. The parameter is listed by the method that
// wiretype names, with its pointer converted, as generated code does.
func (trip *trip) register(app *runtime.App, name, method string) {
	trip.list = func(a *parcel, f *wire.Fields) {
		if !a.value.IsValid() {
			a.value = reflect.New(trip.sent.Type()).Elem()
		}
		p := a.value.Addr()
		if method == "JSON" {
			f.JSON("v", p.Interface())
			return
		}
		visit := reflect.ValueOf(f).MethodByName(method)
		visit.Call([]reflect.Value{reflect.ValueOf("v"), p.Convert(visit.Type().In(1))})
	}
	trip.task = glue.NewTask[parcel, runtime.Void](wire.Spec{
		Name: name, Params: []wire.Param{{Name: "v"}},
	}, trip.list)
	glue.Register(app, trip.task, func(_ context.Context, a *parcel) (runtime.Void, error) {
		if !trip.same(a.value) {
			got := show(a.value)
			if got == show(trip.sent) {
				got += ", which is not equal"
			}
			return runtime.Void{}, runtime.Permanent(errors.New("comes back as " + got))
		}
		return runtime.Void{}, nil
	})
}

const notEnqueued = "Enqueue: "

// run sends the value and returns what went wrong, empty if it came back equal.
func (trip *trip) run(ctx context.Context, app *runtime.App) (wrong string) {
	args := &parcel{reflect.New(trip.sent.Type()).Elem()}
	args.value.Set(trip.sent)
	h, err := trip.task.Call(func(f *wire.Fields) { trip.list(args, f) }, nil).Enqueue(ctx, app)
	if err != nil {
		return notEnqueued + rootCause(err)
	}
	if _, err := h.Wait(ctx); err != nil {
		return rootCause(err)
	}
	return ""
}

// verdict is what wiretype says of a type.
type verdict struct {
	problems []wiretype.Problem
	limits   wiretype.Limits
}

// verdicts are those of a category's type, by what it is in.
type verdicts map[string]verdict

// Every category is either exact or refused, and for good reason.
//
// Proves: FEATURES 75, RELIABILITY 13
func TestTypes(t *testing.T) {
	app := runtime.New(memory.New(memory.Config{}), runtime.Config{
		ParkFor: time.Nanosecond, // what cannot be decoded fails at once
		Logger:  slog.New(slog.DiscardHandler),
	})
	found := typesByLine(t)
	trips := map[*category][]*trip{}
	for _, g := range groups {
		for _, c := range g.categories {
			method, _ := wiretype.Kind(found[c.line])
			trips[c] = c.trips()
			for i, trip := range trips[c] {
				name := fmt.Sprintf("%s/%s/%d", g.name, c.what, i)
				if trip.inside == "" {
					trip.register(app, name, method)
				} else {
					trip.register(app, name, "JSON")
				}
			}
		}
	}
	if err := app.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := app.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	doc := newDocument()
	for _, g := range groups {
		doc.group(g.name)
		for _, c := range g.categories {
			typ, ok := found[c.line]
			if !ok {
				t.Fatalf("%s: its type is not found at line %d", c.what, c.line)
			}
			says := wrappedVerdicts(typ)
			t.Run(g.name+"/"+c.what, func(t *testing.T) {
				doc.row(typ, c, says[""], c.check(t, app, trips[c], says))
			})
		}
	}
	doc.values(t, app)
	doc.compare(t)
}

// check runs the trips. For a type that survives all must be exact; for one
// that is refused it returns what would go wrong.
func (c *category) check(t *testing.T, app *runtime.App, trips []*trip, says verdicts) (wrong string) {
	refused := len(says[""].problems) > 0
	for _, trip := range trips {
		problems := says[trip.inside].problems
		bad := trip.run(t.Context(), app)
		notSent := strings.HasPrefix(bad, notEnqueued)
		switch {
		case trip.refuse && !refused && len(problems) == 0:
			if !notSent || len(says[trip.inside].limits.Refused) == 0 {
				t.Errorf("%s: Enqueue should refuse %s: %q", in(trip.inside), show(trip.sent), bad)
			}
		case len(problems) == 0 && notSent && trip.inside == "pointer" && len(says[trip.inside].limits.Refused) > 0:
		case len(problems) == 0 && bad != "":
			t.Errorf("accepted %s, but %s: %s", in(trip.inside), show(trip.sent), bad)
		case refused && len(problems) == 0 && trip.inside != "pointer":
			t.Errorf("refused, but not %s", in(trip.inside))
		case !refused && len(problems) > 0 && trip.inside != "pointer":
			t.Errorf("accepted, but not %s: %v", in(trip.inside), problems)
		}
		if bad != "" && wrong == "" && refused {
			wrong = fmt.Sprintf("`%s`: %s", show(trip.sent), bad)
			if trip.inside != "" {
				wrong = in(trip.inside) + ", " + wrong
			}
		}
	}
	if c.version != "" {
		return c.version
	}
	if refused && wrong == "" && !c.meaning {
		t.Errorf("refused, but nothing goes wrong")
	}
	return wrong
}

func in(inside string) string {
	if inside == "" {
		return "by itself"
	}
	if inside == "array" {
		return "in an array"
	}
	if inside == "pointer" {
		return "behind a pointer"
	}
	return "in a " + inside
}
