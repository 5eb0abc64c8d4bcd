package durable

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime"
)

// Approval is a person's answer about a payment.
type Approval struct {
	By string `json:"by"`
	OK bool   `json:"ok"`
}

// Approved is sent to the task of a payment.
var Approved = runtime.NewSignal[Approval]("approved")

// Bank transfers money. Two transfers with one reference are one.
type Bank interface {
	Transfer(ctx context.Context, reference, account string, cents int64) (receipt string, err error)
}

// BankContext is the context of payments.
type BankContext struct {
	*runtime.Context
	Bank Bank `task:"supply"`
}

// Pay transfers money once somebody has approved it.
//
//task:context durable retries=5
func Pay(ctx *BankContext, account string, cents int64) (receipt string, err error) {
	approval, err := Approved.Await(ctx, 72*time.Hour)
	switch {
	case errors.Is(err, runtime.ErrAwaitTimeout):
		return "", runtime.Cancelled("nobody approved it in three days")
	case err != nil:
		return "", err
	case !approval.OK:
		return "", runtime.Cancelled("refused by " + approval.By)
	}
	return runtime.Step(ctx, "transfer", func(ctx *BankContext) (string, error) {
		// The step may run again when its worker dies before the receipt is recorded:
		// the bank knows the reference.
		return ctx.Bank.Transfer(ctx, ctx.Metadata().TaskID.String(), account, cents)
	})
}

// Approve is the handler of POST /payments/{id}/approval, with an Approval as JSON.
func Approve(app *runtime.App) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		id, err := uuid.Parse(r.PathValue("id"))
		if err != nil {
			http.Error(w, "no such payment", http.StatusNotFound)
			return
		}
		var a Approval
		if err := json.NewDecoder(r.Body).Decode(&a); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		err = Approved.Send(r.Context(), app, id, a, runtime.WithSendKey(a.By)) // a second click changes nothing
		switch {
		case errors.Is(err, runtime.ErrNotFound):
			http.Error(w, "no such payment", http.StatusNotFound)
		case errors.Is(err, runtime.ErrState):
			http.Error(w, "the payment is over", http.StatusConflict)
		case err != nil:
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		default:
			w.WriteHeader(http.StatusAccepted)
		}
	}
}
