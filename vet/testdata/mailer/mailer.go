// Mailer sends newsletters: a task for each letter.
package mailer

import (
	"context"
	"fmt"
	"log"
	"net/smtp"
	"os"
	"time"

	"github.com/taskctx/taskctx/runtime"
)

// Post is what the tasks send with.
type Post struct {
	*runtime.Context
	Server Server `task:"suply"` // want `the struct tag task:"suply" says nothing known; did you mean supply`
	Quota  *Quota
}

// Server is the address of the mail server.
type Server string

// Quota says how many letters may be sent.
type Quota struct{ left int }

/* want `//task:provide knows no "wroker"; did you mean worker` */ //task:provide wroker
func newQuota() *Quota { return &Quota{left: 100} }

// SendLetter sends one letter.
//
/* want `has no key "retrys"; did you mean retries=` */ //task:context retrys=5 delay=2s
func SendLetter(ctx *Post, to string, text []byte) error {
	if ctx.Quota.left == 0 {
		runtime.RetryAfter(time.Hour, fmt.Errorf("no quota")) // want `runtime.RetryAfter is an error that does nothing unless the task returns it`
	}
	for try := 0; ; try++ {
		err := smtp.SendMail(string(ctx.Server), nil, "news@example.com", []string{to}, text)
		if err == nil {
			return nil
		}
		if try == 3 {
			log.Fatal(err) // want `log.Fatal in a task ends the process`
		}
		time.Sleep(time.Duration(try) * time.Second) // want `time.Sleep in a task goes on when the task must stop`
	}
}

// SendAll enqueues a letter for each reader.
//
/* want `this comment is no directive, and looks meant as one; write //task:context queue=letters` */ // task:context queue=letters
func SendAll(ctx *runtime.Context, readers []string, text []byte) (int, error) {
	if len(readers) > 10_000 {
		log.Fatalf("too many readers: %d", len(readers)) // want `log.Fatalf in a task ends the process`
	}
	for _, to := range readers {
		if to == "" {
			os.Exit(1) // want `os.Exit in a task ends the process`
		}
		if err := notify(context.Background(), to); err != nil { // want `context.Background in a task does not stop with it`
			return 0, err
		}
	}
	return len(readers), nil
}

func notify(ctx context.Context, to string) error { return ctx.Err() }
