package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engines"
	"github.com/taskctx/taskctx/runtime/glue"
	"github.com/taskctx/taskctx/runtime/wire"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"taskctx": main, "seed": seed, "seedpress": seedPress, "seedlater": seedLater})
}

// TestCommands runs the scripts in testdata: the program as a user calls it.
func TestCommands(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata", Cmds: map[string]func(*testscript.TestScript, bool, []string){
		"idof": idOf,
	}})
}

// idOf sets $ID to the id of a task that seed left.
func idOf(ts *testscript.TestScript, _ bool, args []string) {
	ts.Setenv("ID", ts.ReadFile(args[0]+".id"))
}

type billArgs struct{ customer string }

func (a *billArgs) fields(f *wire.Fields) { f.String("customer", &a.customer) }

var billTask = glue.NewTask[billArgs, string](wire.Spec{
	Name: "shop.Bill", Func: "Bill", Queue: "billing",
	Params: []wire.Param{{Name: "customer", Sig: "string"}},
}, (*billArgs).fields)

func bill(customer string, opts ...runtime.Option) runtime.Call[string] {
	args := billArgs{customer}
	return billTask.Call(args.fields, opts)
}

// seed is a command of the scripts: it leaves a succeeded, a failed and a
// waiting task on the engine that its argument names, and writes their ids
// into files named after their customers.
func seed() {
	if err := seedEngine(context.Background(), os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func seedEngine(ctx context.Context, url string) (err error) {
	e, err := engines.Open(ctx, url)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	app := runtime.New(e, runtime.Config{})
	glue.Register(app, billTask, func(_ context.Context, a *billArgs) (string, error) {
		if a.customer == "broke" {
			return "", errors.New("card was declined")
		}
		return "paid by " + a.customer, nil
	})
	if err := app.Start(ctx); err != nil {
		return err
	}
	for _, c := range []runtime.Call[string]{bill("ann", runtime.WithTag("plan", "pro")), bill("broke")} {
		h, err := c.Enqueue(ctx, app)
		if err != nil {
			return err
		}
		var failed *runtime.TaskError
		if _, err := h.Wait(ctx); err != nil && !errors.As(err, &failed) {
			return err
		}
		if err := os.WriteFile(string(c.AnyCall.Args()[13:16])+".id", []byte(h.ID().String()), 0o644); err != nil {
			return err
		}
	}
	if err := app.Stop(ctx); err != nil {
		return err
	}
	h, err := bill("later").Enqueue(ctx, app)
	if err != nil {
		return err
	}
	return os.WriteFile("lat.id", []byte(h.ID().String()), 0o644)
}
