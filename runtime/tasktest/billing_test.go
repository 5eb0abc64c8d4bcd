package tasktest_test

import (
	"context"
	"errors"
	"fmt"
	goruntime "runtime"
	"testing"

	"go.uber.org/goleak"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/glue"
	"github.com/taskctx/taskctx/runtime/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// What follows is a user's package with a task, as taskgen would complete it.

type sender interface{ Send(text string) error }

type outbox struct {
	sent []string
	err  error
}

func (o *outbox) Send(text string) error {
	o.sent = append(o.sent, text)
	return o.err
}

// tx is what a task opens, and commits or rolls back.
type tx struct{ ended []error }

type billingContext struct {
	*runtime.Context
	Mailer sender
	Tx     *tx
}

type receipt struct {
	Customer string `json:"customer"`
	Cents    int64  `json:"cents"`
	Attempt  int    `json:"attempt"`
	Plan     string `json:"plan"`
}

var (
	errDeclined = errors.New("card declined")
	txKey       = runtime.NewKey[*tx]("tx", runtime.PerTask, nil)
)

// ChargeCard charges a card.
func ChargeCard(ctx *billingContext, customer string, cents int64) (receipt, error) {
	switch {
	case cents < 0:
		return receipt{}, fmt.Errorf("charge %d: %w", cents, errDeclined)
	case cents == 666:
		panic("the devil")
	}
	if err := ctx.Mailer.Send(customer); err != nil {
		return receipt{}, err
	}
	m := ctx.Metadata()
	if _, err := EnqueueSendReceipt(ctx, ctx.App(), customer, "pin-1234", runtime.WithTag("plan", m.Tags.Get("plan"))); err != nil {
		return receipt{}, err
	}
	return receipt{customer, cents, m.Attempt, m.Tags.Get("plan")}, nil
}

type chargeCardArgs struct {
	customer string
	cents    int64
}

func (a *chargeCardArgs) fields(f *wire.Fields) {
	f.String("customer", &a.customer)
	f.Int64("cents", &a.cents)
}

var chargeCardTask = glue.NewTask[chargeCardArgs, receipt](wire.Spec{
	Name: "billing.ChargeCard", Func: "ChargeCard", Queue: "billing", Retries: 3,
	Params: []wire.Param{{Name: "customer", Sig: "string"}, {Name: "cents", Sig: "int64"}},
}, (*chargeCardArgs).fields)

func ChargeCardCall(customer string, cents int64, opts ...runtime.Option) runtime.Call[receipt] {
	a := chargeCardArgs{customer, cents}
	return chargeCardTask.Call(a.fields, opts)
}

type sendReceiptArgs struct{ customer, pin string }

func (a *sendReceiptArgs) fields(f *wire.Fields) {
	f.String("customer", &a.customer)
	f.String("pin", &a.pin)
}

var sendReceiptTask = glue.NewTask[sendReceiptArgs, runtime.Void](wire.Spec{
	Name: "billing.SendReceipt", Func: "SendReceipt",
	Params: []wire.Param{{Name: "customer", Sig: "string"}, {Name: "pin", Sig: "string", Redact: true}},
}, (*sendReceiptArgs).fields)

func SendReceiptCall(customer, pin string, opts ...runtime.Option) runtime.Call[runtime.Void] {
	a := sendReceiptArgs{customer, pin}
	return sendReceiptTask.Call(a.fields, opts)
}

func EnqueueSendReceipt(
	ctx context.Context, q runtime.Enqueuer, customer, pin string, opts ...runtime.Option,
) (*runtime.Handle[runtime.Void], error) {
	return SendReceiptCall(customer, pin, opts...).Enqueue(ctx, q)
}

// needyContext needs a supply that the tests of other tasks do not give.
type needyContext struct{ *runtime.Context }

var needyTask = glue.NewTask[struct{}, runtime.Void](wire.Spec{Name: "billing.Needy", Func: "Needy"}, nil)

func RegisterTasks(app *runtime.App) {
	glue.RegisterContext(app, func(ctx *runtime.Context) (*billingContext, error) {
		m, err := runtime.Require[sender](ctx)
		if err != nil {
			return nil, err
		}
		t, err := txKey.Provide(ctx, func(context.Context) (*tx, func(error) error, error) {
			t := new(tx)
			return t, func(err error) error { t.ended = append(t.ended, err); return nil }, nil
		})
		if err != nil {
			return nil, err
		}
		return &billingContext{ctx, m, t}, nil
	}, glue.NeedSupply[sender]())
	glue.RegisterContext(app, func(ctx *runtime.Context) (*needyContext, error) {
		return &needyContext{ctx}, nil
	}, glue.NeedSupply[fmt.Stringer]())
	glue.Register(app, chargeCardTask, func(ctx *billingContext, a *chargeCardArgs) (receipt, error) {
		return ChargeCard(ctx, a.customer, a.cents)
	})
	glue.Register(app, sendReceiptTask, func(context.Context, *sendReceiptArgs) (runtime.Void, error) {
		return runtime.Void{}, nil
	})
	glue.Register(app, needyTask, func(*needyContext, *struct{}) (runtime.Void, error) { return runtime.Void{}, nil })
}

func goexit() { goruntime.Goexit() }
