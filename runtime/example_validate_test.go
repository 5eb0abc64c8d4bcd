package runtime_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/memory"
)

// Money is a parameter that validates itself.
type Money struct {
	Cents    int
	Currency string
}

// Validate implements wire.Validator.
func (m Money) Validate() error {
	if len(m.Currency) != 3 {
		return errors.New("currency must be three letters")
	}
	return nil
}

func ExampleValidator() {
	charge := newUnit[Money, string]("billing.ChargeCard") // generated, in a program
	app := runtime.New(memory.New(memory.Config{}), runtime.Config{})
	_, err := charge.call(Money{1999, "euro"}).Enqueue(context.Background(), app)
	fmt.Println(err)
	// Output: enqueue billing.ChargeCard: parameter "v" is not valid: currency must be three letters
}
