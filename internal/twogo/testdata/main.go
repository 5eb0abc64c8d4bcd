// The program of TestTwoGo: its tasks return their argument, and it sends them
// values, or works, or both.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"math/rand"
	"net/netip"
	"os"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime"
)

// main runs with the engine's URL, "send" or "work", and a seed. To work is to
// print a line, and to go on until the input ends.
func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	e, err := open(ctx, os.Args[1])
	check(err)
	app := runtime.New(e, runtime.Config{
		Workers: 4,
		ParkFor: time.Nanosecond, // what would be parked fails
		Logger:  slog.New(slog.DiscardHandler),
	})
	RegisterTasks(app)
	if os.Args[2] == "work" {
		check(app.Start(ctx))
		fmt.Println("working")
		_, _ = io.Copy(io.Discard, os.Stdin)
		check(app.Stop(ctx))
		return
	}
	seed, err := strconv.ParseInt(os.Args[3], 10, 64)
	check(err)
	send(ctx, app, seed)
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// send enqueues values of each task's type, and prints those that do not come
// back equal.
func send(ctx context.Context, app *runtime.App, seed int64) {
	sent, refused, bad := 0, 0, 0
	var waits []func() error
	for i, task := range tasks {
		r := rand.New(rand.NewSource(seed + int64(i)))
		for range 3 {
			wait, err := task(ctx, app, r)
			if err != nil {
				refused++
				if refused <= 3 {
					fmt.Println("refused:", err)
				}
				continue
			}
			sent++
			waits = append(waits, wait)
		}
	}
	for _, wait := range waits {
		if err := wait(); err != nil {
			bad++
			fmt.Println("BAD", err)
		}
	}
	fmt.Printf("sent %d, refused %d, bad %d\n", sent, refused, bad)
	if bad > 0 || sent < len(tasks) {
		os.Exit(1)
	}
}

// sender enqueues a value, and returns what waits for it.
type sender func(context.Context, *runtime.App, *rand.Rand) (wait func() error, err error)

// of sends a value of type T by the generated function. A type that encodes
// itself, which is not exact, is as its methods are.
func of[T any](exact bool, call func(T, ...runtime.Option) runtime.Call[T]) sender {
	return func(ctx context.Context, app *runtime.App, r *rand.Rand) (func() error, error) {
		var v T
		fill(reflect.ValueOf(&v).Elem(), r, 0)
		h, err := call(v).Enqueue(ctx, app)
		if err != nil {
			return nil, fmt.Errorf("%T: %w", v, err)
		}
		return func() error {
			got, err := h.Wait(ctx)
			if !exact {
				return nil
			}
			if err != nil {
				return fmt.Errorf("%T: %w", v, err)
			}
			if !reflect.DeepEqual(got, v) {
				return fmt.Errorf("%T: sent %#v, got %#v", v, v, got)
			}
			return nil
		}, nil
	}
}

var texts = []string{"", "a", "<a href=\"x\">&amp;\u2028\x7f", "é 漢 😀", "\ufffd", "\\u00e9"}

// fill sets v to a value from r, as far as its fields can be set.
func fill(v reflect.Value, r *rand.Rand, depth int) {
	switch p := v.Addr().Interface().(type) {
	case *time.Time:
		*p = time.Unix(r.Int63n(4e9), r.Int63n(1e9)).UTC()
		return
	case *json.RawMessage:
		*p = json.RawMessage([]string{`12`, `"a"`, `true`, `null`}[r.Intn(4)])
		return
	case *big.Int:
		p.SetInt64(1 + r.Int63())
		return
	case *big.Rat:
		p.SetFrac64(1+r.Int63(), 7)
		return
	case *netip.Addr:
		*p = netip.AddrFrom4([4]byte{byte(r.Int()), 2, 3, 4})
		return
	case *netip.AddrPort:
		*p = netip.AddrPortFrom(netip.IPv6Loopback(), uint16(r.Int()))
		return
	case *uuid.NullUUID:
		*p = uuid.NullUUID{UUID: uuid.UUID{1, byte(r.Int())}, Valid: true}
		return
	}
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(r.Intn(2) == 0)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(int64(r.Uint64()) >> (64 - v.Type().Bits()))
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(r.Uint64() >> (64 - v.Type().Bits()))
	case reflect.Float32:
		v.SetFloat(float64(r.Float32()) * []float64{1, -1e-7, 1e21}[r.Intn(3)])
	case reflect.Float64:
		v.SetFloat(r.NormFloat64() * []float64{1, 1e-7, 1e21, 1e300}[r.Intn(4)])
	case reflect.String:
		v.SetString(texts[r.Intn(len(texts))] + strings.Repeat("x", r.Intn(3)))
	case reflect.Pointer:
		if r.Intn(3) > 0 && depth < 4 {
			p := reflect.New(v.Type().Elem())
			fill(p.Elem(), r, depth+1)
			v.Set(p.Convert(v.Type()))
		}
	case reflect.Slice:
		if n := r.Intn(4) - 1; n >= 0 && depth < 5 {
			v.Set(reflect.MakeSlice(v.Type(), n, n))
			for i := range n {
				fill(v.Index(i), r, depth+1)
			}
		}
	case reflect.Array:
		for i := range v.Len() {
			fill(v.Index(i), r, depth+1)
		}
	case reflect.Map:
		if n := r.Intn(4) - 1; n >= 0 && depth < 5 {
			v.Set(reflect.MakeMap(v.Type()))
			for range n {
				key, elem := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
				fill(key, r, depth+1)
				fill(elem, r, depth+1)
				v.SetMapIndex(key, elem)
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Field(i); f.CanSet() {
				fill(f, r, depth+1)
			}
		}
	}
}
